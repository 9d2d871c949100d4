"""Least privilege in Redis: a user a role, who may do that role's work on its keys, and no more.

`python -m betatrader.store.acl` prints the server's ACL file for the passwords in the environment
(BETATRADER_REDIS_PASSWORD_TRADING and so on), as hashes. `default` is off. A function runs with its
caller's rights, so its inner commands are granted too, on its keys alone; its name gives no right,
and is each version's own (`functions`).

| user | is |
|---|---|
| trading | the trading role; it alone takes the lease, ships, and puts the functions in place |
| intel | the intel role: reads requests, answers on the trader's stream of signals |
| jobs | the jobs role: claims slots, trims streams |
| operator | a person: reads all, gives instructions, runs jobs, releases |

A release compares what its version needs with what the server gives (`release.rights`). The version
before runs meanwhile, so a right that is needed no more goes one release later.
"""

import hashlib
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from betatrader.model.errors import BetatraderError, ConfigurationError
from betatrader.model.secret import Secret, is_placeholder
from betatrader.store import keys

VARIABLE = "BETATRADER_REDIS_PASSWORD_"
SHORTEST = 16

CONNECTION = (
    "ping hello auth select reset client|setinfo client|setname client|id time multi exec discard"
)
"""What each client asks, with no key in it."""

ANY_RUN = "*"


class Grant(NamedTuple):
    """Commands, and the keys on which they are allowed: read, write, or both."""

    commands: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    both: tuple[str, ...] = ()

    def rules(self) -> str:
        """As the server writes them."""
        return " ".join(
            ["-@all"]
            + [f"+{command}" for command in self.commands.split()]
            + [f"%R~{key}" for key in self.reads]
            + [f"%W~{key}" for key in self.writes]
            + [f"~{key}" for key in self.both]
        )


class User(NamedTuple):
    """What a user may do: `commands` without keys, and its grants."""

    commands: str
    grants: tuple[Grant, ...]


def _beat(role: str) -> Grant:
    return Grant("hset expire del", writes=(keys.beat(role),))


_SCHEMA = Grant("get", reads=(keys.RELEASE_SCHEMA,))


def _consumes(*streams: str) -> tuple[Grant, ...]:
    """A member of a stream's group, who buries what cannot be used."""
    return (
        Grant("xreadgroup xack xgroup|create xautoclaim xpending", both=streams),
        Grant("xadd", writes=tuple(keys.dead(stream) for stream in streams)),
    )


_RUN_STREAMS = (keys.audit(ANY_RUN), keys.signals(ANY_RUN), keys.instructions(ANY_RUN))
_FENCED = (
    keys.JOURNAL,
    keys.FENCE,
    keys.PAPER_LEDGER,
    keys.PAPER_FENCE,
    keys.LIVE_JOURNAL,
    keys.LIVE_FENCE,
)

_CHORES = (
    Grant("get", reads=(keys.RUN, keys.summary(ANY_RUN))),
    Grant(
        "fcall exists xinfo|stream xinfo|groups xpending xtrim unlink",
        both=(
            *_RUN_STREAMS,
            keys.REQUESTS,
            keys.dead(keys.signals(ANY_RUN)),
            keys.dead(keys.instructions(ANY_RUN)),
        ),
    ),
    Grant(
        "fcall hgetall hset xadd",
        both=(keys.job_state("*"), keys.job_history("*")),
    ),
)

USERS: dict[str, User] = {
    "trading": User(
        "info function|load",
        (
            Grant(
                "fcall hgetall hset get set",
                both=(keys.LEASE, keys.LEASE_EPOCH),
            ),
            Grant(
                "fcall exists xinfo|stream xsetid xadd xdel xtrim xrange hget hset",
                both=_FENCED,
            ),
            Grant(
                "get set hgetall hset",
                both=(keys.RUN, keys.KEPT, keys.LADDER, keys.summary(ANY_RUN)),
            ),
            Grant("fcall hgetall hset", both=(f"{keys.SHARES}*",)),
            Grant("xadd", writes=(keys.audit(ANY_RUN), keys.REQUESTS)),
            *_consumes(keys.signals(ANY_RUN), keys.instructions(ANY_RUN)),
            _beat("trading"),
            _SCHEMA,
        ),
    ),
    "intel": User(
        "",
        (
            *_consumes(keys.REQUESTS),
            Grant("xinfo|consumers xgroup|delconsumer", both=(keys.REQUESTS,)),
            Grant("xadd", writes=(keys.signals(ANY_RUN),)),
            _beat("intel"),
            _SCHEMA,
        ),
    ),
    "jobs": User("scan", (*_CHORES, Grant("hgetall", reads=(keys.LEASE,)), _beat("jobs"), _SCHEMA)),
    "operator": User(
        "info scan function|load acl|getuser unwatch",
        (
            Grant(
                "get hget hgetall xrange xrevrange xread xlen xpending xinfo|stream xinfo|groups "
                "xinfo|consumers exists type ttl memory|usage",
                reads=("bt:*",),
            ),
            Grant("xadd", writes=(keys.instructions(ANY_RUN),)),
            Grant("hset", writes=(keys.LADDER,)),
            Grant("hdel", writes=(f"{keys.SHARES}*",)),
            *_CHORES,
            Grant(
                "get set del watch hget hset hgetall hdel expire xadd xrange xrevrange",
                both=("bt:{release}:*",),
            ),
        ),
    ),
}


def acl_file(passwords: Mapping[str, Secret]) -> str:
    """The server's ACL file, a line a user; a user without a password is left out."""
    lines = ["user default off"]
    for name, user in USERS.items():
        if not passwords.get(name):
            continue
        digest = hashlib.sha256(passwords[name].reveal().encode()).hexdigest()
        root = Grant(f"{CONNECTION} {user.commands}").rules()
        selectors = " ".join(f"({grant.rules()})" for grant in user.grants)
        lines.append(f"user {name} on #{digest} resetchannels {root} {selectors}")
    return "\n".join(lines) + "\n"


def passwords(environment: Mapping[str, str]) -> dict[str, Secret]:
    """Every user's password; raises ConfigurationError where one is missing, short, shared or a
    placeholder."""
    found = {name: environment.get(VARIABLE + name.upper(), "") for name in USERS}
    problems = [
        f"{VARIABLE}{name.upper()}: expected at least {SHORTEST} characters; "
        "`openssl rand -hex 24` makes some"
        for name, text in found.items()
        if len(text) < SHORTEST
    ]
    problems += [
        f"{VARIABLE}{name.upper()}: expected the password itself, found a placeholder; "
        "`openssl rand -hex 24` makes one"
        for name, text in found.items()
        if len(text) >= SHORTEST and is_placeholder(Secret(text))
    ]
    if not problems and len(set(found.values())) < len(found):
        problems = [f"{VARIABLE}…: two users have the same password; give each its own"]
    if problems:
        raise ConfigurationError(problems)
    return {name: Secret(text) for name, text in found.items()}


def main() -> int:
    """Print the file; 0, or the exit status of what is wrong, told on stderr."""
    try:
        sys.stdout.write(acl_file(passwords(os.environ)))
    except BetatraderError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
