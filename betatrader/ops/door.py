"""The way from a command to the trader of this machine without Redis: a port and a token.

The trading process leaves both in its home, readable by its user alone; the token may come from
the environment (`BETATRADER_CONTROL_TOKEN`) instead, and is then written nowhere.
"""

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from betatrader.model.errors import ConfigurationError, UnreachableError
from betatrader.model.secret import Secret
from betatrader.ops.files import replace_whole

TOKEN = "control-token"  # noqa: S105  the name of a file
PORT = "control-port"
VARIABLE = "BETATRADER_CONTROL_TOKEN"
SHORTEST = 16


class Door(NamedTuple):
    """Where a trader takes orders, and what opens it."""

    port: int
    token: Secret


def given_token(environment: Mapping[str, str] = os.environ) -> Secret | None:
    """The token of the environment; raises ConfigurationError where it is easily guessed."""
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    if len(text) < SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError(
            [f"{VARIABLE}: expected at least {SHORTEST} printable characters without a space"]
        )
    return Secret(text)


def leave(home: Path, port: int) -> Secret:
    """Leave port and token in the home, and return the token. Raises OSError."""
    token = given_token()
    (home / TOKEN).unlink(missing_ok=True)
    if token is None:
        token = Secret(secrets.token_urlsafe(32))
        replace_whole(home / TOKEN, f"{token.reveal()}\n".encode(), private=True)
    replace_whole(home / PORT, f"{port}\n".encode(), private=True)
    return token


def remove(home: Path) -> None:
    """Take both away: nobody takes orders here any more."""
    for name in (TOKEN, PORT):
        with contextlib.suppress(OSError):
            (home / name).unlink(missing_ok=True)


def find(home: Path) -> Door:
    """The door of the trader that works in this home; raises UnreachableError."""
    try:
        port = int((home / PORT).read_text())
        token = given_token() or Secret((home / TOKEN).read_text().strip())
    except (OSError, ValueError):
        raise UnreachableError(
            f"no trader of {home} can be asked directly\n"
            f"Choose its home with BETATRADER_HOME, and its token, if it has one, with {VARIABLE}."
        ) from None
    return Door(port, token)
