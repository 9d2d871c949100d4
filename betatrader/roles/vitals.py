"""What a trader's heartbeat tells of its work: a release looks at it before it goes on."""

from betatrader.engine.state import State
from betatrader.roles.accounts import Accounts
from betatrader.roles.leading import Leadership


def of_trader(state: State, leadership: Leadership, accounts: Accounts) -> dict[str, str]:
    """Who leads, and whether our books agree with the venue's."""
    return {
        "leads": str(int(leadership.leads())),
        "epoch": str(state.epoch),
        "reconciling": str(int(state.reconciling)),
        "unexplained": str(accounts.unexplained_seen),
    }
