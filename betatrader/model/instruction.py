"""Instructions: events from the operator, and the engine's own start and clock."""

from enum import StrEnum

import msgspec

from betatrader.model.limits import Limits


class TradingState(StrEnum):
    """ACTIVE; REDUCING: only orders that reduce; HALTED: only cancels, and what flatten orders."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class Instruction(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Base: `id` acknowledges it, `author` and `reason` are kept for the audit."""

    time_ns: int
    id: str
    author: str = ""
    reason: str = ""


class Halt(Instruction, frozen=True, gc=False, array_like=True, tag="halt"):
    """No new orders, cancel what rests; needs a person to resume."""


class Reduce(Instruction, frozen=True, gc=False, array_like=True, tag="reduce"):
    """Only orders that reduce a position from now on."""


class Resume(Instruction, frozen=True, gc=False, array_like=True, tag="resume"):
    """Trade again."""


class CancelAll(Instruction, frozen=True, gc=False, array_like=True, tag="cancel_all"):
    """Cancel every order that rests; with `keeps_stops` all but those that venues keep to guard
    what is held."""

    keeps_stops: bool = False


class Flatten(Instruction, frozen=True, gc=False, array_like=True, tag="flatten"):
    """Cancel what rests, close every position, and stay HALTED."""


class ConfirmLimits(Instruction, frozen=True, gc=False, array_like=True, tag="confirm_limits"):
    """A person confirms limits that the configuration has raised, and says why."""


NO_REASON = "limits confirm needs a reason: why more may be at stake"


def lacks_reason(instruction: Instruction) -> bool:
    """Whether a person has to say why for this to be obeyed, and has not."""
    return isinstance(instruction, ConfirmLimits) and not instruction.reason.strip()


class StageAllowed(Instruction, frozen=True, gc=False, array_like=True, tag="stage_allowed"):
    """A stage of the ladder is entered by a person's override: who allowed it, when and why.

    `time_ns` is when this run took it up, `stated_ns` when it was stated.
    """

    stage: str = ""
    stated_ns: int = 0


class Started(msgspec.Struct, frozen=True, gc=False, tag="started", array_like=True):
    """The first event of a run: the epoch (lease token) and the trading state that it keeps.

    With `reconcile` no order passes at an account before a Reconciled event of its venue. Where
    `limits` are given and one of them is above the last that were confirmed, only what reduces
    passes before a ConfirmLimits. `accounts` names the venues where we have one.
    """

    time_ns: int
    epoch: int
    trading_state: TradingState
    reason: str = ""
    reconcile: bool = False
    limits: Limits | None = None
    accounts: tuple[str, ...] = ()


class Fenced(msgspec.Struct, frozen=True, gc=False, tag="fenced", array_like=True):
    """The lease may be over: no order passes until a Reconciled event says that it is ours."""

    time_ns: int
    reason: str = ""


class TimerFired(msgspec.Struct, frozen=True, gc=False, tag="timer", array_like=True):
    """The edge's clock tick, about once a second (`key` is "tick")."""

    time_ns: int
    key: str
