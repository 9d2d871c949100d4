"""What must be true of a run, computed from both sides' books: the engine's, and the venue's own.

The venue's side is its ledger, which the engine never touches; so a lost, doubled or altered fill
on either side makes the invariant false that names what differs.
"""

from collections.abc import Iterable, Mapping

from betatrader.engine.state import State
from betatrader.model.account import VenueAccount
from betatrader.model.ids import InstrumentId
from betatrader.model.limits import Limits
from betatrader.model.money import cost
from betatrader.model.order import CLOSED, Order, OrderState, Side
from betatrader.sim.ledger import Ledger

NEVER_THERE = (
    OrderState.DENIED,
    OrderState.REJECTED,
    OrderState.SUBMITTED,
    OrderState.CANCELED,
)
"""States, unfilled, of an order that the venue need not know: one that is cancelled before it was
answered, and that never arrived, ends as cancelled."""


def check(
    state: State, limits: Limits, ledger: Ledger, *, resting: set[str], same_ids: bool = True
) -> dict[str, bool]:
    """Each invariant by name. `resting` are the ids of the orders that rest at the venue;
    `same_ids` says that trades have the same ids in the ledger as the venue tells.

    To be asked when nothing is under way between the two sides.
    """
    return {
        **_own(state),
        "cash_equals_venue": state.portfolio.cash == ledger.cash,
        "fees_equal_venue": state.portfolio.fees == ledger.fees,
        "positions_equal_venue": _held(state) == _some(ledger.positions),
        "fills_equal_venue": state.orders.fills == ledger.fill_count
        and _fills_equal(state, ledger, same_ids=same_ids),
        "orders_equal_venue": set(state.orders.open) == resting,
        "orders_known_to_venue": all(
            order.id in ledger.orders
            for order in _orders(state)
            if order.filled or order.state not in NEVER_THERE
        ),
        "nothing_sold_short": ledger.shorted == 0,
        "cash_never_negative": ledger.lowest_cash >= 0,
        "order_limits_respected": _order_limits(limits, ledger),
        "position_limits_respected": _position_limits(limits, ledger),
    }


def check_accounts(
    state: State, limits: Limits, venues: Mapping[str, tuple[Ledger, set[str]]], *, same_ids: bool
) -> dict[str, bool]:
    """The same for a trader at several venues: each one's ledger, and the ids of the orders that
    rest there, beside our account there. Fees and fills are counted over all of them."""
    ledgers = [ledger for ledger, _ in venues.values()]
    found = {
        **_own(state),
        "no_other_account": {n for n, cash in state.portfolio.accounts.items() if cash}
        <= {state.account(venue) for venue in venues},
        "fees_equal_venues": state.portfolio.fees == sum(one.fees for one in ledgers),
        "fills_equal_venues": state.orders.fills == sum(one.fill_count for one in ledgers),
    }
    for venue, (ledger, resting) in venues.items():
        where = state.account(venue)
        orders = [o for o in _orders(state) if state.account_of(o.terms.instrument) == where]
        held = {n: number for n, number in _held(state).items() if state.account_of(n) == where}
        alone = {
            "cash_equals_venue": state.cash_at(where) == ledger.cash,
            "positions_equal_venue": held == _some(ledger.positions),
            "fills_equal_venue": _fills_equal(state, ledger, same_ids=same_ids),
            "orders_equal_venue": {o.id for o in orders if o.id in state.orders.open} == resting,
            "orders_known_to_venue": all(
                o.id in ledger.orders for o in orders if o.filled or o.state not in NEVER_THERE
            ),
            "nothing_sold_short": ledger.shorted == 0,
            "cash_never_negative": ledger.lowest_cash >= 0,
            "order_limits_respected": _order_limits(limits, ledger),
            "position_limits_respected": _position_limits(limits, ledger),
        }
        found |= {f"{name} at {venue}": holds for name, holds in alone.items()}
    return found


def check_account(state: State, account: VenueAccount, venue: str) -> dict[str, bool]:
    """The same, as far as a venue states it that shows us our account and not its ledger."""
    where = state.account(venue)
    working = {name for name, o in account.orders.items() if o.state is OrderState.ACCEPTED}
    known = _held(state)
    moving = set(account.moving)
    held = {
        n: known.get(n, 0) + state.aside.get(n, 0)
        for n in {*known, *state.aside} - moving
        if state.account_of(n) == where and (account.covers is None or n in account.covers)
    }
    there = {n: quantity for n, quantity in account.positions.items() if n not in moving}
    apart = state.aside_cash.get(where, 0)
    orders = state.orders.open.values()
    ours = {o.id for o in orders if state.account_of(o.terms.instrument) == where}
    return {
        **_own(state),
        "cash_equals_venue": bool(moving) or state.cash_at(where) + apart == account.cash,
        "positions_equal_venue": _some(held) == _some(there),
        "orders_equal_venue": ours == working,
    }


def _own(state: State) -> dict[str, bool]:
    """What our own books must say by themselves."""
    portfolio = state.portfolio
    booked = sum(position.cost for position in portfolio.positions.values())
    shares = {name: sum(found.values()) for name, found in state.holdings.shares.items()}
    return {
        "cash_conserved": portfolio.cash + booked
        == portfolio.deposits + portfolio.realised - portfolio.fees,
        "accounts_add_up": sum(portfolio.accounts.values()) == portfolio.cash,
        "holdings_add_up": _held(state) == shares,
        "strategies_add_up": sum(state.holdings.cash.values())
        == portfolio.cash - portfolio.deposits,
        "orders_legal": all(_legal(order) for order in _orders(state)),
    }


def _held(state: State) -> dict[InstrumentId, int]:
    return {n: held.quantity for n, held in state.portfolio.positions.items() if held.quantity}


def _some(quantities: Mapping[InstrumentId, int]) -> dict[InstrumentId, int]:
    return {name: quantity for name, quantity in quantities.items() if quantity}


def _orders(state: State) -> Iterable[Order]:
    yield from state.orders.open.values()
    yield from state.orders.closed.values()
    yield from state.orders.denied.values()


def _legal(order: Order) -> bool:
    """The state fits what was filled, and no order was filled beyond its quantity."""
    if not 0 <= order.filled <= order.terms.quantity:
        return False
    if order.state is OrderState.FILLED:
        return order.filled == order.terms.quantity
    if order.state in (OrderState.DENIED, OrderState.INITIALIZED):
        return order.filled == 0
    return order.state in CLOSED or order.filled < order.terms.quantity


def _fills_equal(state: State, ledger: Ledger, *, same_ids: bool) -> bool:
    """Order by order, as far as both remember, the same fills."""
    theirs: dict[str, dict[str, int]] = {}
    for fill in ledger.fills:
        theirs.setdefault(fill.order, {})[fill.trade_id] = fill.quantity
    for order in _orders(state):
        if not order.filled or order.id not in theirs:
            continue
        trades = theirs[order.id]
        ours = set(state.orders.seen_fills.get(order.id, ()))
        if ours != set(trades) if same_ids else len(ours) != len(trades):
            return False
        if order.filled != sum(trades.values()):
            return False
    return True


def _order_limits(limits: Limits, ledger: Ledger) -> bool:
    """What the venue was sent: no buy above the order limit, never too many open at once."""
    buys = (terms for terms in ledger.orders.values() if terms.side is Side.BUY)
    within = all(cost(terms.price, terms.quantity) <= limits.order_notional for terms in buys)
    return within and ledger.most_open <= limits.open_orders


def _position_limits(limits: Limits, ledger: Ledger) -> bool:
    """What was at stake as each buy arrived, by the venue's own prices, was within its limits.

    Prices move while an order is under way, a contract's by some ticks of 2% each: a tenth of a
    limit is let pass for that.
    """
    return (
        ledger.largest_stake <= limits.position_notional * 11 // 10
        and ledger.largest_total <= limits.total_notional * 11 // 10
        and ledger.most_positions <= limits.open_positions
    )
