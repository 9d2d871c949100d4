"""A simulated venue in a process of its own, for as long as a run needs it."""

import json
import secrets
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from betatrader.model.errors import DeadlineError
from betatrader.ops.owners import environment_of
from betatrader.ops.process import die_with_parent

START_S = 20.0
STOP_S = 5.0

Variables = dict[str, str]

VENUES = "BETATRADER_PAPER__VENUES"


@contextmanager
def served(
    venue: str, environment: Mapping[str, str], logs: IO[bytes] | None
) -> Iterator[Variables]:
    """Start `venue serve VENUE`; gives the environment that lets a trader trade there.

    Raises DeadlineError where it is not ready in time.
    """
    command = [sys.executable, "-P", "-m", "betatrader", "venue", "serve", venue]
    process = subprocess.Popen(  # noqa: S603  our own program
        command,
        env=environment_of("venue", environment),  # it makes keys of its own
        stdout=subprocess.PIPE,
        stderr=logs,
        preexec_fn=die_with_parent,
    )
    try:
        yield settings(venue, _first_line(venue, process))
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _first_line(venue: str, process: "subprocess.Popen[bytes]") -> Variables:
    out = process.stdout
    if out is not None and select.select([out], [], [], START_S)[0]:
        line = out.readline()
        if line:
            found: Variables = json.loads(line)
            return found
    raise DeadlineError(
        f"the simulated venue {venue} is not ready after {START_S:.0f} s\n"
        f"Look at the log lines above, or run it alone: betatrader venue serve {venue}"
    )


def together(found: list[Variables]) -> Variables:
    """The configuration of a trader that trades at all of these."""
    made = {name: value for one in found for name, value in one.items()}
    if VENUES in made:
        made[VENUES] = json.dumps([name for one in found for name in json.loads(one[VENUES])])
    return made


def settings(venue: str, found: Variables) -> Variables:
    """What a served venue has told of itself, as configuration of a trader that trades there."""
    if venue == "sim":
        return {"BETATRADER_PAPER__LINK": found["link"]}
    chosen = {
        "binance": ("rest", "stream", "api", "key", "secret"),
        "polymarket": (
            "clob",
            "gamma",
            "data",
            "market_socket",
            "user_socket",
            "geoblock",
            "relayer",
        ),
    }[venue]
    table = f"BETATRADER_{venue.upper()}__"
    made = {f"{table}{name.upper()}": found[name] for name in chosen}
    made[VENUES] = json.dumps([venue])
    if venue == "binance":
        made[f"{table}SYMBOLS"] = json.dumps(["BTCUSDT", "GENUSDT"])
    else:
        made[f"{table}MARKETS"] = json.dumps([found["market"]])
        made[f"{table}FOLLOW"] = json.dumps([found["follow"]])  # those that come after it
        made[f"{table}PRIVATE_KEY"] = f"0x{secrets.token_hex(32)}"  # an account of its own
    return made
