"""Our books beside the venue's: what differs, as the events that repair it. Pure.

The venue's word ends an order, makes a fill known and states the balances. Each function answers
nothing once its answers have been taken, so that doing it twice changes nothing. Ownership goes by
our client order ids, never by time.
"""

from collections.abc import Callable

from msgspec.structs import replace

from betatrader.engine.state import State
from betatrader.model.account import (
    CancelRejected,
    CashFlow,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderEvent,
    OrderExpired,
    OrderFound,
    OrderInDoubt,
    OrderRejected,
    PairsMerged,
    PositionTransfer,
    VenueAccount,
    VenueOrder,
)
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import Resolution
from betatrader.model.order import LEAVING, Order, OrderState
from betatrader.venues.ages import Age, by_the_wall_clock

NEVER_TAKEN = "the venue never took it"
UNKNOWN = "the venue knows it no more"
UNTOLD = (
    "the venue says that it was filled, and tells of no fill: its balances show what it brought"
)
UNTOLD_NS = 30_000_000_000
"""For so long after an order's last news its fills are waited for."""

ID_DIGITS = 32
DAY_MS = 86_400_000
WORKING = (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
IN_FLIGHT = (OrderState.SUBMITTED, OrderState.IN_DOUBT)


def missing_fills(state: State, account: VenueAccount, made: tuple[int, int]) -> list[Fill]:
    """Fills that the venue has and we have not: of orders that we remember, or never knew.

    `made` is the epoch and counter of the next order as far as our journal reaches: an id below
    it is an order of ours that ended long ago, and whose fills were counted.
    """
    return [
        fill
        for fill in account.fills
        if fill.trade_id not in state.orders.seen_fills.get(fill.order, ())
        and is_ours(fill.order)
        and (state.orders.find(fill.order) is not None or _number(fill.order) >= made)
    ]


def is_ours(order: ClientOrderId) -> bool:
    """Whether an id has the form of ours; what others make is known by its effect on balances."""
    return len(order) == ID_DIGITS and all(digit in "0123456789abcdef" for digit in order)


def _number(order: ClientOrderId) -> tuple[int, int]:
    return int(order[8:20], 16), int(order[20:], 16)


def later_epoch(account: VenueAccount, epoch: int, now_ns: int) -> int:
    """The epoch of an order of ours that was made under a later one than `epoch`: another trader
    leads. 0 where the venue shows none. An epoch is a time in ms, or a little more: an id that only
    looks like one of ours is of none that is to come."""
    names = {*account.orders, *(fill.order for fill in account.fills)}
    epochs = [_number(name)[0] for name in names if is_ours(name)]
    most = now_ns // 1_000_000 + DAY_MS
    return max((one for one in epochs if epoch < one <= most), default=0)


def resolutions(state: State, account: VenueAccount, now_ns: int) -> list[Resolution]:
    """Contracts that ended while we did not look."""
    return [
        Resolution(now_ns, name, payout)
        for name, payout in account.resolved.items()
        if name in state.markets and not state.markets[name].resolved
    ]


def open_at(state: State, venue: str) -> list[Order]:
    """Our open orders at one venue."""
    where = state.account(venue)
    orders = state.orders.open.values()
    return [order for order in orders if state.account_of(order.terms.instrument) == where]


def order_reports(
    state: State,
    account: VenueAccount,
    venue: str,
    now_ns: int,
    under_way_ns: int,
    *,
    age: Callable[[Order], Age] | None = None,
) -> list[OrderEvent]:
    """What the venue says of our open orders there, where that is news; fills must be taken before.

    An order that it does not know is in doubt while it may still be under way (`under_way_ns`
    since it was made), and only then has never arrived. One that works there and that we do not
    know, or have long taken for ended, is of a journal whose tail was lost, or came too late. Of an
    id that stands for two orders both are cancelled, one look after the other. Without `age` what
    orders tell of themselves counts.
    """
    age = age or by_the_wall_clock(now_ns)
    found = (
        _report(order, account.orders.get(order.id), now_ns, under_way_ns, age(order))
        for order in open_at(state, venue)
    )
    lost = [
        OrderFound(now_ns, there.order, there.terms, there.filled, there.venue_id)
        for there in account.orders.values()
        if there.state is OrderState.ACCEPTED
        and is_ours(there.order)
        and there.order not in state.orders.open
        and _long_ended(state.orders.closed.get(there.order), now_ns - under_way_ns)
    ]
    twice = [
        OrderFound(now_ns, name, order.terms, order.filled)
        for name in account.doubled
        if (order := state.orders.open.get(name)) and order.state not in LEAVING
    ]
    return [*(report for report in found if report is not None), *lost, *twice]


def _long_ended(ours: Order | None, before_ns: int) -> bool:
    return ours is None or ours.updated_ns < before_ns


def _report(
    order: Order, there: VenueOrder | None, now_ns: int, under_way_ns: int, age: Age
) -> OrderEvent | None:
    if there is None:
        # A cancel that is refused, since the venue knows no such order, is no sign of its life.
        if (age.made_ns if order.state in WORKING else age.news_ns) <= under_way_ns:
            if order.state is OrderState.SUBMITTED:
                return OrderInDoubt(now_ns, order.id, "the venue does not know it yet")
            return None
        if order.filled or order.accepted or order.state not in IN_FLIGHT:
            return OrderCanceled(now_ns, order.id, UNKNOWN)
        return OrderRejected(now_ns, order.id, NEVER_TAKEN)
    filled = there.state is OrderState.FILLED
    waits_ns = max(under_way_ns, UNTOLD_NS) if filled else under_way_ns
    if (filled or there.filled > order.filled) and age.news_ns <= waits_ns:
        return None  # its fills come first; a venue may know of them a moment later
    match there.state:
        case OrderState.FILLED:
            return OrderCanceled(now_ns, order.id, UNTOLD)
        case OrderState.CANCELED:
            return OrderCanceled(now_ns, order.id, there.reason)
        case OrderState.EXPIRED:
            return OrderExpired(now_ns, order.id, there.reason)
        case OrderState.REJECTED if order.accepted:  # what was accepted once may only end
            return OrderCanceled(now_ns, order.id, there.reason)
        case OrderState.REJECTED:
            return OrderRejected(now_ns, order.id, there.reason)
        case OrderState.ACCEPTED:
            if order.state in IN_FLIGHT:
                return OrderAccepted(now_ns, order.id)
            if order.state in LEAVING:
                return CancelRejected(now_ns, order.id, "it still works at the venue")
    return None


def unexplained(
    state: State, account: VenueAccount, venue: str, now_ns: int
) -> list[CashFlow | PositionTransfer | PairsMerged]:
    """Balances that no order of ours explains: pairs that were merged, by us or by other hands;
    deposits, withdrawals, trades by other hands.

    To be asked when nothing is under way, and to be believed when the answer stays the same: a
    venue's balance may lag behind its fills.
    """
    where = state.account(venue)
    held = state.portfolio.open_positions()
    ours = {
        name: one.quantity
        for name, one in held
        if state.account_of(name) == where and speaks_of(account, name)
    }
    cash = account.cash - state.cash_at(where) - state.aside_cash.get(where, 0)
    aside = {name: left for name, left in state.aside.items() if state.account_of(name) == where}
    found: list[CashFlow | PositionTransfer | PairsMerged] = []
    for name, left in aside.items():
        if speaks_of(account, name):
            ours[name] = ours.get(name, 0) + left
    if account.moving:
        cash = 0
    gone = {name: quantity - account.positions.get(name, 0) for name, quantity in ours.items()}
    for pair in _merged(state, gone, cash, now_ns):
        found.append(pair)
        ours[pair.instrument] -= pair.quantity
        ours[pair.complement] -= pair.quantity
        cash -= pair.quantity
    unsettled = _unsettled(state, account, gone)
    for name in sorted({*ours, *(n for n, quantity in account.positions.items() if quantity)}):
        if name in unsettled:
            continue
        change = account.positions.get(name, 0) - ours.get(name, 0)
        if change:
            text = "moved without an order of ours"
            found.append(PositionTransfer(now_ns, name, change, state.mark(name), text))
    if cash:
        found.append(CashFlow(now_ns, venue, cash, "found in reconciliation"))
    return found


def _unsettled(
    state: State, account: VenueAccount, gone: dict[InstrumentId, int]
) -> set[InstrumentId]:
    """What cannot be compared while trades are not settled: their instruments, and what may be
    pairs that were merged, since the cash that came of them cannot be seen."""
    if not account.moving:
        return set()
    missing = {name for name, quantity in gone.items() if quantity > 0}
    return {*account.moving, *(name for name in missing if _complement(state, name) in missing)}


def set_aside(
    state: State, event: CashFlow | PositionTransfer, venue: str
) -> list[CashFlow | PositionTransfer]:
    """The same with what is not ours left out of the books: what comes is set aside, and what goes
    is taken from there. What goes beyond that was ours, and is booked."""
    if isinstance(event, CashFlow):
        change, left = event.amount, state.aside_cash.get(state.account(venue), 0)
    else:
        change, left = event.quantity, state.aside.get(event.instrument, 0)
    apart = change if change > 0 else -min(-change, left)
    parts = [(apart, True), (change - apart, False)]
    return [_part(event, amount, aside=aside) for amount, aside in parts if amount]


def _part(
    event: CashFlow | PositionTransfer, amount: int, *, aside: bool
) -> CashFlow | PositionTransfer:
    if isinstance(event, CashFlow):
        return replace(event, amount=amount, aside=aside)
    return replace(event, quantity=amount, aside=aside)


def speaks_of(account: VenueAccount, name: InstrumentId) -> bool:
    """Whether a venue's statement says how much is held of an instrument."""
    return account.covers is None or name in account.covers


def unspoken(state: State, account: VenueAccount, venue: str) -> list[InstrumentId]:
    """What is held at a venue whose statement does not cover it: it is configured no more."""
    where = state.account(venue)
    return [
        name
        for name, _ in state.portfolio.open_positions()
        if state.account_of(name) == where and not speaks_of(account, name)
    ]


def _merged(
    state: State, gone: dict[InstrumentId, int], cash: int, now_ns: int
) -> list[PairsMerged]:
    """Contracts of which as much is missing as of their complement, where `cash` is more by it."""
    found: list[PairsMerged] = []
    for name in sorted(gone):
        other = _complement(state, name)
        if other is None or other < name:
            continue
        pairs = min(gone[name], gone.get(other, 0))
        if 0 < pairs <= cash:
            cash -= pairs
            found.append(PairsMerged(now_ns, name, other, pairs))
    return found


def _complement(state: State, name: InstrumentId) -> InstrumentId | None:
    seen = state.markets.get(name)
    definition = seen.definition if seen is not None else None
    return definition.complement if isinstance(definition, BinaryContract) else None
