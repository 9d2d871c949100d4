"""What Binance says of our orders and balances, as account events of ours. Pure.

Fees. What is paid in the quote is the fill's `fee`. What is taken out of what was bought is `kept`:
it fills the order and never comes into the position. What is paid in a third asset (BNB) is no
part of the books: it is counted, and where that asset is one that we trade, reconciliation finds
its position smaller. With that, cash and position
are the venue's to the last unit: where its quote amount and our rounding differ, the fee takes up
the difference.
"""

from collections.abc import Iterable
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from betatrader.model.account import (
    AccountEvent,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
    VenueOrder,
)
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.instrument import Spot
from betatrader.model.money import cost, floor, proceeds
from betatrader.model.order import OrderState, Side
from betatrader.ops import metrics
from betatrader.venues.binance.orders import (
    AccountInfo,
    ExecutionReport,
    MyTrade,
    OrderInfo,
    state_of,
    terms_of,
)
from betatrader.venues.binance.wire import VENUE, bounded, units
from betatrader.venues.reconcile import is_ours

SELF_TRADE = "would have traded with an order of ours"
LOWERED = "its quantity was lowered at the venue, by other hands"
FILLS_KEPT = 2_000
"""Executions remembered: as many as one statement of our account holds."""

NAMES_KEPT = 20_000
"""Orders whose client ids are remembered by the venue's ids."""


End = OrderCanceled | OrderExpired | OrderRejected


class Execution(NamedTuple):
    """One execution as the venue tells of it, on its stream or when asked."""

    side: Side
    price: str
    quantity: str
    quote: str
    commission: str
    asset: str
    maker: bool
    trade_id: int


def execution_of(report: ExecutionReport) -> Execution:
    """The execution that a report of the stream is about."""
    return Execution(
        Side(report.side),
        report.last_price,
        report.last_quantity,
        report.last_quote,
        report.commission or "0",
        report.commission_asset or "",
        report.maker,
        report.trade_id,
    )


def execution_in(trade: MyTrade) -> Execution:
    """The execution that an answer to a question is about."""
    return Execution(
        Side.BUY if trade.is_buyer else Side.SELL,
        trade.price,
        trade.qty,
        trade.quote_qty,
        trade.commission,
        trade.commission_asset,
        trade.is_maker,
        trade.id,
    )


def fill(
    time_ns: int, order: ClientOrderId, spot: Spot, told: Execution, spots: Iterable[Spot] = ()
) -> Fill:
    """An execution as a fill; raises ValueError where its numbers cannot be read. A fee in an asset
    that one of `spots` holds is taken out of that position (BNB, where its pair is traded too)."""
    price, quantity = units(told.price), units(told.quantity)
    buys = told.side is Side.BUY
    paid = units(told.commission)
    fee = paid if told.asset == spot.quote else 0
    kept = paid if told.asset == spot.base and buys else 0
    elsewhere = None
    if paid and told.asset != spot.quote and not kept:
        elsewhere = next((one.id for one in spots if one.base == told.asset), None)
    if told.quote:
        moved = units(told.quote)
        fee += moved - cost(price, quantity) if buys else proceeds(price, quantity) - moved
    return Fill(
        time_ns,
        order,
        spot.id,
        told.side,
        price,
        quantity,
        bounded(fee),
        told.maker,
        str(told.trade_id),
        kept,
        elsewhere,
        paid if elsewhere is not None else 0,
    )


def ended(time_ns: int, order: ClientOrderId, status: str, reason: str) -> End | None:
    """How an order ended other than by being filled; None where it did not."""
    match state_of(status):
        case OrderState.CANCELED:
            return OrderCanceled(time_ns, order, reason)
        case OrderState.EXPIRED:
            text = SELF_TRADE if status == "EXPIRED_IN_MATCH" and not reason else reason
            return OrderExpired(time_ns, order, text)
        case OrderState.REJECTED:
            return OrderRejected(time_ns, order, reason)
    return None


def venue_order(order: OrderInfo) -> VenueOrder:
    """An order as the venue knows it; raises ValueError where it cannot be read."""
    reason = SELF_TRADE if order.status == "EXPIRED_IN_MATCH" else order.expiry_reason
    filled = units(order.executed_qty)
    return VenueOrder(order.name, terms_of(order), filled, state_of(order.status), reason)


def balances(account: AccountInfo, spots: list[Spot]) -> tuple[int, dict[InstrumentId, int]]:
    """Cash (the pairs' one quote, free and locked) and what is held of each base; raises ValueError
    where that cannot be kept. What else is held does not count, however much it is."""
    held = {one.asset: floor(one.free) + floor(one.locked) for one in account.balances}
    cash = bounded(held.get(spots[0].quote, 0)) if spots else 0
    return cash, {spot.id: bounded(held.get(spot.base, 0)) for spot in spots}


class Executions:
    """What the venue has told of our orders: reports to events, each execution counted once.

    It remembers the client ids of the venue's order ids, since `myTrades` names only the latter.
    """

    def __init__(self) -> None:
        self.spots: dict[str, Spot] = {}
        """The instruments by symbol; reports on other symbols are another's."""
        self._fills: dict[tuple[str, int], Fill] = {}
        self._filled: dict[ClientOrderId, int] = {}
        self._streamed: dict[tuple[str, int], None] = {}
        """Executions that the stream has told: those that a look has counted are told here too."""
        self._names: dict[tuple[str, int], ClientOrderId] = {}
        self._told: dict[ClientOrderId, bool] = {}
        """Orders that were told to be accepted (False) or ended (True): the answer and the report
        say the same, and once is enough."""
        self._lowered: dict[ClientOrderId, None] = {}
        """Orders whose quantity other hands have lowered."""
        self._strange: set[str] = set()
        self._log = structlog.get_logger()

    def learn(self, order: OrderInfo) -> None:
        """Remember which client id belongs to the venue's id."""
        self._learn(
            order.symbol, order.order_id, self.named(order.symbol, order.order_id, order.name)
        )

    def name(self, symbol: str, order_id: int) -> ClientOrderId | None:
        """The client id of an order, None where it was never told."""
        return self._names.get((symbol, order_id))

    def named(self, symbol: str, order_id: int, told: ClientOrderId) -> ClientOrderId:
        """Our id of an order that the venue calls by `told`: one that was amended by other hands
        goes by another client id there, and is ours as before."""
        known = self._names.get((symbol, order_id))
        return told if known is None or is_ours(told) else known

    def ours(self, order: OrderInfo) -> OrderInfo:
        """An order of the venue's under our id of it."""
        name = self.named(order.symbol, order.order_id, order.name)
        return order if name == order.name else replace(order, orig_client_order_id=name)

    def filled(self, order: ClientOrderId) -> int:
        """How much of an order has been filled, as far as its executions were told."""
        return self._filled.get(order, 0)

    def fills(self) -> tuple[Fill, ...]:
        """The last executions, oldest first."""
        return tuple(self._fills.values())

    def report(self, time_ns: int, report: ExecutionReport) -> list[AccountEvent]:
        """The events of one report on an order of ours; none for what others do, or repeats."""
        spot = self.spots.get(report.symbol)
        order = self.named(report.symbol, report.order_id, report.name)
        if spot is None or not is_ours(order):
            return []
        self._learn(report.symbol, report.order_id, order)
        match report.execution:
            case "NEW" if report.status == "NEW":
                return self._news(OrderAccepted(time_ns, order))
            case "TRADE":
                told = execution_of(report)
                found = self._executed(time_ns, order, spot, told)
                known = (spot.id, told.trade_id)
                if known in self._streamed:
                    return []
                self._streamed[known] = None
                if len(self._streamed) > FILLS_KEPT:
                    del self._streamed[next(iter(self._streamed))]
                # A look may have counted it, and not told it yet: the end must not come first.
                told_of: list[AccountEvent] = [found or self._fills[known]]
                if order in self._lowered and report.status == "FILLED":
                    told_of += self._news(OrderCanceled(time_ns, order, LOWERED))
                return told_of
            case "REPLACED":
                self._lower(order)
            case "CANCELED" | "EXPIRED" | "REJECTED" | "TRADE_PREVENTION":
                reason = report.expiry_reason
                if not reason and report.reject_reason != "NONE":
                    reason = report.reject_reason
                return self._news(ended(time_ns, order, report.status, reason))
        return []

    def trade(self, time_ns: int, trade: MyTrade) -> None:
        """Count an execution from an answer, where its order is known and ours."""
        spot = self.spots.get(trade.symbol)
        order = self.name(trade.symbol, trade.order_id)
        if spot is not None and order is not None and is_ours(order):
            self._executed(time_ns, order, spot, execution_in(trade))

    def answer(self, time_ns: int, order: OrderInfo) -> list[AccountEvent]:
        """The events of an answer that names a status. An end is told only where all executions
        before it are known: the report of it follows them."""
        name = self.named(order.symbol, order.order_id, order.name)
        self._learn(order.symbol, order.order_id, name)
        state = state_of(order.status)
        events: list[AccountEvent] = []
        if not order.orig_client_order_id and state is not OrderState.REJECTED:
            events += self._news(OrderAccepted(time_ns, name))
        if units(order.executed_qty) == self.filled(name):
            events += self._news(ended(time_ns, name, order.status, order.expiry_reason))
        return events

    def _lower(self, order: ClientOrderId) -> None:
        """The quantity of an order was lowered, which we never do: what is left of it when it is
        filled at the venue has ended."""
        self._lowered[order] = None
        self._log.warning("order_amended", venue=VENUE, order=order)
        if len(self._lowered) > NAMES_KEPT:
            del self._lowered[next(iter(self._lowered))]

    def _news(self, event: OrderAccepted | End | None) -> list[AccountEvent]:
        """The event, where it says more of its order than was told before."""
        if event is None:
            return []
        ends = not isinstance(event, OrderAccepted)
        before = self._told.get(event.order)
        if before is not None and (before or not ends):
            return []
        self._told[event.order] = ends
        if len(self._told) > NAMES_KEPT:
            del self._told[next(iter(self._told))]
        return [event]

    def _learn(self, symbol: str, order_id: int, order: ClientOrderId) -> None:
        self._names[symbol, order_id] = order
        if len(self._names) > NAMES_KEPT:
            del self._names[next(iter(self._names))]

    def _executed(
        self, time_ns: int, order: ClientOrderId, spot: Spot, told: Execution
    ) -> Fill | None:
        known = (spot.id, told.trade_id)
        if known in self._fills:
            return None
        found = self._fills[known] = fill(time_ns, order, spot, told, self.spots.values())
        self._filled[order] = self._filled.get(order, 0) + found.quantity
        if len(self._fills) > FILLS_KEPT:
            oldest = self._fills.pop(next(iter(self._fills)))
            self._filled.pop(oldest.order, None)
        if not found.fee and not found.kept and found.paid_in is None and units(told.commission):
            self._note_strange_fee(told)
        return found

    def _note_strange_fee(self, told: Execution) -> None:
        """A fee in an asset that our books know nothing of: it leaves no trace in them."""
        metrics.FEES_ELSEWHERE.labels(VENUE, told.asset).inc()
        if told.asset not in self._strange:
            self._strange.add(told.asset)
            self._log.warning("fee_in_another_asset", venue=VENUE, asset=told.asset)
