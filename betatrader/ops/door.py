"""The way from a command to the trader of this machine without Redis: a port and a token.

The trading process leaves both in its home, readable by its user alone; the token may come from
the environment (`BETATRADER_CONTROL_TOKEN`) instead, and is then written nowhere. Who guesses at
it is soon not listened to any more (`Attempts`).
"""

import contextlib
import ipaddress
import os
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from betatrader.model.errors import ConfigurationError, UnreachableError
from betatrader.model.secret import Secret, is_placeholder
from betatrader.ops.files import replace_whole

TOKEN = "control-token"  # noqa: S105  the name of a file
PORT = "control-port"
VARIABLE = "BETATRADER_CONTROL_TOKEN"
SHORTEST = 16
MOST_WRONG = 10
"""Wrong tokens that one address may try in WITHIN_S."""

WITHIN_S = 60.0
ADDRESSES_KEPT = 1024


class Door(NamedTuple):
    """Where a trader takes orders, and what opens it."""

    port: int
    token: Secret


def given_token(environment: Mapping[str, str] = os.environ) -> Secret | None:
    """The token of the environment; raises ConfigurationError where it is easily guessed, or where
    it only stands for one that is still to come."""
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    if len(text) >= SHORTEST and is_placeholder(Secret(text)):
        raise ConfigurationError(
            [
                f"{VARIABLE}: expected the token itself, found a placeholder; "
                "`openssl rand -hex 24` makes one"
            ]
        )
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


class Attempts:
    """Counts wrong tokens by the address that they came from: one IPv4, one network of IPv6.

    By address, so that who guesses from afar does not keep the operator out.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """For how long this address is not listened to; 0 where it is."""
        wrong = self._wrong.get(_network(address))
        if wrong is None or len(wrong) < MOST_WRONG:
            return 0.0
        return max(0.0, wrong[0] + WITHIN_S - self._now_s())

    def wrong(self, address: str) -> bool:
        """Count a wrong token; True where it was the last that is allowed for now."""
        name = _network(address)
        times = self._wrong.setdefault(name, deque(maxlen=MOST_WRONG))
        self._wrong.move_to_end(name)
        if len(self._wrong) > ADDRESSES_KEPT:
            self._wrong.popitem(last=False)
        times.append(self._now_s())
        return self.wait_s(address) > 0


def _network(address: str) -> str:
    """Who has one address of IPv6 has all of its /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))
