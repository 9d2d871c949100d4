"""The venue's own account: written by the exchange before it answers, never from our books.

A ledger is folded from entries, so that a venue which keeps its entries comes back with its books.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from betatrader.model.account import Fill, VenueAccount, VenueOrder
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.money import SCALE, cost, proceeds
from betatrader.model.order import OrderState, OrderTerms, Side

ORDERS_KEPT = 50_000
FILLS_KEPT = 10_000
SETTLED_KEPT = 1_000
FILLS_TOLD = 2_000
"""The last ones, in an answer for the account."""


class Deposited(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="deposited"):
    """Cash came in (or went out, where negative)."""

    amount: int


class Accepted(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="accepted"):
    """An order was taken."""

    order: ClientOrderId
    terms: OrderTerms


class Refused(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="refused"):
    """An order was refused."""

    order: ClientOrderId
    reason: str


class Executed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="executed"):
    """An order traded; `nets` names the other outcome where the venue pairs YES with NO."""

    fill: Fill
    nets: InstrumentId | None = None


class Ended(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="ended"):
    """An order left the book before it was filled: CANCELED or EXPIRED."""

    order: ClientOrderId
    state: OrderState
    reason: str


class Amended(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="amended"):
    """A working order asks for less from now on: `quantity` in all."""

    order: ClientOrderId
    quantity: int


class Settled(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="settled"):
    """A contract ended and paid `payout` a share."""

    instrument: InstrumentId
    payout: int


class Merged(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="merged"):
    """So many pairs of two outcomes became cash at 1 each."""

    instrument: InstrumentId
    complement: InstrumentId
    quantity: int


Entry = Deposited | Accepted | Refused | Executed | Ended | Amended | Settled | Merged


class Ledger(msgspec.Struct):
    """Cash, positions, fees and fills of one account at the simulated venue."""

    cash: int = 0
    deposits: int = 0
    fees: int = 0
    positions: dict[InstrumentId, int] = msgspec.field(default_factory=dict)
    orders: dict[ClientOrderId, OrderTerms] = msgspec.field(default_factory=dict)
    """The last orders that were taken: a client order id is refused while it is remembered."""
    working: dict[ClientOrderId, int] = msgspec.field(default_factory=dict)
    """What is left of each order in the book."""
    ended: dict[ClientOrderId, Ended] = msgspec.field(default_factory=dict)
    """How those of `orders` ended that were not filled."""
    settled: dict[InstrumentId, int] = msgspec.field(default_factory=dict)
    """What contracts have paid that were held as they ended."""
    refused: int = 0
    fills: list[Fill] = msgspec.field(default_factory=list)
    """The last executions."""
    fill_count: int = 0
    lowest_cash: int = 0
    shorted: int = 0
    """How often a position went below 0."""
    most_open: int = 0
    """The most orders that rested as a buy came to rest."""
    largest_stake: int = 0
    """The most at stake in an instrument as a buy of it arrived: held at the bid, and open buys."""
    largest_total: int = 0
    """The same over all instruments."""
    most_positions: int = 0
    """The most instruments held or being bought as a buy arrived."""

    def held(self, instrument: InstrumentId) -> int:
        """The quantity of an instrument in the account."""
        return self.positions.get(instrument, 0)

    def apply(self, entry: Entry) -> None:
        """Book one entry."""
        match entry:
            case Deposited():
                self.cash += entry.amount
                self.deposits += entry.amount
            case Accepted():
                self._accept(entry)
            case Refused():
                self.refused += 1
            case Executed():
                self._execute(entry.fill, entry.nets)
            case Ended():
                self.working.pop(entry.order, None)
                self.ended[entry.order] = entry
            case Amended():
                terms = self.orders[entry.order]
                self.working[entry.order] -= terms.quantity - entry.quantity
                self.orders[entry.order] = replace(terms, quantity=entry.quantity)
            case Settled():
                self.settled[entry.instrument] = entry.payout
                if len(self.settled) > SETTLED_KEPT:
                    del self.settled[next(iter(self.settled))]
                quantity = self.positions.pop(entry.instrument, 0)
                self.cash += quantity * entry.payout // SCALE
            case Merged():
                for name in (entry.instrument, entry.complement):
                    self.positions[name] = self.held(name) - entry.quantity
                    self.shorted += self.positions[name] < 0
                self.cash += entry.quantity

    def account(self, asked: Iterable[ClientOrderId]) -> VenueAccount:
        """What the venue answers to a question for the account and for the orders `asked`."""
        filled: dict[ClientOrderId, int] = {}
        for fill in self.fills:
            filled[fill.order] = filled.get(fill.order, 0) + fill.quantity
        names = {*self.working, *(name for name in asked if name in self.orders)}
        orders = {
            name: VenueOrder(name, self.orders[name], filled.get(name, 0), *self._state(name))
            for name in sorted(names)
        }
        fills = tuple(self.fills[-FILLS_TOLD:])
        return VenueAccount(self.cash, dict(self.positions), orders, fills, dict(self.settled))

    def _state(self, order: ClientOrderId) -> tuple[OrderState, str]:
        ended = self.ended.get(order)
        if ended is not None:
            return ended.state, ended.reason
        return (OrderState.ACCEPTED if order in self.working else OrderState.FILLED), ""

    def _accept(self, entry: Accepted) -> None:
        self.orders[entry.order] = entry.terms
        self.working[entry.order] = entry.terms.quantity
        if len(self.orders) > ORDERS_KEPT:
            oldest = next(iter(self.orders))
            del self.orders[oldest]
            self.ended.pop(oldest, None)

    def _execute(self, fill: Fill, nets: InstrumentId | None) -> None:
        self.fills.append(fill)
        self.fill_count += 1
        if len(self.fills) > FILLS_KEPT:
            del self.fills[: FILLS_KEPT // 10]
        left = self.working.get(fill.order, 0) - fill.quantity
        if left > 0:
            self.working[fill.order] = left
        else:
            self.working.pop(fill.order, None)
        self.fees += fill.fee
        name = fill.instrument
        if fill.side is Side.BUY:
            self.cash -= cost(fill.price, fill.quantity) + fill.fee
            self.positions[name] = self.held(name) + fill.quantity - fill.kept
        else:
            self.cash += proceeds(fill.price, fill.quantity) - fill.fee
            self.positions[name] = self.held(name) - fill.quantity
            self.shorted += self.positions[name] < 0
        self.lowest_cash = min(self.lowest_cash, self.cash)
        pairs = min(self.held(name), self.held(nets)) if nets is not None else 0
        if nets is not None and pairs > 0:
            self.positions[name] -= pairs
            self.positions[nets] -= pairs
            self.cash += pairs
