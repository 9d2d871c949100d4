"""Commands: what the engine answers; and the Step, the audit of one event."""

import msgspec

from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.instruction import TradingState
from betatrader.model.order import OrderTerms


class SubmitOrder(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Send this order. `stop` > 0 arms a protective stop on the position at that price.

    `replaces` names an order of ours that the venue is to take off the book for it, and without
    which it is not to be placed; "" where it stands for itself.
    """

    order: ClientOrderId
    strategy: StrategyId
    terms: OrderTerms
    reason: str = ""
    stop: int = 0
    replaces: ClientOrderId = ClientOrderId("")


class Approved(SubmitOrder, frozen=True, gc=False, tag="submit", array_like=True):
    """A SubmitOrder that passed every check. Only `engine.risk` makes one, and the gateway takes
    nothing else, so that a way around risk is a type error."""


class CancelOrder(msgspec.Struct, frozen=True, gc=False, tag="cancel", array_like=True):
    """Take this order off the book."""

    order: ClientOrderId
    instrument: InstrumentId
    reason: str = ""


class RequestForecast(msgspec.Struct, frozen=True, gc=False, tag="ask", array_like=True):
    """Ask intel for a forecast; `features` are public market data, oldest first.

    `kind` is what is asked for: "probability" or "return" (see `model.signal.Forecast`).
    """

    instrument: InstrumentId
    kind: str
    horizon_ns: int
    features: tuple[float, ...]
    data_time_ns: int


class Alert(msgspec.Struct, frozen=True, gc=False, tag="alert", array_like=True):
    """Something that a person should know."""

    level: str
    text: str


Command = Approved | CancelOrder | RequestForecast | Alert


class Refused(msgspec.Struct, frozen=True, gc=False, tag="refused", array_like=True):
    """An intent that risk denied: which check, its limit and what was asked for."""

    order: ClientOrderId
    strategy: StrategyId
    terms: OrderTerms
    check: str
    limit: str
    actual: str


class Warned(msgspec.Struct, frozen=True, gc=False, tag="warned", array_like=True):
    """An order passed, and with it more than 80% of a limit is used."""

    check: str
    limit: str
    actual: str


class StateChanged(msgspec.Struct, frozen=True, gc=False, tag="state_changed", array_like=True):
    """The trading state moved."""

    state: TradingState
    reason: str
    flattening: bool = False


class StrategyFailed(msgspec.Struct, frozen=True, gc=False, tag="failed", array_like=True):
    """A strategy's own code raised an error: it is asked no more, and its orders are cancelled.

    What it holds keeps its stop; the other strategies go on.
    """

    strategy: StrategyId
    error: str


class Booked(msgspec.Struct, frozen=True, gc=False, tag="booked", array_like=True):
    """An account event changed the books: which kind, on what, in one sentence for a person."""

    kind: str
    subject: str
    text: str


class CheckBooks(msgspec.Struct, frozen=True, gc=False, tag="check_books", array_like=True):
    """A loss limit seems reached by books that the venue has not confirmed: it is to be asked at
    once. An empty `reason` says that the limit is reached no more."""

    reason: str


Change = Command | Refused | Warned | StateChanged | StrategyFailed | Booked | CheckBooks


class Step(msgspec.Struct, frozen=True, gc=False, tag="step", array_like=True):
    """The audit of one event: what the engine did with it, in order.

    `sequence` numbers Steps without gaps, but for those of forecast requests alone, which change
    nothing and bear the number of the Step before; `event` is the event that caused it.
    """

    sequence: int
    event: int
    time_ns: int
    changes: tuple[Change, ...]
