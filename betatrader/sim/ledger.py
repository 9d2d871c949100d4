"""The venue's own account: written by the exchange before it answers, never from our books."""

import msgspec

from betatrader.model.account import Fill
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.instrument import BinaryContract, Instrument
from betatrader.model.money import SCALE, cost, proceeds
from betatrader.model.order import OrderTerms, Side

ORDERS_KEPT = 50_000
FILLS_KEPT = 10_000


class Ledger(msgspec.Struct):
    """Cash, positions, fees and fills of one account at the simulated venue."""

    cash: int = 0
    deposits: int = 0
    fees: int = 0
    positions: dict[InstrumentId, int] = msgspec.field(default_factory=dict)
    orders: dict[ClientOrderId, OrderTerms] = msgspec.field(default_factory=dict)
    """The last orders that were taken: a client order id is refused while it is remembered."""
    refused: int = 0
    fills: list[Fill] = msgspec.field(default_factory=list)
    """The last executions."""
    fill_count: int = 0
    lowest_cash: int = 0
    shorted: int = 0
    """How often a position went below 0."""
    most_open: int = 0
    """The most orders that rested at once."""
    largest_stake: int = 0
    """The most at stake in one instrument as a buy arrived: held at the bid, and open buys."""
    largest_total: int = 0
    """The same over all instruments."""
    most_positions: int = 0
    """The most instruments held or being bought as a buy arrived."""

    def held(self, instrument: InstrumentId) -> int:
        """The quantity of an instrument in the account."""
        return self.positions.get(instrument, 0)

    def accept(self, order: ClientOrderId, terms: OrderTerms) -> None:
        """Take an order down, before it is answered."""
        self.orders[order] = terms
        if len(self.orders) > ORDERS_KEPT:
            del self.orders[next(iter(self.orders))]

    def record(self, fill: Fill, definition: Instrument) -> None:
        """Book one execution; a venue that nets turns one YES and one NO into one unit of cash."""
        self.fills.append(fill)
        self.fill_count += 1
        if len(self.fills) > FILLS_KEPT:
            del self.fills[: FILLS_KEPT // 10]
        self.fees += fill.fee
        name = fill.instrument
        if fill.side is Side.BUY:
            self.cash -= cost(fill.price, fill.quantity) + fill.fee
            self.positions[name] = self.held(name) + fill.quantity
        else:
            self.cash += proceeds(fill.price, fill.quantity) - fill.fee
            self.positions[name] = self.held(name) - fill.quantity
            self.shorted += self.positions[name] < 0
        self.lowest_cash = min(self.lowest_cash, self.cash)
        if isinstance(definition, BinaryContract) and definition.nets:
            pairs = min(self.held(name), self.held(definition.complement))
            if pairs > 0:
                self.positions[name] -= pairs
                self.positions[definition.complement] -= pairs
                self.cash += pairs

    def settle(self, instrument: InstrumentId, payout: int) -> None:
        """Pay out a contract that has ended."""
        self.cash += self.positions.pop(instrument, 0) * payout // SCALE
