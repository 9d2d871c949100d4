"""Messages of the reference venue's link: 4 bytes length, then one tagged message in msgpack."""

from collections.abc import Iterator

import msgspec

from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
    VenueAccount,
)
from betatrader.model.event import MarketInput
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.order import OrderTerms
from betatrader.sim.ledger import Ledger

LARGEST = 64 * 1024 * 1024


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The first message of a client: whose account it speaks for."""

    account: str


class Place(msgspec.Struct, frozen=True, array_like=True, tag="place"):
    """A new order."""

    number: int
    order: ClientOrderId
    terms: OrderTerms


class Withdraw(msgspec.Struct, frozen=True, array_like=True, tag="withdraw"):
    """A cancel."""

    number: int
    order: ClientOrderId
    instrument: InstrumentId


class AskAccount(msgspec.Struct, frozen=True, array_like=True, tag="ask_account"):
    """Balances, fills, working orders, and what became of the orders that are named."""

    number: int
    orders: tuple[ClientOrderId, ...]


class AskLedger(msgspec.Struct, frozen=True, array_like=True, tag="ask_ledger"):
    """The venue's own books: for the judge of a run, not for trading."""

    number: int


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """The venue's name, and the longest time that an order can be under way to it."""

    name: str
    under_way_ns: int


class Received(msgspec.Struct, frozen=True, array_like=True, tag="received"):
    """The venue has the request, and reports will follow."""

    number: int


class Shown(msgspec.Struct, frozen=True, array_like=True, tag="shown"):
    """A market event."""

    event: MarketInput


Report = OrderAccepted | OrderRejected | OrderCanceled | OrderExpired | CancelRejected | Fill


class Told(msgspec.Struct, frozen=True, array_like=True, tag="told"):
    """A report on an order."""

    report: Report


class AccountIs(msgspec.Struct, frozen=True, array_like=True, tag="account_is"):
    """The answer to AskAccount."""

    number: int
    account: VenueAccount


class LedgerIs(msgspec.Struct, frozen=True, array_like=True, tag="ledger_is"):
    """The answer to AskLedger; `resting` are the ids of the orders in the book."""

    number: int
    ledger: Ledger
    resting: tuple[ClientOrderId, ...]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """A question is not answered, for a reason."""

    number: int
    reason: str


Request = Hello | Place | Withdraw | AskAccount | AskLedger
Answer = Welcome | Received | Shown | Told | AccountIs | LedgerIs | Failed

_encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def framed(message: Request | Answer) -> bytes:
    """A message as it goes over the wire."""
    payload = _encode(message)
    return len(payload).to_bytes(4) + payload


class Frames:
    """Cuts a stream of bytes into payloads; raises ValueError for a frame that cannot be."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that are whole now."""
        data = self._rest + data
        at = 0
        while len(data) - at >= 4:
            size = int.from_bytes(data[at : at + 4])
            if size > LARGEST:
                raise ValueError(f"a frame of {size} bytes")
            if len(data) - at - 4 < size:
                break
            yield data[at + 4 : at + 4 + size]
            at += 4 + size
        self._rest = data[at:]
