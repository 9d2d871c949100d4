"""Baskets of exclusive outcomes, bought together where they cost less than they must pay.

Two kinds, over contracts that share an `exclusive` text:
- NO of k outcomes, k >= 2: at most one of them is lost, so that k - 1 is paid for certain. That
  holds for any outcomes, be others listed or not.
- YES of each outcome: exactly 1 is paid, but only where no outcome is missing. No venue tells us
  that ("other" may be listed later), so a person does, in `complete`.

The legs are bought at once, each at once or not at all beyond what stands (immediate or cancel),
and as many of each. How many is bound by the worst of all partial fills, which `unhedged_usd`
bounds. What stands alone is completed while the basket still gains, and sold again where it does
not.
"""

from collections.abc import Container
from typing import NamedTuple

import msgspec

from betatrader.engine.market import Market
from betatrader.engine.strategy import Intents, Place, Strategy, View
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce

SECOND_NS = 1_000_000_000
MANY = 1000
"""Shares over which a fee is averaged, so that its rounding does not show in one share's."""


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user may set: USD, dollars a basket, seconds.

    Each leg is an instrument of its own: `most_legs` goes with `open_positions` in [risk], and
    `most_leg_usd` with `position_notional_usd`, or risk refuses the last legs.
    """

    unhedged_usd: float = 5.0
    """The most that a basket may lose, whichever legs fill and whatever comes true."""
    most_leg_usd: float = 15.0
    """The most that is held of one leg."""
    most_legs: int = 3
    least_gain: float = 0.005
    """Of a basket of one share each, after fees."""
    patience_seconds: float = 2.0
    """How long legs alone are kept in the hope that the others can be had."""
    pause_seconds: float = 1.0
    rest_seconds: float = 60.0
    """How long no new basket of a question is bought after legs of one were given up."""
    fresh_seconds: float = 3.0
    """No leg is bought on an older quote; risk refuses those beyond its `stale_data_seconds`."""
    complete: str = ""
    """The questions of which all outcomes are known, and how many: `QUESTION=3, QUESTION=5`, each
    by its contracts' `exclusive` text (Polymarket's neg_risk_market_id)."""

    def __post_init__(self) -> None:
        counts_of(self.complete)
        if self.most_legs < 2:
            raise ValueError(f"most_legs: a basket has 2 legs or more, not {self.most_legs}")


def counts_of(complete: str) -> dict[str, int]:
    """How many outcomes each question has, as `Parameters.complete` says; raises ValueError."""
    counts = {}
    for entry in filter(None, (part.strip() for part in complete.split(","))):
        question, _, count = (part.strip() for part in entry.rpartition("="))
        if not (question.isalnum() and count.isdecimal() and int(count) >= 2):
            raise ValueError(f"complete: write QUESTION=COUNT, with 2 outcomes or more: {entry!r}")
        counts[question] = int(count)
    return counts


class Question(msgspec.Struct, gc=False):
    """What is remembered of one question."""

    names: list[InstrumentId] = []
    """Its contracts, YES and NO, as they were seen."""
    next_ns: int = 0
    uneven_ns: int = 0
    """Since when legs have stood alone; 0: none does."""
    rest_ns: int = 0
    """No new basket before."""


class Leg(NamedTuple):
    """One contract of a basket: what this strategy holds of it, and paid for that with fees."""

    market: Market
    held: int
    paid: int

    @property
    def unit(self) -> int:
        """What a share costs at the ask, with its fee, rounded up."""
        ask, fees = self.market.ask, self.market.definition.fees
        return ask - (-fees.fee(ask, MANY * SCALE, maker=False) // MANY)

    def paid_for(self, quantity: int) -> int:
        """What so many of the shares that are held cost, rounded up."""
        return -(-self.paid * quantity // self.held) if self.held else 0

    def whole(self, quantity: int) -> int:
        """The quantity in whole lots; 0 where the venue would find it too small."""
        rules = self.market.definition
        quantity = quantity // rules.lot * rules.lot
        return quantity if quantity >= rules.min_quantity else 0

    def buyable(self, quantity: int) -> int:
        """The same, worth what the venue demands at the least of what does not close a position."""
        quantity = self.whole(quantity)
        least = self.market.definition.least_taken
        return quantity if quantity * self.market.ask >= least * SCALE else 0


def no_loss(legs: list[Leg]) -> int:
    """What NOs of exclusive outcomes lose at the worst: all pay but the one held most of."""
    most = max((leg.held for leg in legs), default=0)
    return most + sum(leg.paid - leg.held for leg in legs)


def yes_loss(legs: list[Leg], *, complete: bool) -> int:
    """What YESes lose at the worst: the one held least of pays, or none where one is missing."""
    least = min((leg.held for leg in legs), default=0) if complete else 0
    return sum(leg.paid for leg in legs) - least


class Basket(Strategy):
    """Baskets of exclusive outcomes, whichever of their contracts the news is about."""

    name = "basket"
    parameters_type = Parameters
    memory_type = dict[str, Question]

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = given = parameters or Parameters()
        self._unhedged, self._most_leg, self._gain = (
            int(usd * SCALE) for usd in (given.unhedged_usd, given.most_leg_usd, given.least_gain)
        )
        self._patience_ns, self._pause_ns, self._rest_ns, self._fresh_ns = (
            int(seconds * SECOND_NS)
            for seconds in (
                given.patience_seconds,
                given.pause_seconds,
                given.rest_seconds,
                given.fresh_seconds,
            )
        )
        self._counts = counts_of(given.complete)
        self.memory: dict[str, Question] = {}

    def forget(self, live: Container[InstrumentId]) -> None:
        """Drop the contracts that are gone, and the questions that have none left."""
        for key, question in list(self.memory.items()):
            question.names = [name for name in question.names if name in live]
            if not question.names:
                del self.memory[key]

    def on_quote(self, view: View, market: Market) -> Intents:
        """Look at the question that the contract is an answer to."""
        contract = market.definition
        if not isinstance(contract, BinaryContract) or not contract.exclusive:
            return None
        key = f"{contract.exclusive}.{venue_of(contract.id)}"
        question = self.memory.setdefault(key, Question())
        if contract.id not in question.names:
            question.names.append(contract.id)
        if view.now_ns < question.next_ns:
            return None
        intents = self._look(view, question, contract.exclusive)
        if intents:
            question.next_ns = view.now_ns + self._pause_ns
        return intents

    on_tick = on_quote

    def _look(self, view: View, question: Question, exclusive: str) -> Intents:
        yes: list[Leg] = []
        no: list[Leg] = []
        lost = 0
        for name in question.names:
            market = view.market(name)
            contract = market.definition
            assert isinstance(contract, BinaryContract)
            if market.resolved:
                if contract.is_yes and market.payout:
                    return None  # decided: what is left follows
                lost += contract.is_yes
            elif view.orders(name):
                return None  # a leg is under way
            else:
                (yes if contract.is_yes else no).append(_leg(view, market))
        complete = bool(yes) and len(yes) + lost == self._counts.get(exclusive, 0)
        alone = _alone(no, yes if complete else [])
        if any(leg.whole(more) for leg, more in alone):
            question.uneven_ns = question.uneven_ns or view.now_ns
            if view.now_ns - question.uneven_ns >= self._patience_ns:
                sales = _sales(alone)
                if sales:
                    question.rest_ns = view.now_ns + self._rest_ns
                    return sales
            return self._complete(view, no, yes if complete else [])
        question.uneven_ns = 0
        more = self._complete(view, no, yes if complete else [])
        if more or view.now_ns < question.rest_ns:
            return more
        free = self._unhedged - max(0, no_loss(no)) - max(0, yes_loss(yes, complete=complete))
        return self._buy_no(view, no, free) or (
            self._buy_yes(view, yes, free) if complete else None
        )

    def _complete(self, view: View, no: list[Leg], yes: list[Leg]) -> list[Place]:
        return self._complete_no(view, no) or (self._complete_yes(view, yes) if yes else [])

    def _usable(self, view: View, leg: Leg) -> bool:
        """Whether the leg may be bought, at what it is quoted at."""
        market = leg.market
        return bool(
            market.ask
            and market.tradable
            and not market.crossed
            and view.now_ns - market.updated_ns <= self._fresh_ns
            and view.may_add_risk_in(market)
        )

    def _buy_no(self, view: View, legs: list[Leg], free: int) -> Intents:
        """As many NO as gain, the cheapest first: one of them alone may be lost, at the worst."""
        chosen = self._cheap(view, legs)[: self.parameters.most_legs]
        if len(chosen) < 2:
            return None
        gain = sum(SCALE - leg.unit for leg in chosen) - SCALE
        return self._buy(chosen, gain, free * SCALE // chosen[-1].unit)

    def _buy_yes(self, view: View, legs: list[Leg], free: int) -> Intents:
        """All YES: at the worst each fills but the cheapest, and that one comes true."""
        fit = 2 <= len(legs) <= self.parameters.most_legs
        if not fit or not all(self._usable(view, leg) for leg in legs):
            return None
        units = [leg.unit for leg in legs]
        return self._buy(legs, SCALE - sum(units), free * SCALE // (sum(units) - min(units)))

    def _buy(self, legs: list[Leg], gain: int, most: int) -> Intents:
        """The same quantity of each leg, `most` at the most; none where one would be too small."""
        if gain < self._gain:
            return None
        room = ((self._most_leg - leg.paid) * SCALE // leg.unit for leg in legs)
        lot = max(leg.market.definition.lot for leg in legs)
        quantity = max(0, min(most, *room, *(leg.market.ask_size for leg in legs))) // lot * lot
        if not quantity or not all(leg.buyable(quantity) for leg in legs):
            return None
        return [_take(leg.market, Side.BUY, quantity, "basket") for leg in legs]

    def _cheap(self, view: View, legs: list[Leg]) -> list[Leg]:
        """The legs that cost less than they may pay, the cheapest first."""
        found = [leg for leg in legs if self._usable(view, leg) and leg.unit < SCALE]
        return sorted(found, key=lambda leg: (leg.unit, leg.market.id))

    def _complete_no(self, view: View, legs: list[Leg]) -> list[Place]:
        """More NO up to what is held most of, where all then gain. Each lowers what may be lost."""
        loss, most = no_loss(legs), max((leg.held for leg in legs), default=0)
        if loss <= 0:
            return []
        short = [leg for leg in self._cheap(view, legs) if leg.held < most]
        free = self.parameters.most_legs - sum(leg.held > 0 for leg in legs)
        bought = []
        for leg in short:
            free -= leg.held == 0
            if leg.held == 0 and free < 0:
                continue
            quantity = leg.buyable(min(most - leg.held, leg.market.ask_size))
            if quantity:
                loss -= quantity * (SCALE - leg.unit) // SCALE
                bought.append(_take(leg.market, Side.BUY, quantity, "completes the basket"))
        return bought if loss < 0 else []

    def _complete_yes(self, view: View, legs: list[Leg]) -> list[Place]:
        """The YES that are missing, all of them, where the basket then gains and no partial fill
        loses too much."""
        most, least = max(leg.held for leg in legs), min(leg.held for leg in legs)
        short = [leg for leg in legs if leg.held < most]
        if not short or not all(self._usable(view, leg) for leg in short):
            return []
        level = min(most, *(leg.held + leg.market.ask_size for leg in short))
        needed = [(leg, quantity) for leg in short if (quantity := leg.buyable(level - leg.held))]
        bought = {leg.market.id: quantity for leg, quantity in needed}
        reached = min(leg.held + bought.get(leg.market.id, 0) for leg in legs)
        costs = [-(-leg.unit * quantity // SCALE) for leg, quantity in needed]
        spent = sum(leg.paid_for(max(0, min(leg.held, reached) - least)) for leg in legs)
        if spent + sum(costs) >= reached - least:
            return []
        if yes_loss(legs, complete=True) + sum(costs) - min(costs) > self._unhedged:
            return []
        return [
            _take(leg.market, Side.BUY, quantity, "completes the basket")
            for leg, quantity in needed
        ]


def _leg(view: View, market: Market) -> Leg:
    held, price = view.position(market.id), view.average_price(market.id)
    paid = -(-price * held // SCALE) + market.definition.fees.fee(price, held, maker=False)
    return Leg(market, held, paid)


def _alone(no: list[Leg], yes: list[Leg]) -> list[tuple[Leg, int]]:
    """The legs that stand alone, and how much of each: to sell it takes nothing from what is paid
    at the worst.

    Of NO: the one held most of, above the second. Of YES: each, above the one held least of.
    """
    found = []
    if no:
        first, *others = sorted(no, key=lambda leg: -leg.held)
        found.append((first, first.held - max((leg.held for leg in others), default=0)))
    if yes:
        least = min(leg.held for leg in yes)
        found += [(leg, leg.held - least) for leg in yes]
    return [(leg, more) for leg, more in found if more > 0]


def _sales(alone: list[tuple[Leg, int]]) -> list[Place]:
    return [
        _take(leg.market, Side.SELL, quantity, "no other legs are to be had")
        for leg, more in alone
        if leg.market.bid and (quantity := leg.whole(min(more, leg.market.bid_size)))
    ]


def _take(market: Market, side: Side, quantity: int, reason: str) -> Place:
    """What stands there now, and no more."""
    price = market.ask if side is Side.BUY else market.bid
    terms = OrderTerms(market.id, side, OrderType.LIMIT, price, quantity, TimeInForce.IOC)
    return Place(terms, reason)
