"""No more attempts to connect than Binance takes from one address, however often it cuts us off."""

from functools import partial

import pytest
from binance_served import COIN, Served

from betatrader.chaos.loop import Process
from betatrader.model.market import Quote
from betatrader.model.money import SCALE
from betatrader.net import feed
from betatrader.ops import clock
from betatrader.venues.binance.limits import ATTEMPTS, ATTEMPTS_S, KEPT_FOR_OTHERS, Attempts
from betatrader.venues.binance.serve.weights import CONNECTIONS_IN_5_MIN


class Stormy(Served):
    """The adapter at a venue that cuts it off all the time; both come back at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed, "FIRST_PAUSE_S", 0.25)
        monkeypatch.setattr(feed, "LONGEST_PAUSE_S", 0.25)
        super().__init__(monkeypatch)
        self.attempts: dict[str, list[tuple[float, bool]]] = {}
        count = self.server.weights.connect

        def counted(kind: str) -> bool:
            taken = count(kind)
            self.attempts.setdefault(kind, []).append((self.loop.time(), taken))
            return taken

        self.server.weights.connect = counted  # type: ignore[method-assign]

    def storm(self, seconds: int) -> None:
        for _ in range(4 * seconds):
            self.loop.call_soon(self.server.cut_all)
            self.go(0.25)

    def quote(self) -> None:
        """The market says something."""
        event = Quote(clock.now_ns(), COIN, 50_000 * SCALE, SCALE, 50_001 * SCALE, SCALE, 3)
        self.loop.spawn(Process("m"), partial(self.server.run, [event]))
        self.go(1.0)

    def most(self, kind: str) -> int:
        """Attempts in the fullest five minutes, wherever they begin."""
        times = [at for at, _ in self.attempts[kind]]
        return max(sum(at <= other <= at + ATTEMPTS_S for other in times) for at in times)

    def refused(self) -> int:
        return sum(not taken for found in self.attempts.values() for _, taken in found)


KINDS = ("stream connections", "api connections")


def test_reconnecting_never_passes_the_venues_limit_of_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Stormy(monkeypatch)
    served.storm(700)
    assert served.refused() == 0
    for kind in KINDS:
        assert ATTEMPTS - KEPT_FOR_OTHERS - 2 <= served.most(kind) <= ATTEMPTS - KEPT_FOR_OTHERS
    assert "limit of attempts in 300 s is reached" in served.venue.trouble
    served.go(ATTEMPTS_S)
    served.quote()
    assert (served.venue.connected, served.venue.trouble) == (True, ""), "it comes back by itself"


def test_without_that_count_the_venue_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts, "may", lambda _self, _now_s: True)
    served = Stormy(monkeypatch)
    served.storm(200)
    assert served.refused() > 0
    for kind in KINDS:
        taken = [at for at, was in served.attempts[kind] if was]
        assert len(taken) <= 2 * CONNECTIONS_IN_5_MIN, "two windows of the venue at most"


def test_attempts_are_counted_in_any_stretch_of_time() -> None:
    attempts = Attempts(3, 10.0)
    asked = [0.0, 1.0, 9.0, 9.5, 10.0, 10.5, 10.6, 11.5, 19.5, 20.0]
    assert [attempts.may(at) for at in asked] == [
        True, True, True, False, False, True, False, True, True, False,
    ]  # fmt: skip
