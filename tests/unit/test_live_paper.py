"""The paper venue on a live market: orders meet the live book, and contracts live on."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from scenes import NO, SECOND, YES, Scene, coin, contract, quote, terms

from betatrader.config import loads
from betatrader.engine.strategy import Place
from betatrader.model.account import CashFlow, Fill
from betatrader.model.command import Approved
from betatrader.model.market import BookSnapshot, InstrumentListed, Resolution
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Side
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, NotSentError
from betatrader.ops import clock
from betatrader.roles.desks import Ground, PaperDesk
from betatrader.roles.live_paper import LivePaperDesk, ShadowDesk, paper_desk
from betatrader.store.schema import Schema
from betatrader.venues.binance.orders import KeyRights
from betatrader.venues.binance.public import PublicRest, Unsigned
from betatrader.venues.binance.rest import RefusalError
from betatrader.venues.egress import NOBODY_ASKED
from betatrader.venues.polymarket.rest import Rest

TABLES = '[binance]\nsymbols = ["BTCUSDT"]\n[polymarket]\nmarkets = ["0x1"]\n'
KEYS = {
    "BETATRADER_BINANCE__KEY": "the-key-of-the-account",
    "BETATRADER_BINANCE__SECRET": "a-secret-of-hmac-kind",
    "BETATRADER_POLYMARKET__PRIVATE_KEY": f"0x{'11' * 32}",
}


class Told:
    """A scene in the place of the trader, and all that it was told."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.events: list[Any] = []

    def take(self, event: Any) -> None:
        self.events.append(event)
        self.scene.take(event)


def desk(
    folder: Path, text: str = f'[paper]\nmarket = "live"\n{TABLES}', told: Told | None = None
) -> tuple[Told, Any]:
    told, config = told or Told(), loads(text, "f.toml", KEYS).config
    ground = Ground(config, folder, None, Schema())  # type: ignore[arg-type]
    return told, paper_desk(ground, lambda: told.scene.state, told.take)


def test_the_configuration_chooses_the_desk(tmp_path: Path) -> None:
    assert type(desk(tmp_path / "a", "")[1]) is PaperDesk
    _, live = desk(tmp_path / "b")
    assert type(live) is LivePaperDesk
    assert [market.name for market, _ in live.markets] == ["BINANCE", "POLYMARKET"]
    _, shadow = desk(tmp_path / "c", f'mode = "shadow"\n{TABLES}')
    assert type(shadow) is ShadowDesk
    assert set(shadow.venue.signers) == {"BINANCE", "POLYMARKET"}
    for one in (live, shadow):
        one.close()


async def test_an_order_meets_the_book_that_the_venue_shows(tmp_path: Path) -> None:
    told, live = desk(tmp_path)
    await live.open(1, is_new=True)
    assert isinstance(told.events[0], CashFlow)
    now = clock.now_ns()
    live._shown(InstrumentListed(now, coin()))
    levels = ((parse("9.99"), SCALE),), ((parse("10.01"), SCALE),)
    live._shown(BookSnapshot(now, coin().id, *levels))
    told.scene.puppet.intents = [Place(terms(Side.BUY, "10.01", "0.5"), "test")]
    step = told.scene.take(msgspec.structs.replace(quote("9.99", "10.01"), time_ns=now))
    assert step is not None
    [order] = [change for change in step.changes if isinstance(change, Approved)]
    live.venue.submit(order, now)
    live._shown(BookSnapshot(now + SECOND, coin().id, *levels))
    live.venue.advance(now + SECOND)
    [fill] = [event for event in told.events if isinstance(event, Fill)]
    assert (fill.order, fill.price) == (order.order, parse("10.01"))
    live.close()


async def test_a_live_contract_goes_on_where_a_generated_one_has_ended(tmp_path: Path) -> None:
    told, live = desk(tmp_path)
    ours = "77.POLYMARKET"
    listed = msgspec.structs.replace(contract(YES), id=ours, complement="78.POLYMARKET")
    live._shown(InstrumentListed(SECOND, listed))
    await live.settle_lost()
    ended = {event.instrument for event in told.events if isinstance(event, Resolution)}
    assert ended == {YES, NO}
    live.close()


OURS = "77.POLYMARKET"


async def bought(told: Told, live: Any) -> None:
    """Buy 5 of a contract that the live market shows."""
    now = clock.now_ns()
    listed = msgspec.structs.replace(contract(YES), id=OURS, complement="78.POLYMARKET")
    live._shown(InstrumentListed(now, listed))
    levels = ((parse("0.40"), 9 * SCALE),), ((parse("0.42"), 9 * SCALE),)
    live._shown(BookSnapshot(now, OURS, *levels))
    told.scene.puppet.intents = [Place(terms(Side.BUY, "0.42", "5", OURS), "test")]
    step = told.scene.take(msgspec.structs.replace(quote("0.40", "0.42", 1, OURS), time_ns=now))
    [order] = [change for change in step.changes if isinstance(change, Approved)]
    live.venue.submit(order, now)
    live.venue.advance(now + SECOND)
    [fill] = [event for event in told.events if isinstance(event, Fill)]
    assert fill.quantity == 5 * SCALE


@pytest.mark.parametrize("payout", [SCALE, 0])
async def test_a_contract_of_before_is_paid_though_its_market_ended_while_we_were_down(
    tmp_path: Path, payout: int
) -> None:
    told, live = desk(tmp_path)
    await live.open(1, is_new=True)
    await bought(told, live)
    left, ours = live.venue.exchange.ledgers["us"].cash, told.scene.state.portfolio.cash
    live.close()
    told, again = desk(tmp_path, told=told)
    await again.open(2, is_new=False)
    await again.settle_lost()
    [market] = [market for market, _ in again.markets if market.name == "POLYMARKET"]
    assert market._before == {OURS}, "its end is waited for"
    market._listing.payouts[OURS] = payout  # as the venue tells of it now: it is listed no more
    with anyio.move_on_after(0.1):
        await market._end_of_before()
    ledger = again.venue.exchange.ledgers["us"]
    assert (ledger.positions, ledger.cash) == ({}, left + 5 * payout)
    state = told.scene.state
    assert state.markets[OURS].resolved
    assert list(state.portfolio.open_positions()) == []
    assert state.portfolio.cash == ours + 5 * payout
    assert ledger.settled == {OURS: payout}
    again.close()


async def test_an_end_that_the_trader_took_as_it_died_is_paid_at_the_next_start(
    tmp_path: Path,
) -> None:
    told, live = desk(tmp_path)
    await live.open(1, is_new=True)
    await bought(told, live)
    left = live.venue.exchange.ledgers["us"].cash
    told.take(Resolution(clock.now_ns(), OURS, SCALE))  # and the venue never does
    live.close()
    told, again = desk(tmp_path, told=told)
    await again.open(2, is_new=False)
    await again.settle_lost()
    ledger = again.venue.exchange.ledgers["us"]
    assert (ledger.positions, ledger.cash) == ({}, left + 5 * SCALE)
    again.close()


async def test_once_it_settles_the_market_is_followed_no_more(tmp_path: Path) -> None:
    told, live = desk(tmp_path)
    await live.settle()
    live._shown(InstrumentListed(SECOND, coin()))
    assert told.events == []
    assert await live.egress() == NOBODY_ASKED, "no order of ours can reach the venue from here"
    live.close()


class Answers:
    """A venue that tells the time, and keeps the headers of who asked."""

    headers: Any = None

    async def request(self, *_: Any, headers: Any = None, **__: Any) -> Answer:
        self.headers = headers
        return Answer(200, b'{"serverTime":1700000000000}', {})


async def test_without_a_key_no_header_speaks_of_one() -> None:
    venue = Answers()
    rest = PublicRest(venue, "http://venue", Secret(), Unsigned(), 2_000)  # type: ignore[arg-type]
    await rest.measure_clock()
    assert venue.headers == {}
    assert await rest.key_rights() == KeyRights()
    with pytest.raises(RefusalError, match="needs a key"):
        await rest.commission("BTCUSDT")
    public = Rest(venue, "http://venue", None, None)  # type: ignore[arg-type]
    with pytest.raises(NotSentError, match="no account is set"):
        await public.key_of_account()
