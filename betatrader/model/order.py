"""Orders: sides, types, states and the table of legal transitions."""

from enum import StrEnum

import msgspec

from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId


class Side(StrEnum):
    """Which way an order or a fill goes."""

    __hash__ = str.__hash__  # an Enum's own is Python code, and these are dictionary keys

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """LIMIT has a price; MARKET takes what stands, within the collar. STOP is a LIMIT that the
    venue keeps out of its book until the market has come to `trigger`: fallen to it for a sale.
    """

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP = "STOP"


class TimeInForce(StrEnum):
    """Good till cancelled; immediate or cancel; fill or kill."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderState(StrEnum):
    """The life of an order (design.md section 4)."""

    __hash__ = str.__hash__  # an Enum's own is Python code, and these are dictionary keys

    INITIALIZED = "INITIALIZED"
    DENIED = "DENIED"
    SUBMITTED = "SUBMITTED"
    IN_DOUBT = "IN_DOUBT"
    ACCEPTED = "ACCEPTED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


LEAVING = (OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE)
"""States of an order that the venue was asked to take off the book."""

_S = OrderState
_ENDS = {_S.FILLED, _S.CANCELED, _S.EXPIRED}
_WORKING = {_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.PENDING_REPLACE, _S.IN_DOUBT}

TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    _S.INITIALIZED: frozenset({_S.DENIED, _S.SUBMITTED}),
    _S.SUBMITTED: frozenset({_S.REJECTED} | (_WORKING - {_S.PENDING_REPLACE}) | _ENDS),
    _S.IN_DOUBT: frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.REJECTED} | _ENDS),
    _S.ACCEPTED: frozenset((_WORKING - {_S.ACCEPTED}) | _ENDS),
    _S.PARTIALLY_FILLED: frozenset((_WORKING - {_S.ACCEPTED}) | _ENDS),
    _S.PENDING_CANCEL: frozenset(
        {_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.IN_DOUBT, _S.REJECTED} | _ENDS
    ),
    _S.PENDING_REPLACE: frozenset(
        {_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.IN_DOUBT} | _ENDS
    ),
    _S.CANCELED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.DENIED: frozenset(),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset(),
}
"""From each state, the states that may follow. Fills that arrive after the end of an order are
booked without a change of state; PENDING_CANCEL is REJECTED only where its submit was."""

CLOSED = frozenset(state for state, following in TRANSITIONS.items() if not following)
"""States that end an order."""


class OrderTerms(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is asked of the venue. `price` is a limit, or the collar of a MARKET order."""

    instrument: InstrumentId
    side: Side
    type: OrderType
    price: int
    quantity: int
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    trigger: int = 0

    @property
    def takes(self) -> bool:
        """Whether it takes what stands, and never rests."""
        return self.type is OrderType.MARKET or self.time_in_force is not TimeInForce.GTC


class Order(msgspec.Struct, gc=False):
    """An order and what has become of it. Changed by `engine.orders` alone."""

    id: ClientOrderId
    strategy: StrategyId
    terms: OrderTerms
    created_ns: int
    state: OrderState = OrderState.INITIALIZED
    filled: int = 0
    reason: str = ""
    updated_ns: int = 0
    stop: int = 0
    """Where > 0, the position is closed for safety at this price once a buy has filled."""
    accepted: bool = False
    """The venue has said that it works, or worked: it can be refused no more."""
    venue_id: str = ""
    """Of an order that was found at a venue that does not know our ids: its name there."""
    refused_cancels: int = 0
    """How often a cancel of it was refused."""

    @property
    def remaining(self) -> int:
        """The quantity that may still be filled."""
        return max(0, self.terms.quantity - self.filled)
