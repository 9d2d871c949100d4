"""Risk: asks every check of every order, and is the only maker of `Approved`."""

from betatrader.engine.checks import CHECKS, collar_width
from betatrader.engine.proposal import BUY, Proposal
from betatrader.engine.state import Market, State
from betatrader.model.command import Approved, Refused
from betatrader.model.instrument import BinaryContract
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE, show
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce


def judge(proposal: Proposal, reason: str, stop: int) -> Approved | Refused:
    """Ask every check; the first that refuses ends it."""
    for check in CHECKS:
        breach = check(proposal)
        if breach is not None:
            return Refused(
                proposal.order,
                proposal.strategy,
                proposal.terms,
                check.__name__,
                breach[0],
                breach[1],
            )
    return Approved(proposal.order, proposal.strategy, proposal.terms, reason, stop)


def breached(state: State, limits: Limits) -> str:
    """Which loss limit the account has reached, as a sentence; empty where none."""
    equity = state.equity()
    lost = state.day_equity - equity
    if lost >= limits.daily_loss:
        return f"daily loss {show(lost)} reached its limit {show(limits.daily_loss)}"
    fall = state.equity_high - equity
    allowed = limits.drawdown * state.equity_high // SCALE
    if fall >= allowed > 0:
        return f"drawdown {show(fall)} reached its limit {show(allowed)}"
    return ""


def market_terms(limits: Limits, market: Market, side: Side, quantity: int) -> OrderTerms:
    """A market order: immediate or cancel, and never beyond the collar."""
    size = market.definition.tick
    if side is BUY:
        best = market.ask or market.bid
        price = (best + collar_width(limits, market, best)) // size * size
        if isinstance(market.definition, BinaryContract):
            price = min(price, SCALE - size)
    else:
        best = market.bid or market.ask
        price = max(size, -(-(best - collar_width(limits, market, best)) // size) * size)
    return OrderTerms(market.id, side, OrderType.MARKET, price, quantity, TimeInForce.IOC)
