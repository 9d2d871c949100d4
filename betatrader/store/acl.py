"""The users of the durable Redis, one a role, as lines of an ACL file.

`python -m betatrader.store.acl` prints them for the passwords in the environment. No user may
reach keys that are not ours, nor the server's own administration.
"""

import hashlib
import os
import sys
from collections.abc import Mapping

USERS = ("trading", "intel", "jobs", "operator")
VARIABLE = "BETATRADER_REDIS_PASSWORD_"
SHORTEST = 16


def lines(environment: Mapping[str, str]) -> list[str]:
    """The file's lines, passwords as their SHA-256. Raises ValueError, naming what is wrong."""
    written = ["user default off"]
    for user in USERS:
        name = f"{VARIABLE}{user.upper()}"
        password = environment.get(name, "")
        if len(password) < SHORTEST:
            raise ValueError(f"{name}: expected at least {SHORTEST} characters; set it as a secret")
        digest = hashlib.sha256(password.encode()).hexdigest()
        written.append(f"user {user} on #{digest} ~bt:* &bt:* +@all -@admin -@dangerous +info")
    return written


if __name__ == "__main__":
    try:
        print("\n".join(lines(os.environ)))  # noqa: T201
    except ValueError as error:
        sys.exit(str(error))
