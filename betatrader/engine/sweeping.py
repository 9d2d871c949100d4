"""What each tick of the clock takes off the book, besides what strategies cancel themselves."""

from betatrader.engine.proposal import BUY, CLOSING, GUARD
from betatrader.engine.state import State
from betatrader.model.command import Alert, CancelOrder, Change
from betatrader.model.ids import InstrumentId
from betatrader.model.limits import Limits
from betatrader.model.order import OrderState

WORKING = (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
"""States in which the venue has said that an order works: it can be cancelled, or be filled."""


def standing_still(state: State, limits: Limits, now_ns: int) -> list[InstrumentId]:
    """The instruments that can be traded and whose data has stopped: no order passes there."""
    return [
        seen.id
        for seen in state.markets.values()
        if seen.tradable and not seen.resolved and now_ns - seen.updated_ns > limits.stale_data_ns
    ]


def overdue(state: State, limits: Limits) -> list[Change]:
    """Cancels of orders whose market stands still, each market with an alert; and of orders that
    came to rest after everything was cancelled, since a cancel may overtake its order; and of buys
    where we are not served. Nothing at a venue that is away: no cancel would reach it."""
    cancels: list[Change] = []
    stale: dict[str, int] = {}
    for order in state.orders.open.values():
        if order.state not in WORKING or order.strategy in (*CLOSING, GUARD):
            continue  # of a stop at the venue `guarding` says what becomes
        name = order.terms.instrument
        if state.away and state.account_of(name) in state.away:
            continue
        seen = state.markets.get(name)  # none: found at the venue, of what is traded no more
        age = state.now_ns - seen.updated_ns if seen is not None else 0
        if order.created_ns <= state.swept_ns:
            cancels.append(CancelOrder(order.id, name, "it came to rest after all was cancelled"))
        elif state.barred and order.terms.side is BUY and state.account_of(name) in state.barred:
            cancels.append(CancelOrder(order.id, name, "the venue does not serve us from here"))
        elif age > limits.stale_data_ns:
            cancels.append(CancelOrder(order.id, name, "market data is stale"))
            stale[name] = stale.get(name, 0) + 1
    alerts = [
        Alert("error", f"{name}: market data is stale, {count} orders are cancelled")
        for name, count in stale.items()
    ]
    return [*cancels, *alerts]
