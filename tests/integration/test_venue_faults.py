"""The simulated Binance and Polymarket as processes some of whose parts fail, and whose clock is
off, as the command line says."""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from betatrader.net.live import LiveTransport
from betatrader.venues.binance.serve.running import KEY

FAULTS = ("--limited-orders", "1", "--limited-cancels", "1", "--down-queries", "1")
NO_ANSWER = 0


@contextmanager
def served(venue: str, *options: str) -> Iterator[dict[str, str]]:
    """`venue serve VENUE` with these options; what it tells of itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "betatrader", "venue", "serve", venue, "--seed", "4", *options],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()


def ask(method: str, url: str, patience_s: float = 3.0) -> tuple[int, str]:
    """Status and body; NO_ANSWER where nobody hears it."""
    asked = urllib.request.Request(url, method=method, headers={"X-MBX-APIKEY": KEY})
    try:
        with urllib.request.urlopen(asked, timeout=patience_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except TimeoutError:
        return NO_ANSWER, ""


def all_down(url: str, said: str) -> None:
    """Half of the questions are refused in the venue's words, half are heard by nobody."""
    found = {ask("GET", url, 0.3) for _ in range(8)}
    assert {status for status, _ in found} == {503, NO_ANSWER}
    assert {body for status, body in found if status} == {said}


def test_binance_fails_in_parts_and_its_clock_is_off() -> None:
    with served("binance", *FAULTS, "--ahead-s", "-40") as found:
        rest = f"{found['rest']}/api/v3"
        _, body = ask("GET", f"{rest}/time")
        assert -43 < json.loads(body)["serverTime"] / 1e3 - time.time() < -38
        assert ask("GET", f"{rest}/depth?symbol=BTCUSDT")[0] == 200
        limited = (429, '{"code":-1003,"msg":"Too many requests."}')
        assert ask("POST", f"{rest}/order?symbol=BTCUSDT") == limited
        assert ask("DELETE", f"{rest}/openOrders?symbol=BTCUSDT") == limited
        all_down(f"{rest}/account", '{"code":-1001,"msg":"Internal error."}')
        heard = asyncio.run(_over_socket(found["api"], "order.place", "order.cancel", "time"))
    assert [(one["status"], one.get("error", {}).get("code")) for one in heard] == [
        (429, -1003),
        (429, -1003),
        (200, None),
    ]


class _Heard:
    """A client's end of a WebSocket."""

    def __init__(self) -> None:
        self.answers: list[dict] = []
        self.full = asyncio.Event()

    def received(self, text: bytes) -> None:
        self.answers.append(json.loads(text))
        if len(self.answers) == 3:
            self.full.set()

    def lost(self, reason: str) -> None:
        pass


async def _over_socket(url: str, *methods: str) -> list[dict]:
    transport, heard = LiveTransport(), _Heard()
    socket = await transport.connect(url, heard)
    try:
        for number, method in enumerate(methods):
            socket.send(json.dumps({"id": number, "method": method, "params": {}}).encode())
        await asyncio.wait_for(heard.full.wait(), 5)
    finally:
        socket.close()
        await transport.aclose()
    return sorted(heard.answers, key=lambda one: int(one["id"]))


def test_polymarket_fails_in_parts_and_its_clock_is_off() -> None:
    with served("polymarket", *FAULTS, "--ahead-s", "40") as found:
        clob = found["clob"]
        assert 38 < int(ask("GET", f"{clob}/time")[1]) - time.time() < 42
        assert ask("GET", f"{clob}/markets/{found['market']}")[0] == 200
        for method, path in (
            ("POST", "/order"),
            ("POST", "/orders"),
            ("DELETE", "/orders"),
            ("DELETE", "/cancel-market-orders"),
        ):
            assert ask(method, clob + path) == (429, '{"error":"Too many requests"}')
        all_down(f"{clob}/data/orders", '{"error":"Service unavailable"}')
        assert ask("POST", f"{found['stage']}?do=mode&mode=cancel-only") == (200, "done\n")


@pytest.mark.parametrize("venue", ["binance", "polymarket"])
def test_the_command_and_the_documents_name_each_act(venue: str) -> None:
    with served(venue) as found:
        status, told = ask("POST", f"{found['stage']}?do=nothing")
    assert status == 400
    names = sorted(told.strip().rpartition("one of ")[2].split(", "))
    done = subprocess.run(
        [sys.executable, "-m", "betatrader", "venue", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    said = " ".join(done.stdout.split()).partition(f"{venue} takes ")[2]
    sentence = re.split(r"[;.(]", said)[0].strip()
    assert re.split(r", | and ", sentence) == names
    page = (Path(__file__).parents[2] / "docs" / "venues.md").read_text()
    for line in page.splitlines():
        if any(line.startswith(f"| `{name}`") for name in names):
            names = [name for name in names if not line.startswith(f"| `{name}`")]
    assert names == [], "not in docs/venues.md"
