"""Account events: what a venue says of our orders. They may come late, twice, or out of order."""

import msgspec

from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.order import OrderState, OrderTerms, Side


class OrderEvent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Base of what a venue says of one order; `time_ns` is when we received it."""

    time_ns: int
    order: ClientOrderId


class OrderAccepted(OrderEvent, frozen=True, gc=False, array_like=True, tag="accepted"):
    """The order works at the venue."""


class OrderRejected(OrderEvent, frozen=True, gc=False, array_like=True, tag="rejected"):
    """The venue refused the order, for good."""

    reason: str


class OrderCanceled(OrderEvent, frozen=True, gc=False, array_like=True, tag="canceled"):
    """The order is off the book; what was filled before stays filled."""

    reason: str = ""


class OrderExpired(OrderEvent, frozen=True, gc=False, array_like=True, tag="expired"):
    """The order ended by its time in force, or with its instrument."""

    reason: str = ""


class CancelRejected(OrderEvent, frozen=True, gc=False, array_like=True, tag="cancel_rejected"):
    """The venue did not cancel: the order goes on as it was."""

    reason: str


class OrderInDoubt(OrderEvent, frozen=True, gc=False, array_like=True, tag="in_doubt"):
    """The answer stayed away after sending: only the venue's word ends this."""

    reason: str


class OrderSigned(OrderEvent, frozen=True, gc=False, array_like=True, tag="signed"):
    """In shadow: the order was built and signed as it would leave, and was not sent. `digest` is
    the venue's own hash of it, or that of the request; empty where it has no form there: `reason`
    says why."""

    digest: str
    reason: str = ""


class Fill(OrderEvent, frozen=True, gc=False, array_like=True, tag="fill"):
    """One execution. `fee` is in cash; deduplicated by (venue, order, trade id).

    Where the venue takes its fee out of what was bought, `kept` is that part of `quantity`: it
    counts to the order, and never comes into the position, whose cost it is. Where it takes its fee
    out of a third asset that we hold, `paid_in` names that and `paid` is how much.
    """

    instrument: InstrumentId
    side: Side
    price: int
    quantity: int
    fee: int
    maker: bool
    trade_id: str
    kept: int = 0
    paid_in: InstrumentId | None = None
    paid: int = 0


class OrderFound(OrderEvent, frozen=True, gc=False, array_like=True, tag="found"):
    """An order of ours works at the venue that our journal does not know: its record was lost with
    the machine. It is taken into the books, and cancelled. Or one that we know works there twice:
    both are cancelled. `venue_id` is as `VenueOrder` has it."""

    terms: OrderTerms
    filled: int
    venue_id: str = ""


class CashFlow(msgspec.Struct, frozen=True, gc=False, tag="cash_flow", array_like=True):
    """A deposit (positive) or withdrawal (negative), booked apart from profit and loss.

    `aside`: it is somebody else's, and stays out of our books; we only know that it is there.
    """

    time_ns: int
    venue: str
    amount: int
    reason: str = ""
    aside: bool = False


class PositionTransfer(msgspec.Struct, frozen=True, gc=False, tag="transfer", array_like=True):
    """Shares that came (positive) or went without an order of ours, found in reconciliation.

    Booked apart from profit and loss, at `price` a share as their cost; `aside` as for `CashFlow`.
    """

    time_ns: int
    instrument: InstrumentId
    quantity: int
    price: int
    reason: str = ""
    aside: bool = False


class PairsMerged(msgspec.Struct, frozen=True, gc=False, tag="merged", array_like=True):
    """As many shares of a contract as of its complement went, and `quantity` came in cash: the
    venue pays 1 for a pair. Its profit is that of the two as if both were sold, at 1 together."""

    time_ns: int
    instrument: InstrumentId
    complement: InstrumentId
    quantity: int


class Reconciled(msgspec.Struct, frozen=True, gc=False, tag="reconciled", array_like=True):
    """Our books and the venue's agree: orders may be sent. `repaired` are the differences found.

    With `moving` orders and fills agree, and balances differed in another way at each look.
    """

    time_ns: int
    venue: str
    repaired: tuple[str, ...] = ()
    moving: bool = False


class VenueOrder(msgspec.Struct, frozen=True, gc=False):
    """An order as the venue knows it. `state` is ACCEPTED while it works, else how it ended.

    `venue_id` is its name there, of a venue that does not know our ids: empty elsewhere.
    """

    order: ClientOrderId
    terms: OrderTerms
    filled: int
    state: OrderState
    reason: str = ""
    venue_id: str = ""


class VenueAccount(msgspec.Struct, frozen=True):
    """What a venue says of our account: balances, orders (those that work, and what became of those
    that were asked for), the last fills, and what contracts that ended of late have paid."""

    cash: int
    positions: dict[InstrumentId, int]
    orders: dict[ClientOrderId, VenueOrder]
    fills: tuple[Fill, ...]
    resolved: dict[InstrumentId, int] = {}
    doubled: tuple[ClientOrderId, ...] = ()
    """Ids of ours that stand for two orders at once there."""
    covers: tuple[InstrumentId, ...] | None = None
    """The instruments that it speaks of, None: all. Of what is held in others it says nothing."""
    foreign: tuple[str, ...] = ()
    """Orders that rest there and are none of ours, a person's or another program's: a sentence
    each."""
    by_hand: tuple[str, ...] = ()
    """What a person has to do there, since this program does not: a sentence each."""
    moving: tuple[InstrumentId, ...] = ()
    """Instruments whose trades are not settled yet. What is held of them, and the cash, may be of
    before those trades or of after them: neither can be compared."""


class VenueConnection(msgspec.Struct, frozen=True, gc=False, tag="connection", array_like=True):
    """The venue is reached, or not: while it is not, no order passes."""

    time_ns: int
    venue: str
    up: bool
    reason: str = ""


class VenueAccess(msgspec.Struct, frozen=True, gc=False, tag="access", array_like=True):
    """The venue serves the address that we ask from, or does not: then only what reduces may leave
    for it, until it says that it does."""

    time_ns: int
    venue: str
    allowed: bool
    reason: str = ""


class Protection(msgspec.Struct, frozen=True, gc=False, tag="protection", array_like=True):
    """A venue with a dead-man switch says that it cancels what rests should we fall silent.

    `venue` is as instrument ids name it; the switch is armed until `armed_until_ns` (0: it is
    not). A venue that never says so has none.
    """

    time_ns: int
    venue: str
    armed_until_ns: int
    reason: str = ""


AccountEvent = (
    OrderAccepted
    | OrderRejected
    | OrderCanceled
    | OrderExpired
    | CancelRejected
    | OrderInDoubt
    | OrderFound
    | OrderSigned
    | Fill
    | CashFlow
    | PositionTransfer
    | PairsMerged
    | Reconciled
    | VenueConnection
    | VenueAccess
    | Protection
)
