"""A seeded market: believable order flow for a spot pair, and for a contract that resolves.

What it does, stated in full, since a model is trained on it:
- Arrivals are Poisson. At each, the hidden value moves (Brownian), and so does a hidden
  mispricing: an Ornstein-Uhlenbeck process by which the market's price lags the value.
- The contract comes true where the hidden walk ends above 0, so its true probability is
  Phi(walk / sqrt(time left)); the market shows Phi(that - mispricing).
- The learnable pattern: the sizes at the top of the book and the sides of trades lean towards the
  value, noisily. With `pattern = 0` there is neither mispricing nor leaning.

Pure: all randomness comes from the seed. Times start at 0; the edge moves them to the present.
"""

import math
import random
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

from betatrader.model.event import MarketInput
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract, BinaryFees, ProportionalFees, Spot
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    Level,
    PublicTrade,
    Resolution,
)
from betatrader.model.money import SCALE, Money, Price, Quantity

SECOND_NS = 1_000_000_000
CONTRACT_SECONDS = 30.0
ARRIVALS_PER_SECOND = 20.0
TRADE_SHARE = 0.3
LEVELS = 8
MISPRICING_SD = 0.2
"""Of the contract, in standard deviations of the normal distribution: about 0.08 at 0.5."""
MISPRICING_RETURN_SECONDS = 8.0
SPOT_MISPRICING_SD = 0.00008
"""Of the spot pair, relative: under a basis point, far below a taker's fee of 10."""
SPOT_VOLATILITY = 0.00005
"""Relative, a square root of a second."""
LEAN = 1.2
"""How strongly sizes lean towards the value, a standard deviation of mispricing."""
NOISE = 0.7
TRADE_LEAN = 0.2

_PHI = NormalDist()


class Arrival(NamedTuple):
    """What one arrival shows, and the true value that only the generator knows."""

    events: list[MarketInput]
    truth: float
    time_ns: int


class _Hidden:
    """The mispricing, in units of its standard deviation, and the noise around it."""

    def __init__(self, chance: random.Random, pattern: float) -> None:
        self.chance = chance
        self.pattern = pattern
        self.mispricing = chance.gauss(0.0, 1.0)

    def pass_time(self, seconds: float) -> None:
        kept = math.exp(-seconds / MISPRICING_RETURN_SECONDS)
        self.mispricing = self.mispricing * kept + math.sqrt(1.0 - kept * kept) * self.chance.gauss(
            0.0, 1.0
        )

    def balance(self) -> float:
        """How the sizes at the top lean, in -1..1; positive to the bid."""
        lean = LEAN * self.pattern * self.mispricing
        return math.tanh(lean + NOISE * self.chance.gauss(0.0, 1.0))

    def buyer_takes(self) -> bool:
        lean = TRADE_LEAN * self.pattern * self.mispricing
        return self.chance.random() < 0.5 + max(-0.4, min(0.4, lean))


class _Ladder:
    """The shown book: a spread around the mid, and levels whose sizes live on while in place."""

    def __init__(self, chance: random.Random, tick: int, size: int, lot: int, top: int) -> None:
        self.chance = chance
        self.tick = tick
        self.size = size
        self.lot = lot
        self.top_price = top
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def place(self, mid: float, balance: float) -> tuple[list[Level], list[Level]]:
        """Move the book to this mid; what changed is returned."""
        spread = self.tick * self.chance.choice((2, 2, 3, 3, 4))
        bid = int((mid - spread / 2) // self.tick) * self.tick
        bid = max(self.tick, min(bid, self.top_price - 2 * self.tick))
        ask = min(max(bid + spread, bid + self.tick), self.top_price - self.tick)
        bids = self._side(self.bids, bid, -self.tick, 1.0 + 0.8 * balance)
        asks = self._side(self.asks, ask, self.tick, 1.0 - 0.8 * balance)
        changed = _difference(self.bids, bids), _difference(self.asks, asks)
        self.bids, self.asks = bids, asks
        return changed

    def take(self, *, buyer_takes: bool) -> tuple[int, int, list[Level], list[Level]]:
        """A market order against the best level: price, quantity, and the changed levels."""
        sizes = self.asks if buyer_takes else self.bids
        price = min(sizes) if buyer_takes else max(sizes)
        wanted = self._round(self.size * self.chance.expovariate(2.0))
        quantity = min(wanted, sizes[price])
        sizes[price] -= quantity
        if len(sizes) == 1 and not sizes[price]:
            sizes[price] = self.lot  # near 0 and 1 a side has one level, which never empties
        changed = [(price, sizes[price])]
        if not sizes[price]:
            del sizes[price]
        return price, quantity, [] if buyer_takes else changed, changed if buyer_takes else []

    def _side(self, old: dict[int, int], best: int, step: int, lean: float) -> dict[int, int]:
        new = {best: self._round(self.size * lean)}
        for level in range(1, LEVELS):
            price = best + level * step
            if not 0 < price < self.top_price:
                break
            known = old.get(price, 0)
            if known and self.chance.random() < 0.8:
                new[price] = known
            else:
                new[price] = self._round(self.size * (0.5 + level * self.chance.random()))
        return new

    def _round(self, quantity: float) -> int:
        return max(self.lot, int(quantity) // self.lot * self.lot)


def _difference(old: dict[int, int], new: dict[int, int]) -> list[Level]:
    changed = [(price, size) for price, size in new.items() if old.get(price) != size]
    return changed + [(price, 0) for price in old if price not in new]


def contract_definitions(
    seed: int, loop: int, world: str = ""
) -> tuple[BinaryContract, BinaryContract]:
    """YES and NO of one generated event; the expiry counts from 0.

    `world` tells contracts apart that were generated alike at different times.
    """
    event = f"UP{seed}-{world}{loop}"
    names = InstrumentId(f"{event}-YES.SIM"), InstrumentId(f"{event}-NO.SIM")
    yes, no = (
        BinaryContract(
            id=names[index],
            event=event,
            outcome=outcome,
            complement=names[1 - index],
            expires_ns=int(CONTRACT_SECONDS * SECOND_NS),
            resolution_source="the generator's hidden walk ends above 0",
            tick=Price(SCALE // 100),
            lot=Quantity(SCALE // 100),
            min_notional=Money(SCALE),
            fees=BinaryFees(maker_rate=0, taker_rate=7_000_000),
            nets=False,  # as on Polymarket, where merging a pair is a request of its own
        )
        for index, outcome in enumerate(("YES", "NO"))
    )
    return yes, no


def spot_definition() -> Spot:
    """The generated spot pair, with Binance's fees and rules."""
    return Spot(
        id=InstrumentId("GENUSDT.SIM"),
        base="GEN",
        quote="USDT",
        tick=Price(SCALE // 100),
        lot=Quantity(1_000),
        min_notional=Money(5 * SCALE),
        fees=ProportionalFees(maker_rate=100_000, taker_rate=100_000),
    )


def binary_market(
    seed: int, loop: int = 0, pattern: float = 1.0, world: str = ""
) -> Iterator[Arrival]:
    """One contract from its listing to its resolution; `truth` is the probability of YES."""
    chance = random.Random(f"binary {seed} {loop}")
    hidden = _Hidden(chance, pattern)
    yes, no = contract_definitions(seed, loop, world)
    ladder = _Ladder(chance, yes.tick, 150 * SCALE, SCALE, SCALE)
    walk = _PHI.inv_cdf(0.3 + 0.4 * chance.random()) * math.sqrt(CONTRACT_SECONDS)
    seconds = 0.0
    listed: list[MarketInput] = [InstrumentListed(0, yes), InstrumentListed(0, no)]
    yield Arrival(listed, 0.5, 0)
    opened = False
    while True:
        wait = chance.expovariate(ARRIVALS_PER_SECOND)
        seconds += wait
        if seconds >= CONTRACT_SECONDS:
            break
        walk += chance.gauss(0.0, math.sqrt(wait))
        hidden.pass_time(wait)
        score = walk / math.sqrt(CONTRACT_SECONDS - seconds)
        truth = _PHI.cdf(score)
        shown = _PHI.cdf(score - MISPRICING_SD * pattern * hidden.mispricing)
        now = int(seconds * SECOND_NS)
        if opened and chance.random() < TRADE_SHARE:
            yield Arrival(_contract_trade(ladder, hidden, yes, no, now), truth, now)
            continue
        bids, asks = ladder.place(shown * SCALE, hidden.balance())
        kind = BookDelta if opened else BookSnapshot
        opened = True
        yield Arrival(_both(kind, now, (yes.id, no.id), bids, asks), truth, now)
    end = int(CONTRACT_SECONDS * SECOND_NS)
    payout = SCALE if walk > 0.0 else 0
    over: list[MarketInput] = [
        Resolution(end, yes.id, payout),
        Resolution(end, no.id, SCALE - payout),
    ]
    yield Arrival(over, payout / SCALE, end)


def spot_market(seed: int, seconds: float, pattern: float = 1.0) -> Iterator[Arrival]:
    """A spot pair for so many seconds; `truth` is the hidden value in USD."""
    chance = random.Random(f"spot {seed}")
    hidden = _Hidden(chance, pattern)
    definition = spot_definition()
    ladder = _Ladder(chance, definition.tick, SCALE, definition.lot, 1 << 62)
    value = 1000.0
    yield Arrival([InstrumentListed(0, definition)], value, 0)
    passed, opened = 0.0, False
    while True:
        wait = chance.expovariate(ARRIVALS_PER_SECOND)
        passed += wait
        if passed >= seconds:
            return
        value *= math.exp(SPOT_VOLATILITY * math.sqrt(wait) * chance.gauss(0.0, 1.0))
        hidden.pass_time(wait)
        now = int(passed * SECOND_NS)
        if opened and chance.random() < TRADE_SHARE:
            buyer = hidden.buyer_takes()
            price, quantity, bids, asks = ladder.take(buyer_takes=buyer)
            trade = PublicTrade(now, definition.id, price, quantity, buyer)
            change = BookDelta(now, definition.id, tuple(bids), tuple(asks))
            yield Arrival([trade, change], value, now)
            continue
        shown = value * (1.0 - SPOT_MISPRICING_SD * pattern * hidden.mispricing)
        changed_bids, changed_asks = ladder.place(shown * SCALE, hidden.balance())
        kind = BookDelta if opened else BookSnapshot
        opened = True
        book = kind(now, definition.id, tuple(changed_bids), tuple(changed_asks))
        yield Arrival([book], value, now)


def _contract_trade(
    ladder: _Ladder, hidden: _Hidden, yes: BinaryContract, no: BinaryContract, now: int
) -> list[MarketInput]:
    """A trade against YES's book, shown on YES or, mirrored, on NO: one trade happens once."""
    buyer = hidden.buyer_takes()
    price, quantity, bids, asks = ladder.take(buyer_takes=buyer)
    if hidden.chance.random() < 0.5:
        trade = PublicTrade(now, yes.id, price, quantity, buyer)
    else:
        trade = PublicTrade(now, no.id, SCALE - price, quantity, not buyer)
    return [trade, *_both(BookDelta, now, (yes.id, no.id), bids, asks)]


def _both(
    kind: type[BookDelta] | type[BookSnapshot],
    now: int,
    pair: tuple[InstrumentId, InstrumentId],
    bids: list[Level],
    asks: list[Level],
) -> list[MarketInput]:
    """A change of YES's book, and what it means for NO: a bid for one is an offer of the other."""
    mirrored_bids = tuple((SCALE - price, size) for price, size in asks)
    mirrored_asks = tuple((SCALE - price, size) for price, size in bids)
    return [
        kind(now, pair[0], tuple(bids), tuple(asks)),
        kind(now, pair[1], mirrored_bids, mirrored_asks),
    ]
