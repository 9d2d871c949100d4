"""The checks of where an order goes: whether its venue may be traded at, and is ready for it."""

from collections.abc import Callable

from betatrader.engine.proposal import CLOSING, Proposal
from betatrader.model.ids import InstrumentId, StrategyId, venue_of
from betatrader.model.limits import Limits

Breach = tuple[str, str] | None


def venue_allowed(proposal: Proposal) -> Breach:
    """The strategy may trade on this venue; what it holds there may always be sold."""
    limits, name = proposal.limits, proposal.terms.instrument
    if permitted(limits, proposal.strategy, name) or proposal.reducing:
        return None
    return f"one of {', '.join(limits.venues[proposal.strategy])}", venue_of(name)


def venue_connection(proposal: Proposal) -> Breach:
    """The venue is reached."""
    state = proposal.state
    if state.away and state.account_of(proposal.terms.instrument) in state.away:
        return "a venue that is reached", "it is away"
    return None


def venue_access(proposal: Proposal) -> Breach:
    """The venue serves us from here; what reduces may leave, for the venue to take or refuse."""
    state = proposal.state
    if not state.barred or proposal.reducing:
        return None
    told = state.barred.get(state.account_of(proposal.terms.instrument))
    return None if told is None else ("a venue that serves us from here", told)


def protection(proposal: Proposal) -> Breach:
    """Where the venue has a dead-man switch, it is known to be armed, or nothing may rest there."""
    state, venue = proposal.state, venue_of(proposal.terms.instrument)
    until = state.armed_until.get(venue)
    if until is None or until > state.now_ns or proposal.strategy in CLOSING:
        return None
    late = f"{(state.now_ns - until) // 1_000_000} ms late" if until else "not armed"
    return f"an armed dead-man switch at {venue}", late


def reconciled(proposal: Proposal) -> Breach:
    """Our books have been compared with the venue's since the start."""
    state = proposal.state
    if state.uncompared and state.account_of(proposal.terms.instrument) in state.uncompared:
        return "books compared with the venue's", "reconciliation has not ended"
    return None


def permitted(limits: Limits, strategy: StrategyId, instrument: InstrumentId) -> bool:
    """Whether a strategy may trade on an instrument's venue."""
    allowed = limits.venues.get(strategy)
    return not allowed or venue_of(instrument) in allowed


ACCESS: tuple[Callable[[Proposal], Breach], ...] = (
    venue_allowed,
    venue_connection,
    venue_access,
    protection,
    reconciled,
)
"""In the order in which they are asked."""
