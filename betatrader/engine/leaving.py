"""Whether an order that was approved, and then waited for its record to be safe, may still leave.

Risk let it through as things stood then. What has happened since counts as it would for a new one.
"""

from betatrader.engine.proposal import OPERATOR, SELL
from betatrader.engine.state import State
from betatrader.model.command import Approved
from betatrader.model.ids import ClientOrderId
from betatrader.model.instruction import TradingState

ENDED = ""


def overtaken(state: State, command: Approved) -> str | None:
    """Why it may not leave any more: ENDED where it has ended, None where it may."""
    if command.order not in state.orders.open:
        return ENDED
    selling = command.terms.side is SELL
    if state.trading_state is TradingState.HALTED:
        if not (state.flattening and command.strategy == OPERATOR):
            return "not sent: halted meanwhile"
    elif state.trading_state is TradingState.REDUCING and not selling:
        return "not sent: only what reduces may leave meanwhile"
    if epoch_of(command.order) != state.epoch:
        return "not sent: it was made under an earlier lease"
    account = state.account_of(command.terms.instrument)
    if account in state.away:
        return "not sent: the venue went away meanwhile"
    if account in state.uncompared:
        return "not sent: the books are to be compared first"
    if account in state.barred and not selling:
        return "not sent: the venue does not serve us from here"
    return None


def epoch_of(order: ClientOrderId) -> int:
    """The lease under which an order of ours was made (see `Engine` on ids)."""
    return int(order[8:20], 16)
