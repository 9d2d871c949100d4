"""A posted order: read from its JSON, its signature proven, and checked against the rules."""

import msgspec

from betatrader.model.ids import ClientOrderId
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import SCALE, show
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.venues.polymarket.serve import signatures
from betatrader.venues.polymarket.serve.answers import RefusedRequestError
from betatrader.venues.polymarket.serve.authentication import ApiKey
from betatrader.venues.polymarket.serve.listings import Listings, Market
from betatrader.venues.polymarket.serve.records import OrderRecord

BASE = 100
"""Units of 10^-8 in one of the venue's base units, which are of 10^-6."""

CENT = 1_000_000
SECOND = 1_000_000_000
SECURITY_S = 60
"""An order stops working so long before its expiration."""

LEAST_TAKEN = SCALE
"""What a marketable buy must cost at least: 1 pUSD."""

FORCES = {
    "GTC": TimeInForce.GTC,
    "GTD": TimeInForce.GTC,
    "FOK": TimeInForce.FOK,
    "FAK": TimeInForce.IOC,
}


class SentOrder(msgspec.Struct, rename="camel"):
    """The order itself, as its JSON has it."""

    salt: int | str
    maker: str
    signer: str
    token_id: str
    maker_amount: str
    taker_amount: str
    side: str
    signature_type: int
    timestamp: str
    metadata: str
    builder: str
    signature: str
    expiration: str = "0"


class Sent(msgspec.Struct, rename="camel"):
    """The body of POST /order, or one of POST /orders."""

    order: SentOrder
    owner: str
    order_type: str = "GTC"
    defer_exec: bool = False
    post_only: bool = False


class Draft(msgspec.Struct):
    """An order that the venue would take: what it remembers, and what the exchange is asked."""

    record: OrderRecord
    terms: OrderTerms


class _Worth(msgspec.Struct, frozen=True):
    """What an order's two amounts mean."""

    side: Side
    price: int
    size: int
    paid: int


def read_one(body: bytes) -> Sent:
    """The order in a body."""
    try:
        return msgspec.json.decode(body, type=Sent)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise _misread(body) from None


def read_many(body: bytes) -> list[Sent]:
    """The orders in a body."""
    try:
        return msgspec.json.decode(body, type=list[Sent])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise _misread(body) from None


def check_owner(sent: Sent, key: ApiKey) -> None:
    """Refuse an order that is not the asker's own."""
    if sent.owner != key.key:
        text = "the order owner has to be the owner of the API KEY"
        raise RefusedRequestError(400, text)
    wallet = sent.order.signature_type == signatures.WALLET
    if not wallet and sent.order.signer.lower() != key.address.lower():
        text = "the order signer address has to be the address of the API KEY"
        raise RefusedRequestError(400, text)


def draft(sent: Sent, key: ApiKey, listings: Listings, now_ns: int) -> Draft:
    """Check one order as the venue does; a refusal in its words where it would not take it."""
    order = sent.order
    found = listings.find(order.token_id)
    if found is None:
        raise RefusedRequestError(404, "No orderbook exists for the requested token id")
    market, contract = found[0], listings.enforced(found[1])
    name = _proven(order, key, market)
    _check_kind(sent, now_ns)
    if not listings.accepts(market):
        raise RefusedRequestError(400, "the market is not yet ready to process new orders")
    worth = _worth(sent, contract)
    _check_rules(name, sent, worth, contract, listings.least_size)
    record = OrderRecord(
        name,
        key.address,
        key.key,
        signatures.canonical(order.maker),
        market.condition,
        contract.id,
        contract.outcome,
        worth.side,
        worth.price,
        worth.size,
        sent.order_type,
        int(order.expiration),
        now_ns,
    )
    terms = OrderTerms(
        contract.id,
        worth.side,
        OrderType.LIMIT,
        worth.price,
        worth.size,
        FORCES[sent.order_type],
        sent.post_only,
    )
    return Draft(record, terms)


def _misread(body: bytes) -> RefusedRequestError:
    if b'"feeRateBps"' in body:
        return RefusedRequestError(400, "order_version_mismatch")
    return RefusedRequestError(400, "Invalid order payload")


def _proven(order: SentOrder, key: ApiKey, market: Market) -> ClientOrderId:
    """The order's id, where its signature is the asker's."""
    try:
        signed = signatures.Order(
            int(order.salt),
            signatures.canonical(order.maker),
            signatures.canonical(order.signer),
            int(order.token_id),
            int(order.maker_amount),
            int(order.taker_amount),
            ("BUY", "SELL").index(order.side),
            order.signature_type,
            int(order.timestamp),
            bytes.fromhex(order.metadata.removeprefix("0x")),
            bytes.fromhex(order.builder.removeprefix("0x")),
        )
        if order.signature_type not in range(4) or int(order.expiration) < 0:
            raise ValueError(order.signature_type)  # noqa: TRY301  one refusal for all of these
        own = order.signature_type in (0, signatures.WALLET)
        if own and signed.maker != signed.signer:
            raise ValueError(order.maker)  # noqa: TRY301
        domain = signatures.domain_for(signed.token, neg_risk=market.neg_risk)
        digest = signatures.order_digest(signed, domain)
        signature = bytes.fromhex(order.signature.removeprefix("0x"))
    except ValueError:
        raise RefusedRequestError(400, "Invalid order payload") from None
    if signatures.order_signer(signed, domain, signature) != key.address:
        raise RefusedRequestError(400, "invalid signature")
    return ClientOrderId("0x" + digest.hex())


def _check_kind(sent: Sent, now_ns: int) -> None:
    if sent.order_type not in FORCES:
        raise RefusedRequestError(400, "Invalid order payload")
    immediate = sent.order_type in ("FOK", "FAK")
    if sent.post_only and immediate:
        raise RefusedRequestError(400, "invalid post-only order: only GTC and GTD can be post-only")
    expiration = int(sent.order.expiration)
    if sent.order_type != "GTD" and expiration != 0:
        raise RefusedRequestError(400, "invalid expiration")
    if sent.order_type == "GTD" and expiration <= now_ns // SECOND + SECURITY_S:
        raise RefusedRequestError(400, "invalid expiration")


def _worth(sent: Sent, contract: BinaryContract) -> _Worth:
    order = sent.order
    making, taking = int(order.maker_amount) * BASE, int(order.taker_amount) * BASE
    if making <= 0 or taking <= 0:
        raise RefusedRequestError(400, "Invalid order payload")
    side = Side(order.side)
    paid, size = (making, taking) if side is Side.BUY else (taking, making)
    price = paid * SCALE // size
    if sent.order_type in ("FOK", "FAK"):
        nearest = (price + contract.tick // 2) // contract.tick * contract.tick
        if abs(nearest - price) * 100 <= contract.tick:
            price = nearest  # amounts are rounded to whole base units, and so is their quotient
        size -= size % contract.lot
    return _Worth(side, price, size, paid)


def _check_rules(
    name: str, sent: Sent, worth: _Worth, contract: BinaryContract, least_size: int
) -> None:
    tick = contract.tick
    start = f"order {name} is invalid."
    if worth.price % tick or not tick <= worth.price <= SCALE - tick:
        text = f"{start} Price ({show(worth.price)}) breaks minimum tick size rule: {show(tick)}"
        raise RefusedRequestError(400, text)
    if sent.order_type in ("FOK", "FAK"):
        if worth.side is Side.BUY and worth.paid % CENT:
            text = (
                "invalid amounts, the market buy orders maker amount supports a max accuracy of "
                "2 decimals, taker amount a max of 4 decimals"
            )
            raise RefusedRequestError(400, text)
        if worth.side is Side.BUY and worth.paid < LEAST_TAKEN:
            text = f"invalid amount for a marketable BUY order (${show(worth.paid)}), min size: $1"
            raise RefusedRequestError(400, text)
        if worth.size <= 0:
            raise RefusedRequestError(400, f"{start} Size (0) lower than the minimum: 0.01")
        return
    if worth.size % CENT or worth.size % contract.lot:
        side = "buy" if worth.side is Side.BUY else "sell"
        text = f"invalid amounts, the size of {side} orders supports a max accuracy of 2 decimals"
        raise RefusedRequestError(400, text)
    if worth.size < least_size:
        size, least = show(worth.size), show(least_size)
        raise RefusedRequestError(400, f"{start} Size ({size}) lower than the minimum: {least}")
