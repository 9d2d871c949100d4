"""What a trader's heartbeat tells of its work: a release looks at it before it goes on."""

from betatrader.engine.state import State
from betatrader.roles.leading import Leadership
from betatrader.roles.reconciling import Reconciler


def of_trader(state: State, leadership: Leadership, reconciler: Reconciler) -> dict[str, str]:
    """Who leads, and whether our books agree with the venue's."""
    return {
        "leads": str(int(leadership.leads())),
        "epoch": str(state.epoch),
        "reconciling": str(int(state.reconciling)),
        "unexplained": str(reconciler.unexplained_seen),
    }
