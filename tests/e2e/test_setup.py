"""`setup` and `doctor --venue`, at the simulated venues over real sockets."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import PROGRAM, environment, run, venue_ledger

from betatrader.roles import venue_process


@contextmanager
def served(name: str, folder: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A simulated venue: what it has told, and the environment of a trader there."""
    venue = subprocess.Popen(
        [*PROGRAM, "venue", "serve", name],
        env=environment(BETATRADER_HOME=str(folder / "venue")),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert venue.stdout is not None
    try:
        told = json.loads(venue.stdout.readline())
        yield told, venue_process.settings(name, told)
    finally:
        venue.kill()
        venue.wait(10)
        venue.stdout.close()


@pytest.mark.parametrize("name", ["binance", "polymarket"])
def test_from_keys_to_an_order_placed_and_cancelled(own_home: Path, name: str) -> None:
    with served(name, own_home.parent) as (told, more):
        done = run("setup", name, "--json", **more)
        assert done.returncode == 0, done.stdout + done.stderr
        steps = json.loads(done.stdout)
        at_polymarket = name == "polymarket"
        by_hand = ["redeem"] if at_polymarket else []  # an account of its own, of type 0
        assert [step["name"] for step in steps] == [
            "keys",
            *by_hand,
            "reach",
            "clock",
            "region",
            "api key",
            "rights",
            *(["wallet", "heartbeat"] if at_polymarket else []),
            "connection",
            *(["allowances"] if at_polymarket else []),
            "balance",
            "order",
        ]
        assert {step["name"] for step in steps if step["verdict"] != "ok"} == {*by_hand}
        assert steps[-1]["found"].endswith("placed, accepted and cancelled")
        looked = run("doctor", "--venue", name, "--json", **more)
        assert [step["check"] for step in json.loads(looked.stdout)][-1] == "balance"
        if name == "binance":
            ledger = venue_ledger(told["link"], told["account"])
            assert (len(ledger.orders), ledger.working) == (1, {})


def test_wrong_keys_are_told_in_the_venues_words(own_home: Path) -> None:
    with served("binance", own_home.parent) as (_, more):
        wrong = {**more, "BETATRADER_BINANCE__SECRET": "not-the-secret"}
        done = run("setup", "binance", **wrong)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "fail api key" in done.stdout
    assert "not-the-secret" not in done.stdout + done.stderr


def test_what_is_no_key_or_names_nothing_is_told_at_once(own_home: Path) -> None:
    unset = run("setup", "binance", "--yes")
    assert (unset.returncode, unset.stderr.count("\n")) == (2, 2)
    assert "symbols names none" in unset.stderr
    no_key = run("setup", "binance", "--yes", BETATRADER_BINANCE__SYMBOLS='["BTCUSDT"]')
    assert no_key.returncode == 1
    assert "fail keys" in no_key.stdout


def test_before_an_order_at_a_real_address_it_says_what_that_does_to_others(
    own_home: Path,
) -> None:
    """Nothing is sent before the question is answered."""
    asked = {"BETATRADER_POLYMARKET__MARKETS": f'["0x{"ab" * 32}"]'}
    done = run("setup", "polymarket", **asked)
    assert done.returncode == 1
    assert "the venue cancels all open orders of this API key. Go on?" in done.stdout
    assert "ok " not in done.stdout
