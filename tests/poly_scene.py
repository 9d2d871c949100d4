"""A small market as Polymarket's server needs one: two tokens of one condition, made by hand."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from coincurve import PrivateKey
from msgspec.json import decode, encode

from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract, BinaryFees
from betatrader.model.market import BookSnapshot, InstrumentListed, PublicTrade, Quote
from betatrader.model.money import SCALE, parse
from betatrader.net.transport import Answer, Request
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.polymarket.serve import signatures
from betatrader.venues.polymarket.serve.authentication import signed
from betatrader.venues.polymarket.serve.server import PolymarketServer
from betatrader.venues.polymarket.serve.state import Rules

YES = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
NO = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
CONDITION = "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1"
YES_ID, NO_ID = InstrumentId(f"{YES}.POLYMARKET"), InstrumentId(f"{NO}.POLYMARKET")
CASH = 1_000 * SCALE
PRIVATE = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OTHER = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"


def contract(token: str = YES, *, tick: str = "0.01") -> BinaryContract:
    """One token of the market; the venue nets nothing by itself."""
    yes = token == YES
    return BinaryContract(
        YES_ID if yes else NO_ID,
        CONDITION,
        "Yes" if yes else "No",
        NO_ID if yes else YES_ID,
        4_000_000_000_000_000_000,
        "a coin that was tossed",
        parse(tick),
        parse("0.01"),
        parse("1"),  # as the generated market states it, whose contracts the demo serves
        BinaryFees(0, parse("0.04")),
        nets=False,
    )


def levels(*pairs: str) -> tuple[tuple[int, int], ...]:
    """Levels from `price x size`."""
    return tuple((parse(p), parse(s)) for p, _, s in (pair.partition("x") for pair in pairs))


def market(now_ns: int) -> list:
    """Both tokens, each with a book, a quote that agrees with it, and a trade."""
    yes_bids, yes_asks = levels("0.50x30", "0.40x100"), levels("0.52x25", "0.60x100")
    no_bids, no_asks = levels("0.48x25", "0.40x100"), levels("0.50x30", "0.60x100")
    return [
        InstrumentListed(now_ns, contract(YES)),
        InstrumentListed(now_ns, contract(NO)),
        BookSnapshot(now_ns, YES_ID, yes_bids, yes_asks, 1),
        BookSnapshot(now_ns, NO_ID, no_bids, no_asks, 1),
        Quote(now_ns, YES_ID, *yes_bids[0], *yes_asks[0], 1),
        PublicTrade(now_ns, YES_ID, parse("0.51"), parse("5"), buyer_is_taker=True),
    ]


def server(
    rules: Rules | None = None, faults: Faults | None = None, latency_ns: int = 0
) -> PolymarketServer:
    """The venue before an exchange without latency, unless told otherwise."""
    exchange = SimulatedExchange(latency_ns)
    link = FaultyLink(faults or Faults(), 1)
    return PolymarketServer(exchange, rules or Rules(CASH), link)


class Heard:
    """One client's end of a WebSocket, in memory."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.closed = False

    def send(self, text: bytes) -> None:
        self.texts.append(text)

    def close(self) -> None:
        self.closed = True

    def messages(self, kind: str = "") -> list[dict]:
        """What was heard, of one kind where one is named."""
        heard: list[dict] = []
        for text in self.texts:
            if text == b"PONG":
                continue
            one = msgspec.json.decode(text)
            heard += one if isinstance(one, list) else [one]
        return [one for one in heard if not kind or one["event_type"] == kind]


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 1_764_000_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns


class Wallet:
    """A client in memory: it signs by hand, with digests that the known answers prove."""

    def __init__(self, venue: PolymarketServer, private: str = PRIVATE) -> None:
        self.venue = venue
        self._private = PrivateKey(bytes.fromhex(private[2:]))
        public = self._private.public_key.format(compressed=False)[1:]
        self.address = signatures.checksummed(signatures.hashed(public)[-20:])
        self.key: dict[str, str] = {}
        self._salt = 0

    def sign(self, digest: bytes) -> bytes:
        made = self._private.sign_recoverable(digest, hasher=None)
        return made[:64] + bytes([made[64] + 27])

    async def call(self, method: str, path: str, body: object = None, **query: str) -> Answer:
        """A request that nobody signs."""
        return await self.send(method, path, {}, body, urlencode(query))

    async def send(
        self, method: str, path: str, headers: dict, body: object = None, query: str = ""
    ) -> Answer:
        raw = b"" if body is None else body if isinstance(body, bytes) else encode(body)
        answer = await self.venue.answer(Request(method, path, query, headers, raw))
        assert answer is not None, "no answer"
        return answer

    def l1(self, nonce: int = 0) -> dict[str, str]:
        at = str(clock.now_ns() // 1_000_000_000)
        signature = self.sign(signatures.attestation(self.address, at, nonce)).hex()
        return {
            "poly_address": self.address,
            "poly_signature": "0x" + signature,
            "poly_timestamp": at,
            "poly_nonce": str(nonce),
        }

    async def connect(self) -> "Wallet":
        """Get an API key."""
        answer = await self.send("POST", "/auth/api-key", self.l1())
        self.key = decode(answer.body)
        return self

    def l2(self, method: str, path: str, raw: bytes = b"") -> dict[str, str]:
        at = str(clock.now_ns() // 1_000_000_000)
        signature = signed(self.key["secret"], f"{at}{method}{path}".encode() + raw)
        return {
            "poly_address": self.address,
            "poly_signature": signature.decode(),
            "poly_timestamp": at,
            "poly_api_key": self.key["apiKey"],
            "poly_passphrase": self.key["passphrase"],
        }

    async def ask(
        self, method: str, path: str, body: object = None, **query: str
    ) -> tuple[int, Any]:
        """A signed request: its status and its JSON."""
        raw = b"" if body is None else encode(body)
        headers = self.l2(method, path, raw)
        answer = await self.send(method, path, headers, raw, urlencode(query))
        return answer.status, decode(answer.body)

    def order(self, side: str, price: str, size: str, kind: str = "GTC", **more: Any) -> dict:
        """The body of an order, signed."""
        self._salt += 1
        paid, shares = parse(price) * parse(size) // SCALE // 100, parse(size) // 100
        making, taking = (paid, shares) if side == "BUY" else (shares, paid)
        wallet, type_ = more.get("maker", self.address), more.get("type", 0)
        order = signatures.Order(
            self._salt,
            wallet,
            wallet if type_ == 3 else self.address,
            int(more.get("token", YES)),
            making,
            taking,
            0 if side == "BUY" else 1,
            type_,
            clock.now_ns() // 1_000_000,
            bytes(32),
            bytes(32),
        )
        domain = signatures.domain_for(order.token, neg_risk=more.get("neg_risk", False))
        digest = signatures.order_digest(order, domain)
        return {
            "order": {
                "salt": order.salt,
                "maker": order.maker,
                "signer": order.signer,
                "tokenId": str(order.token),
                "makerAmount": str(making),
                "takerAmount": str(taking),
                "side": side,
                "expiration": str(more.get("expiration", 0)),
                "signatureType": type_,
                "timestamp": str(order.timestamp),
                "metadata": "0x" + "00" * 32,
                "builder": "0x" + "00" * 32,
                "signature": "0x" + self.sign(digest).hex(),
            },
            "owner": self.key["apiKey"],
            "orderType": kind,
            "deferExec": False,
            "postOnly": more.get("post_only", False),
        }

    async def place(
        self, side: str, price: str, size: str, kind: str = "GTC", **more: Any
    ) -> tuple[int, Any]:
        """Send an order."""
        return await self.ask("POST", "/order", self.order(side, price, size, kind, **more))

    def hear(self) -> "Heard":
        """Listen to the user channel."""
        heard = Heard()
        handler = self.venue.open(Request("GET", "/ws/user", "", {}, b""), heard)
        assert handler is not None
        handler.received(encode({"type": "user", "auth": self.key}))
        return heard
