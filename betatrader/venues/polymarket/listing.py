"""Markets as instruments: each outcome token is one, with its rules and its fees; how they end.

A new market may be unknown at the venue for some minutes, and a market's rules change while it
trades: both are asked for again and again.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import anyio
import msgspec
import structlog

from betatrader.model.event import Event
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import FEE_UNIT, BinaryContract, BinaryFees
from betatrader.model.market import InstrumentListed, InstrumentStatus, Resolution
from betatrader.model.money import SCALE, Money, Price, Quantity
from betatrader.ops import clock
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.amounts import LOT, number
from betatrader.venues.polymarket.following import Following
from betatrader.venues.polymarket.forms import Rules, instrument_id
from betatrader.venues.polymarket.rest import RefusalError, Rest

DAY_NS = 86_400 * 1_000_000_000
LATEST_NS = 1 << 62
"""An end that is later is this one: the journal keeps 64 bits."""

LOOK_S = 60.0
HINTED_S = 5.0
MOST_MARKETS = 250
"""What one socket can carry: two tokens each."""

ENDED_KEPT = 32
"""Markets that have ended and are remembered, for late fills."""

SOON_S = 15.0
"""How soon a market is asked for again that is not known yet."""


class FeeCurve(NamedTuple):
    """`shares x rate x (p x (1 - p))^exponent`; `rate` in units of 10^-8."""

    rate: int = 0
    exponent: int = 1
    taker_only: bool = True

    def fee(self, price: int, quantity: int, *, maker: bool) -> int:
        """The fee of one fill in cash, rounded to five decimals; less than one of them is none."""
        if maker and self.taker_only:
            return 0
        above, below = quantity * self.rate, SCALE
        for _ in range(self.exponent):
            above, below = above * price * (SCALE - price), below * SCALE * SCALE
        if above < below * FEE_UNIT:
            return 0
        return (2 * above + below * FEE_UNIT) // (2 * below * FEE_UNIT) * FEE_UNIT


def curve_of(fees: wire.Fees | None) -> FeeCurve:
    """A market's fee curve; raises ValueError where it is none that we can bound."""
    if fees is None:
        return FeeCurve()
    rate, exponent = number(fees.r), number(fees.e)
    if exponent % SCALE or not 1 <= exponent // SCALE <= 4 or rate >= SCALE:
        raise ValueError(f"an unknown fee curve: rate {fees.r}, exponent {fees.e}")
    return FeeCurve(rate, exponent // SCALE, fees.to)


def contracts_of(
    found: wire.Parameters, market: wire.Market, now_ns: int, least_taken: int = SCALE
) -> tuple[BinaryContract, ...]:
    """A market's two outcomes as instruments; raises ValueError where it is not of two.

    `least_taken`: the value below which the venue refuses a buy that takes, which it tells nowhere.

    The venue does not net YES against NO by itself: a pair is merged when somebody asks for it.
    """
    if len(found.t) != 2 or not all(token.t.isdecimal() for token in found.t):
        raise ValueError(f"{len(found.t)} outcomes, not two with their tokens")
    curve, tick = curve_of(found.fd), number(found.mts)
    if not 0 < tick < SCALE:
        raise ValueError(f"a tick of {found.mts}")
    fees = BinaryFees(maker_rate=0 if curve.taker_only else curve.rate, taker_rate=curve.rate)
    names = [instrument_id(token.t) for token in found.t]
    return tuple(
        BinaryContract(
            id=names[index],
            event=market.condition_id,
            outcome=token.o,
            complement=names[1 - index],
            expires_ns=_expiry(market, now_ns),
            resolution_source="UMA",
            tick=Price(tick),
            lot=Quantity(LOT),
            min_notional=Money(0),
            fees=fees,
            nets=False,
            min_quantity=Quantity(number(found.mos)),
            min_taken=Money(least_taken),
            exclusive=(market.neg_risk_market_id or "") if market.neg_risk else "",
        )
        for index, token in enumerate(found.t)
    )


def _expiry(market: wire.Market, now_ns: int) -> int:
    """The stated end; a market that is still open then goes on, from day to day."""
    end_ns = 0
    if market.end_date_iso:
        moment = datetime.fromisoformat(market.end_date_iso)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        end_ns = int(moment.timestamp()) * 1_000_000_000
    if end_ns > now_ns + DAY_NS:
        return min(end_ns, LATEST_NS)
    return (now_ns // DAY_NS + 2) * DAY_NS


def payouts_of(market: wire.Market) -> dict[InstrumentId, int]:
    """What each share of an ended market pays; empty where that is not decided."""
    if not market.closed:
        return {}
    if any(token.winner for token in market.tokens):
        return {
            instrument_id(token.token_id): SCALE if token.winner else 0 for token in market.tokens
        }
    if market.is_50_50_outcome:
        return {instrument_id(token.token_id): SCALE // 2 for token in market.tokens}
    return {}


class Listing:
    """The markets of the settings. `take` gets market events, `changed` is called with new
    tokens."""

    def __init__(
        self,
        conditions: tuple[str, ...],
        rest: Rest,
        take: Callable[[Event], None],
        changed: Callable[[tuple[str, ...]], None],
    ) -> None:
        self.conditions = list(conditions)
        self.following: Following | None = None
        self.is_flat: Callable[[str], bool] = lambda _token: False
        """Whether nothing is held of a token any more."""
        self.least_taken = SCALE
        """What a buy that takes must be worth: the venue enforces it, and tells it nowhere."""
        self.has_looked = False
        """Whether each market was asked for and has answered, be it that it is not there."""
        self.rules: dict[str, Rules] = {}
        """By token, of all that was ever listed here."""
        self.curves: dict[str, FeeCurve] = {}
        self.payouts: dict[InstrumentId, int] = {}
        self.markets: dict[str, tuple[str, str]] = {}
        """The two tokens by condition, of all that was ever listed here."""
        self._contracts: dict[InstrumentId, BinaryContract] = {}
        self._tradable: dict[InstrumentId, bool] = {}
        self._rest = rest
        self._take = take
        self._changed = changed
        self._wake = anyio.Event()
        self._missing = False
        self._looked_s = 0.0
        self.trouble = ""
        """Why a market is not known, in the venue's words; "" where all are."""
        self._told: set[str] = set()
        self._log = structlog.get_logger()

    @property
    def tokens(self) -> tuple[str, ...]:
        """Those that trade, or have traded and are not decided."""
        return tuple(name.rpartition(".")[0] for name in self._contracts)

    def knows(self, instrument: InstrumentId) -> bool:
        """Whether it is listed, and has not ended."""
        return instrument in self._contracts

    def is_tradable(self, instrument: InstrumentId) -> bool:
        """Whether the venue takes orders for it."""
        return self._tradable.get(instrument, False)

    def look_now(self) -> None:
        """Ask again without waiting."""
        self._wake.set()

    def look_soon(self) -> None:
        """The same, but no sooner than some time after the last look: a refused order hints at
        rules that have changed, and many may be refused."""
        if clock.boot_s() - self._looked_s >= HINTED_S:
            self._wake.set()

    def announced(self, condition: str, slug: str) -> None:
        """The venue tells of a new market."""
        if self.following is not None and self.following.wants(slug):
            self._follow([condition])
        if condition in self.conditions:
            self.look_now()

    def _follow(self, conditions: list[str]) -> None:
        for condition in conditions:
            if condition and condition not in self.conditions and condition not in self.markets:
                if len(self.conditions) >= MOST_MARKETS:
                    self._log.warning("too_many_markets", condition=condition)
                    return
                self.conditions.append(condition)

    def _is_over(self, condition: str) -> bool:
        tokens = self.markets.get(condition, ())
        return bool(tokens) and all(instrument_id(token) in self.payouts for token in tokens)

    def _forget_ended(self) -> None:
        """Ask no more for what has ended, and forget what ended long ago and is not held."""
        if self.following is None:
            return
        over = [condition for condition in self.markets if self._is_over(condition)]
        self.conditions = [one for one in self.conditions if one not in over]
        for condition in over[: max(0, len(over) - ENDED_KEPT)]:
            tokens = self.markets[condition]
            if all(self.is_flat(token) for token in tokens):
                del self.markets[condition]
                for token in tokens:
                    self.payouts.pop(instrument_id(token), None)
                    self.rules.pop(token, None)
                    self.curves.pop(token, None)

    async def keep(self) -> None:
        """Until cancelled: ask for all markets, again and again."""
        while True:
            await self.look()
            with anyio.move_on_after(SOON_S if self._missing else LOOK_S):
                await self._wake.wait()
            self._wake = anyio.Event()

    async def look(self) -> None:
        """Ask once for all markets; those that do not answer keep their rules."""
        self._looked_s = clock.boot_s()
        self._missing, self.trouble = False, ""
        before, whole = set(self.tokens), True
        if self.following is not None:
            try:
                self._follow(await self.following.look())
            except (OSError, TimeoutError, ValueError) as error:
                self._missing, whole = True, False
                self._log.warning("no_markets", error=str(error))
        for condition in list(self.conditions):
            try:
                market = await self._rest.market(condition)
                found = await self._rest.parameters(condition)
                self.take(market, found)
            except (OSError, TimeoutError, ValueError) as error:
                self._missing = True
                whole = whole and isinstance(error, RefusalError)
                self.trouble = f"market {condition}: {error}"
                level = "info" if self.trouble in self._told else "error"
                self._told.add(self.trouble)
                getattr(self._log, level)("no_market", condition=condition, error=str(error))
        self.has_looked = self.has_looked or whole
        self._forget_ended()
        fresh = tuple(token for token in self.tokens if token not in before)
        if fresh:
            self._changed(fresh)

    def take(self, market: wire.Market, found: wire.Parameters) -> None:
        """What the venue says of one market now; raises ValueError where it cannot be traded."""
        now_ns = clock.now_ns()
        contracts = contracts_of(found, market, now_ns, self.least_taken)
        curve, neg_risk = curve_of(found.fd), bool(found.nr) or market.neg_risk
        for contract in contracts:
            token = contract.id.rpartition(".")[0]
            self.rules[token] = Rules(contract.tick, number(found.mos), neg_risk)
            self.curves[token] = curve
        first, second = (contract.id.rpartition(".")[0] for contract in contracts)
        self.markets[market.condition_id] = first, second
        payouts = payouts_of(market)
        if payouts:
            self.resolve(payouts)
            return
        open_now = market.accepting_orders and market.active and not market.closed
        for contract in contracts:
            if contract.id in self.payouts:
                continue
            if self._contracts.get(contract.id) != contract:
                self._contracts[contract.id] = contract
                self._take(InstrumentListed(now_ns, contract))
            if self._tradable.get(contract.id) is not open_now:
                self._tradable[contract.id] = open_now
                self._take(InstrumentStatus(now_ns, contract.id, open_now))

    def tick_changed(self, token: str, tick: int) -> None:
        """A token's tick is another from now on."""
        name = instrument_id(token)
        contract, rules = self._contracts.get(name), self.rules.get(token)
        if contract is None or rules is None or not 0 < tick < SCALE:
            return
        self.rules[token] = rules._replace(tick=tick)
        if contract.tick != tick:
            changed = msgspec.structs.replace(contract, tick=Price(tick))
            self._contracts[name] = changed
            self._take(InstrumentListed(clock.now_ns(), changed))

    def resolve(self, payouts: dict[InstrumentId, int]) -> None:
        """Contracts have ended, and pay this a share."""
        for name, payout in payouts.items():
            self.payouts[name] = payout
            self._tradable.pop(name, None)
            if self._contracts.pop(name, None) is not None:
                self._take(Resolution(clock.now_ns(), name, payout))
