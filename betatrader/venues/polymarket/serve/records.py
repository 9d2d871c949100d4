"""One order and one trade as the venue remembers them, and how it shows them."""

import uuid

import msgspec

from betatrader.model.account import Fill
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.money import show
from betatrader.model.order import Side
from betatrader.venues.polymarket.serve.listings import token_of
from betatrader.venues.polymarket.serve.signatures import checksummed, hashed

SECOND = 1_000_000_000


class OrderRecord(msgspec.Struct):
    """An order from its arrival to its end, and after. `status` is the venue's own word."""

    id: ClientOrderId
    account: str
    key: str
    maker: str
    market: str
    instrument: InstrumentId
    outcome: str
    side: Side
    price: int
    size: int
    order_type: str
    expiration: int
    created_ns: int
    status: str = "LIVE"
    matched: int = 0
    accepted: bool = False
    trades: list[str] = []
    spent: int = 0
    """pUSD that changed hands in its trades."""

    @property
    def open(self) -> bool:
        """Whether it rests in the book."""
        return self.accepted and self.status == "LIVE"

    def document(self) -> dict[str, object]:
        """As `/data/order/{id}` has it."""
        return {
            "id": self.id,
            "status": self.status,
            "owner": self.key,
            "maker_address": self.maker,
            "market": self.market,
            "asset_id": token_of(self.instrument),
            "side": str(self.side),
            "original_size": show(self.size),
            "size_matched": show(self.matched),
            "price": show(self.price),
            "outcome": self.outcome,
            "expiration": str(self.expiration),
            "order_type": self.order_type,
            "associate_trades": list(self.trades),
            "created_at": self.created_ns // SECOND,
        }

    def message(self, kind: str, now_ns: int) -> dict[str, object]:
        """As the user channel has it: PLACEMENT, UPDATE or CANCELLATION."""
        return {
            "event_type": "order",
            "type": kind,
            **self.document(),
            "created_at": str(self.created_ns // SECOND),
            "order_owner": self.key,
            "associate_trades": list(self.trades) or None,
            "timestamp": str(now_ns // SECOND),
        }


class Party(msgspec.Struct, frozen=True):
    """One side of a trade; `account` is empty where it is nobody here."""

    order: str
    key: str
    address: str
    account: str
    side: Side
    fill: Fill | None = None
    outcome: str = ""


class TradeRecord(msgspec.Struct):
    """One execution between a taker and a maker, and how far its settlement is."""

    id: str
    number: int
    market: str
    instrument: InstrumentId
    outcome: str
    price: int
    size: int
    time_ns: int
    taker: Party
    maker: Party
    updated_ns: int
    status: str = "MATCHED"
    transaction: str = ""
    fails: bool = False

    @property
    def accounts(self) -> set[str]:
        """Those of the two parties that are accounts here."""
        return {party.account for party in (self.taker, self.maker) if party.account}

    def document(self, account: str) -> dict[str, object]:
        """As `/data/trades` has it for one of its parties; the top level is the taker's."""
        taker, maker = self.taker, self.maker
        given = maker.fill  # it may be of the other token, at 1 less the price
        return {
            "id": self.id,
            "taker_order_id": taker.order,
            "market": self.market,
            "asset_id": token_of(self.instrument),
            "side": str(taker.side),
            "size": show(self.size),
            "fee_rate_bps": "0",
            "price": show(self.price),
            "status": self.status,
            "match_time": str(self.time_ns // SECOND),
            "last_update": str(self.updated_ns // SECOND),
            "outcome": self.outcome,
            "bucket_index": 0,
            "owner": taker.key,
            "maker_address": taker.address,
            "transaction_hash": self.transaction,
            "trader_side": "TAKER" if taker.account == account else "MAKER",
            "maker_orders": [
                {
                    "order_id": maker.order,
                    "owner": maker.key,
                    "maker_address": maker.address,
                    "matched_amount": show(self.size),
                    "price": show(given.price if given is not None else self.price),
                    "fee_rate_bps": "0",
                    "asset_id": token_of(given.instrument if given else self.instrument),
                    "outcome": maker.outcome or self.outcome,
                    "side": str(maker.side),
                }
            ],
        }

    def message(self, account: str, key: str, now_ns: int) -> dict[str, object]:
        """As the user channel has it for one of its parties."""
        shown = self.document(account)
        shown["matchtime"] = shown.pop("match_time")
        return {
            "event_type": "trade",
            "type": "TRADE",
            **shown,
            "trade_owner": key,
            "timestamp": str(now_ns // SECOND),
        }


def opposite(side: Side) -> Side:
    """The side that meets a side."""
    return Side.SELL if side is Side.BUY else Side.BUY


def trade_id(number: int) -> str:
    """The id of the n-th trade."""
    return str(uuid.UUID(bytes=hashed(f"trade {number}".encode())[:16], version=4))


def transaction(number: int) -> str:
    """The hash of the transaction that settles the n-th trade."""
    return "0x" + hashed(f"transaction {number}".encode()).hex()


def stranger(number: int, side: Side) -> Party:
    """The other side of a trade with recorded liquidity."""
    name = hashed(f"stranger {number}".encode())
    key = str(uuid.UUID(bytes=name[:16], version=4))
    return Party("0x" + name.hex(), key, checksummed(name[:20]), "", side)
