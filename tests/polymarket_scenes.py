"""A Polymarket in memory for tests: REST by method and path, two channels, and virtual time."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.config.venues import Polymarket
from betatrader.model.account import VenueAccount
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.event import Event
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.money import parse
from betatrader.model.order import OrderTerms, OrderType, Side
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, Handler, NoAnswerError
from betatrader.ops import clock
from betatrader.venues.polymarket.forms import instrument_id
from betatrader.venues.polymarket.venue import PolymarketVenue

EPOCH_NS = 1_700_000_000_000_000_000
CONDITION = "0x" + "bd" * 32
YES_TOKEN, NO_TOKEN = "7132" + "1" * 70, "5211" + "2" * 70
YES, NO = instrument_id(YES_TOKEN), instrument_id(NO_TOKEN)
API_KEY = "00000000-0000-4000-8000-000000000001"
API_SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
STRANGER = "00000000-0000-4000-8000-000000000002"
PRIVATE = "0x" + "17" * 32

Given = dict[str, Any]
Reply = Callable[[Given], Any]


class RefuseError(Exception):
    """Raised by a reply: answer with this error."""

    def __init__(self, status: int, error: str, **more: Any) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, **more}


class CutError(Exception):
    """Raised by a reply: no answer comes."""


def name(number: int) -> ClientOrderId:
    """The id of an order of ours."""
    return ClientOrderId(f"{number:032x}")


def approved(
    number: int, price: str = "0.56", size: str = "10", side: Side = Side.BUY, **other: Any
) -> Approved:
    """An order that risk has let through."""
    kind = other.pop("type", OrderType.LIMIT)
    instrument = other.pop("instrument", YES)
    terms = OrderTerms(instrument, side, kind, parse(price), parse(size), **other)
    return Approved(name(number), StrategyId("s"), terms)


def book(token: str, bids: dict[str, str], asks: dict[str, str], at_ms: int = 0) -> Given:
    """A book, best level last."""
    return {
        "event_type": "book", "market": CONDITION, "asset_id": token,
        "timestamp": str(at_ms or EPOCH_NS // 10**6), "hash": "",
        "bids": [{"price": p, "size": s} for p, s in sorted(bids.items())],
        "asks": [{"price": p, "size": s} for p, s in sorted(asks.items(), reverse=True)],
    }  # fmt: skip


def market(**other: Any) -> Given:
    """A market as `/markets/{condition}` has it."""
    return {
        "condition_id": CONDITION, "active": True, "closed": False, "accepting_orders": True,
        "end_date_iso": "2026-12-31T00:00:00Z", "neg_risk": False, "is_50_50_outcome": False,
        "tokens": [
            {"token_id": YES_TOKEN, "outcome": "Yes", "price": 0.55, "winner": False},
            {"token_id": NO_TOKEN, "outcome": "No", "price": 0.45, "winner": False},
        ], **other,
    }  # fmt: skip


def ended(yes_wins: bool = True) -> Given:
    """The market after its end."""
    found = market(closed=True, accepting_orders=False)
    found["tokens"][0 if yes_wins else 1]["winner"] = True
    return found


def parameters(**other: Any) -> Given:
    """A market as `/clob-markets/{condition}` has it."""
    return {
        "t": [{"t": YES_TOKEN, "o": "Yes"}, {"t": NO_TOKEN, "o": "No"}], "mts": 0.01, "mos": 5,
        "mbf": 0, "tbf": 0, "fd": {"r": 0.07, "e": 1, "to": True}, "gst": None, **other,
    }  # fmt: skip


def order(their_id: str, status: str = "LIVE", matched: str = "0", **other: Any) -> Given:
    """An order as the venue knows it."""
    return {
        "id": their_id, "status": status, "owner": API_KEY, "maker_address": "0x",
        "market": CONDITION, "asset_id": YES_TOKEN, "side": "BUY", "original_size": "10",
        "size_matched": matched, "price": "0.56", "outcome": "Yes", "expiration": "0",
        "order_type": "GTC", "associate_trades": None, "created_at": EPOCH_NS // 10**9, **other,
    }  # fmt: skip


def told(kind: str, their_id: str, status: str = "LIVE", matched: str = "0", **other: Any) -> Given:
    """The same over the user channel."""
    return {"event_type": "order", "type": kind, **order(their_id, status, matched, **other)}


def trade(
    their_id: str, size: str = "10", status: str = "MATCHED", maker: bool = True, **other: Any
) -> Given:
    """A trade in which our order was the maker, or the taker, at 0.56."""
    ours, strange = (API_KEY, their_id), (STRANGER, "0x" + "99" * 32)
    resting, taking = (ours, strange) if maker else (strange, ours)
    side = "SELL" if maker else "BUY"
    return {
        "event_type": "trade", "type": "TRADE", "id": "28c4", "taker_order_id": taking[1],
        "market": CONDITION, "asset_id": YES_TOKEN, "side": side, "size": size,
        "price": "0.56", "status": status, "match_time": str(EPOCH_NS // 10**9 + 5),
        "owner": taking[0], "trader_side": "MAKER" if maker else "TAKER",
        "maker_orders": [{
            "order_id": resting[1], "owner": resting[0], "matched_amount": size, "price": "0.56",
            "asset_id": YES_TOKEN, "side": "BUY" if maker else "SELL",
        }], **other,
    }  # fmt: skip


class Socket:
    """The client's end."""

    def __init__(self, fake: "Fake", url: str, handler: Handler) -> None:
        self.fake, self.url, self.handler = fake, url, handler
        self.open = True
        self.sent: list[bytes] = []

    def send(self, text: bytes) -> None:
        if self.open:
            self.sent.append(text)
            asyncio.get_running_loop().call_soon(self.fake.heard, self, text)

    def close(self) -> None:
        self.cut("closed by us")

    def cut(self, reason: str) -> None:
        if self.open:
            self.open = False
            self.handler.lost(reason)

    def say(self, message: Any) -> None:
        """The venue speaks."""
        if self.open:
            text = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.handler.received(text)


class Fake:
    """Polymarket as a Transport. `rest` holds the replies, and tests put others there."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Given]] = []
        self.headers: list[Mapping[str, str]] = []
        self.sockets: list[Socket] = []
        self.silent = False
        self.beats = 0
        self.books = {
            YES_TOKEN: book(YES_TOKEN, {"0.50": "30"}, {"0.60": "100"}),
            NO_TOKEN: book(NO_TOKEN, {"0.40": "100"}, {"0.50": "30"}),
        }
        self.rest: dict[str, Reply] = {
            "GET /time": lambda _: EPOCH_NS // 10**9,
            "GET /auth/ban-status/closed-only": lambda _: {"closed_only": False},
            f"GET /markets/{CONDITION}": lambda _: market(),
            f"GET /clob-markets/{CONDITION}": lambda _: parameters(),
            "GET /book": lambda given: self.books[given["token_id"]],
            "POST /v1/heartbeats": self._beat,
            "POST /order": self.accept,
            "DELETE /order": lambda given: {"canceled": [given["orderID"]], "not_canceled": {}},
            "GET /data/orders": lambda _: page(),
            "GET /data/trades": lambda _: page(),
            "GET /balance-allowance": lambda given: {
                "balance": "100000000" if given["asset_type"] == "COLLATERAL" else "0"
            },
        }

    def accept(self, _given: Given, status: str = "live") -> Given:
        """A good answer, by the id that the adapter has made itself."""
        return {"success": True, "errorMsg": "", "orderID": self.last_id(), "status": status}

    def last_id(self) -> str:
        """The id of the order that was made last."""
        return next(reversed(self.venue.ids._ours))

    def _beat(self, given: Given) -> Given:
        wanted = f"beat-{self.beats}" if self.beats else ""
        if given["heartbeat_id"] != wanted:
            raise RefuseError(400, "Invalid Heartbeat ID", heartbeat_id=wanted)
        self.beats += 1
        return {"heartbeat_id": f"beat-{self.beats}", "error": None}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """Answer one request, a hundredth of a second later."""
        parts = urlsplit(url)
        given: Given = dict(parse_qsl(parts.query))
        if body:
            found = json.loads(body)
            given = found if isinstance(found, dict) else {"all": found}
        self.asked.append((f"{method} {parts.path}", given))
        self.headers.append(headers or {})
        await asyncio.sleep(0.005)
        reply = self.rest.get(f"{method} {parts.path}")
        if reply is None and parts.path.startswith("/data/order/"):
            return Answer(404, b'{"error":"order not found"}')
        assert reply is not None, f"{method} {parts.path}"
        try:
            answer = reply(given)
        except RefuseError as error:
            return Answer(error.status, json.dumps(error.body).encode())
        except CutError:
            raise NoAnswerError("no answer in 5 s") from None
        await asyncio.sleep(0.005)
        return answer if isinstance(answer, Answer) else Answer(200, json.dumps(answer).encode())

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        """Open a socket."""
        await asyncio.sleep(0.01)
        self.sockets.append(Socket(self, url, handler))
        return self.sockets[-1]

    async def aclose(self) -> None:
        """Nothing is kept."""

    def heard(self, socket: Socket, text: bytes) -> None:
        """A subscription is answered with books, and a PING with a PONG."""
        if self.silent:
            return
        if text == b"PING":
            socket.say(b"PONG")
            return
        for token in json.loads(text).get("assets_ids", ()):
            socket.say([self.books[token]])

    def socket(self, kind: str) -> Socket:
        """The last socket of a channel."""
        return next(s for s in reversed(self.sockets) if s.url.endswith(kind))

    def posted(self, what: str = "POST /order") -> list[Given]:
        """The bodies or queries of one kind of request."""
        return [given for asked, given in self.asked if asked == what]


def page(*items: Given) -> Given:
    """The only page of a list."""
    return {"limit": 500, "count": len(items), "next_cursor": "LTE=", "data": list(items)}


class World:
    """The adapter with its fake venue, in virtual time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.loop = VirtualLoop(1)
        monkeypatch.setattr(clock, "now_ns", lambda: EPOCH_NS + int(self.loop.time() * 1e9))
        monkeypatch.setattr(clock, "boot_s", lambda: 1.0 + self.loop.time())
        self.fake = Fake()
        self.events: list[Event] = []
        self.market: list[Event] = []
        given = {
            "markets": (CONDITION,),
            "private_key": Secret(PRIVATE),
            "api_key": Secret(API_KEY),
            "api_secret": Secret(API_SECRET),
            "api_passphrase": Secret("aa" * 32),
        }
        self.settings = Polymarket(**{**given, **settings})
        self.seen = 0
        self.start()

    def start(self) -> None:
        """Begin a process with a new adapter."""
        self.venue = PolymarketVenue(
            self.settings, self.fake, self.events.append, self.market.append
        )
        self.venue.remember([])
        self.fake.venue = self.venue
        self.loop.spawn(Process("p"), self._run)

    async def _run(self) -> None:
        with anyio.CancelScope() as self.scope:
            await self.venue.run()

    def stop(self) -> None:
        """Cancel the process."""
        self.loop.call_soon(self.scope.cancel)
        self.go(0.1)

    def go(self, seconds: float = 1.0) -> "World":
        """Let time pass."""
        self.loop.run_until(lambda: False, self.loop.time() + seconds)
        assert self.loop.unhandled == []
        return self

    def do(self, call: Callable[..., Any], *args: Any, seconds: float = 0.05) -> "World":
        """Call something on the loop, and let a moment pass."""
        self.loop.call_soon(call, *args)
        return self.go(seconds)

    def submit(self, command: Approved, seconds: float = 0.05) -> str:
        """Place an order; its id at the venue, empty where it has none."""
        self.do(lambda: self.venue.submit(command, clock.now_ns()), seconds=seconds)
        return next(iter(self.venue.ids.theirs(command.order)), "")

    def cancel(self, number: int, seconds: float = 0.05) -> None:
        """Cancel an order."""
        command = CancelOrder(name(number), YES)
        self.do(lambda: self.venue.cancel(command, clock.now_ns()), seconds=seconds)

    def say(self, channel: str, message: Any) -> None:
        """The venue speaks over a channel."""
        self.do(self.fake.socket(channel).say, message)

    def since(self) -> list[Event]:
        """Reports since the last call, but for the dead-man switch."""
        found = self.events[self.seen :]
        self.seen = len(self.events)
        return [event for event in found if type(event).__name__ != "Protection"]

    def kinds(self) -> list[str]:
        """Their types."""
        return [type(event).__name__ for event in self.since()]

    def account(self, *orders: ClientOrderId) -> VenueAccount:
        """What the venue says of our account; raises what it raises."""
        found: list[Any] = []

        async def ask() -> None:
            try:
                found.append(await self.venue.account(orders))
            except (OSError, TimeoutError) as error:
                found.append(error)

        self.loop.spawn(Process("q"), ask)
        self.go(0.5)
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]
