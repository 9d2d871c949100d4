"""Who may lead: what a home that cannot be written, or a Redis that is away, means for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from betatrader.config import Config, JournalSection, LeaseSection
from betatrader.model.errors import BetatraderError
from betatrader.roles import leading
from betatrader.roles.leading import Leadership
from betatrader.store.lease import Held, HomeBrokenError


class Service:
    """What leadership needs of its process; it remembers what was told."""

    def __init__(self, home: Path, config: Config | None = None) -> None:
        self.config = config or Config()
        self.home = home
        self.redis: Any = None
        self.log = structlog.get_logger()
        self.stopping = anyio.Event()
        self.failure: BetatraderError | None = None
        self.alerts: list[tuple[str, str]] = []

    def alert(self, level: str, text: str) -> None:
        self.alerts.append((level, text))

    def ready(self) -> None:
        pass

    def stop(self) -> None:
        self.stopping.set()

    def is_stopping(self) -> bool:
        return self.stopping.is_set()


class Answers:
    """A lease that answers as told, one call after the other."""

    epoch, ttl_s, unfenced, released = 7, 0.01, False, False

    async def release(self) -> None:
        self.released = True

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    async def _next(self) -> Any:
        found = self._answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    acquire = renew = _next

    async def check_clocks(self, _now_s: float) -> None:
        pass

    async def unsettled_s(self) -> float:
        return 0.0

    yielded = 0

    def yield_to(self, epoch: int) -> None:
        self.yielded = epoch

    def may_order(self) -> bool:
        return not self.yielded

    def may_cancel(self) -> bool:
        return True

    def orders_in_s(self) -> float:
        """One more ttl for each renewal that is still to be answered."""
        return self.ttl_s * len(self._answers) if self.unfenced else 0.0


Made = Callable[..., Leadership]


@pytest.fixture
def leadership() -> Iterator[Made]:
    """Makes one of a service and what its lease answers; its home is let go at the end."""
    with ExitStack() as stack:

        def make(service: Service, *answers: Any) -> Leadership:
            made = Leadership(service)  # type: ignore[arg-type]
            stack.callback(made._home_lock.close)
            made.lease = Answers(*answers)  # type: ignore[assignment]
            return made

        yield make


async def nothing() -> None:
    pass


FULL = HomeBrokenError.of(Path("lease-epoch"), OSError(28, "No space left on device"))


async def test_a_standby_whose_disk_is_full_ends_with_status_1(
    leadership: Made, tmp_path: Path
) -> None:
    one = leadership(Service(tmp_path), Held(1, 0.0), FULL)
    with pytest.raises(HomeBrokenError, match="No space left") as caught:
        await one.win(nothing)
    assert caught.value.exit_status == 1


async def test_a_redis_that_is_away_is_waited_out(
    leadership: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "POLL_S", 0.0)
    one = leadership(Service(tmp_path), ConnectionResetError("away"), None)
    assert await one.win(nothing)


async def test_a_leader_that_cannot_keep_its_next_epoch_stops_and_says_so(
    leadership: Made, tmp_path: Path
) -> None:
    service = Service(tmp_path)
    await leadership(service, "over", FULL).keep()
    assert service.is_stopping()
    assert service.failure is FULL
    [(level, text)] = service.alerts
    assert level == "critical"
    assert "cannot be written" in text


STRICT = LeaseSection(mode="strict")


def test_who_sees_a_later_ones_orders_ends_and_says_so_once(
    leadership: Made, tmp_path: Path
) -> None:
    service = Service(tmp_path, Config(lease=STRICT))
    one = leadership(service)
    assert one.overtaken(9)
    assert one.overtaken(10), "nothing is repaired as it drains either"
    assert one.lease.yielded == 9  # type: ignore[attr-defined]
    assert service.is_stopping()
    assert "another trader holds the lease" in str(service.failure)
    assert len(service.alerts) == 1


def test_no_order_at_a_venue_ends_a_trader_alone_with_its_home(
    leadership: Made, tmp_path: Path
) -> None:
    service = Service(tmp_path)
    assert not leadership(service).overtaken(9)
    assert not service.is_stopping()


@pytest.mark.parametrize(
    ("config", "unfenced"),
    [
        (Config(), False),
        (Config(lease=STRICT), True),
        (Config(lease=STRICT, journal=JournalSection(durability="shipped")), False),
    ],
)
def test_only_a_strict_lease_over_a_local_journal_is_without_a_fence(
    tmp_path: Path, config: Config, unfenced: bool
) -> None:
    made = Leadership(Service(tmp_path, config))  # type: ignore[arg-type]
    assert made.lease.unfenced is unfenced
    made._home_lock.close()


async def test_who_takes_it_without_a_fence_leads_only_when_the_former_is_over(
    leadership: Made, tmp_path: Path
) -> None:
    one = leadership(Service(tmp_path), None, "held", ConnectionResetError("away"), "held")
    one.lease.unfenced = True
    assert await one.win(nothing)
    assert one.lease.orders_in_s() == 0


async def test_who_is_told_to_stop_while_waiting_gives_it_back(
    leadership: Made, tmp_path: Path
) -> None:
    service = Service(tmp_path)
    one = leadership(service, None, "held", "held")
    one.lease.unfenced = True
    service.stop()
    assert await one._waited_out() is False
    assert one.lease.released  # type: ignore[attr-defined]


async def test_who_loses_it_while_waiting_asks_again(leadership: Made, tmp_path: Path) -> None:
    one = leadership(Service(tmp_path), None, "taken", None)
    one.lease.unfenced = True
    assert await one.win(nothing)


async def test_a_home_whose_lock_cannot_be_written_is_told_as_such(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("no folder")
    with pytest.raises(HomeBrokenError, match=r"trading\.lock cannot be written"):
        Leadership(Service(home))  # type: ignore[arg-type]
