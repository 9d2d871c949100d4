"""Streams of the market, and what anyone may ask of it."""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec

from betatrader.model.instrument import Spot
from betatrader.model.market import BookDelta, BookSnapshot, Level, PublicTrade, Quote
from betatrader.net.transport import Socket
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.pool import Pool
from betatrader.venues.binance.serve.books import text
from betatrader.venues.binance.serve.requests import Refusal
from betatrader.venues.binance.wire import VENUE, instrument_id

encode = msgspec.json.encode
TRADES_KEPT = 1_000
STREAMS = 1_024
DEPTHS = ("depth", "depth@100ms")


def symbol_of(name: str) -> str:
    """`BTCUSDT.BINANCE` as `BTCUSDT`."""
    return name.removesuffix(f".{VENUE}")


class Market:
    """What the exchange shows: numbers each change of a book, and tells subscribers."""

    def __init__(self, exchange: SimulatedExchange, now_ms: Callable[[], int]) -> None:
        self.silent = False
        """Whether nothing is told: sockets stay open, and say nothing."""
        self.frozen: set[str] = set()
        """Symbols whose changes are told to nobody."""
        self.subscribers: dict[Subscriber, None] = {}
        self._exchange = exchange
        self.now_ms = now_ms
        """The venue's clock."""
        self._sequence: dict[str, int] = {}
        self._trades: dict[str, deque[dict[str, Any]]] = {}
        self._trade = 0

    def spots(self) -> list[Spot]:
        """All pairs that are listed."""
        definitions = (pool.definition for pool in self._exchange.pools.values())
        return [one for one in definitions if isinstance(one, Spot)]

    def pool(self, symbol: str) -> tuple[Spot, Pool]:
        """A pair and its liquidity; raises Refusal."""
        pool = self._exchange.pools.get(instrument_id(symbol))
        if pool is None or not isinstance(pool.definition, Spot):
            raise Refusal(400, -1121, "Invalid symbol.")
        return pool.definition, pool

    def before(self, event: object) -> tuple[dict[int, int], dict[int, int]] | None:
        """The book that a snapshot is about to replace."""
        if not isinstance(event, BookSnapshot):
            return None
        pool = self._exchange.pools.get(event.instrument)
        return (dict(pool.book.bids), dict(pool.book.asks)) if pool is not None else None

    def tell(self, event: object, old: tuple[dict[int, int], dict[int, int]] | None) -> None:
        """One market event that the exchange has taken, to all who listen."""
        match event:
            case Quote():
                self._push(symbol_of(event.instrument), "bookTicker", self._ticker(event))
            case PublicTrade():
                self._tell_trade(event)
            case BookDelta():
                self._tell_depth(symbol_of(event.instrument), event.bids, event.asks)
            case BookSnapshot() if old is not None:
                bids, asks = _moved(old[0], event.bids), _moved(old[1], event.asks)
                self._tell_depth(symbol_of(event.instrument), bids, asks)

    def _ticker(self, event: Quote) -> dict[str, Any]:
        symbol = symbol_of(event.instrument)
        return {
            "u": self._sequence.get(symbol, 0),
            "s": symbol,
            "b": text(event.bid),
            "B": text(event.bid_size),
            "a": text(event.ask),
            "A": text(event.ask_size),
        }

    def _tell_trade(self, event: PublicTrade) -> None:
        symbol, now = symbol_of(event.instrument), self.now_ms()
        self._trade += 1
        common = {"p": text(event.price), "q": text(event.quantity), "T": now}
        maker = {"m": not event.buyer_is_taker, "M": True}
        head = {"E": now, "s": symbol}
        self._push(symbol, "trade", {"e": "trade", **head, "t": self._trade, **common, **maker})
        span = {"f": self._trade, "l": self._trade}
        self._push(
            symbol,
            "aggTrade",
            {"e": "aggTrade", **head, "a": self._trade, **common, **span, **maker},
        )
        kept = self._trades.setdefault(symbol, deque(maxlen=TRADES_KEPT))
        kept.append({"id": self._trade, "time": now, "maker": maker["m"], **common})

    def _tell_depth(self, symbol: str, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
        number = self._sequence[symbol] = self._sequence.get(symbol, 0) + 1
        data = {
            "e": "depthUpdate",
            "E": self.now_ms(),
            "s": symbol,
            "U": number,
            "u": number,
            "b": _shown(bids),
            "a": _shown(asks),
        }
        for kind in DEPTHS if symbol not in self.frozen else ():
            self._push(symbol, kind, data)

    def _push(self, symbol: str, kind: str, data: dict[str, Any]) -> None:
        if self.silent or not self.subscribers:
            return
        name, raw = f"{symbol.lower()}@{kind}", encode(data)
        for subscriber in list(self.subscribers):
            subscriber.tell(name, raw)

    # What anyone may ask.

    def depth(self, symbol: str, limit: int) -> dict[str, Any]:
        """The book, best levels first."""
        _, pool = self.pool(symbol)
        book = pool.book
        bids = islice(reversed(book.bid_prices), limit)
        asks = islice(book.ask_prices, limit)
        return {
            "lastUpdateId": self._sequence.get(symbol, 0),
            "bids": _shown((price, book.bids[price]) for price in bids),
            "asks": _shown((price, book.asks[price]) for price in asks),
        }

    def ticker(self, symbol: str) -> dict[str, Any]:
        """The best bid and ask."""
        best = self.depth(symbol, 1)
        bid, ask = (best[side][0] if best[side] else ["0", "0"] for side in ("bids", "asks"))
        return {
            "symbol": symbol,
            "bidPrice": bid[0],
            "bidQty": bid[1],
            "askPrice": ask[0],
            "askQty": ask[1],
        }

    def trades(self, symbol: str, limit: int) -> list[dict[str, Any]]:
        """The last trades, oldest first."""
        self.pool(symbol)
        return [
            {
                "id": one["id"],
                "price": one["p"],
                "qty": one["q"],
                "quoteQty": "0.00000000",
                "time": one["time"],
                "isBuyerMaker": one["maker"],
                "isBestMatch": True,
            }
            for one in list(self._trades.get(symbol, ()))[-limit:]
        ]


def _shown(levels: Any) -> list[tuple[str, str]]:
    return [(text(price), text(size)) for price, size in levels]


def _moved(old: dict[int, int], new: tuple[Level, ...]) -> tuple[Level, ...]:
    """What leads from one side of a book to another."""
    sizes = dict(new)
    gone = tuple((price, 0) for price in old if price not in sizes)
    return gone + tuple(level for level in new if old.get(level[0]) != level[1])


class Request(msgspec.Struct):
    """What a client of a stream may say."""

    method: str
    params: list[Any] = []
    id: int | str | None = None


class Subscriber:
    """One connection to the streams: hears SUBSCRIBE and its kin, and is told what it wanted."""

    def __init__(self, market: Market, socket: Socket, names: list[str], *, combined: bool) -> None:
        self._market = market
        self._socket = socket
        self._names = dict.fromkeys(names)
        self._combined = combined
        self._frozen: set[str] = set()
        market.subscribers[self] = None

    def freeze(self, symbol: str) -> None:
        """Tell no more of a book's changes, until they are subscribed to again."""
        self._frozen |= {f"{symbol.lower()}@{kind}" for kind in DEPTHS}

    def tell(self, name: str, data: bytes) -> None:
        """One message of a stream, where it was subscribed to."""
        if name not in self._names or name in self._frozen:
            return
        if self._combined:
            data = b'{"stream":"' + name.encode() + b'","data":' + data + b"}"
        self._socket.send(data)

    def received(self, text: bytes) -> None:
        """A request of the client."""
        try:
            asked = msgspec.json.decode(text, type=Request)
        except msgspec.DecodeError as error:
            self._answer({"code": 3, "msg": f"Invalid JSON: {error}", "id": None})
            return
        names = [name for name in asked.params if isinstance(name, str)]
        match asked.method:
            case "SUBSCRIBE" if len(self._names) + len(names) <= STREAMS:
                self._names.update(dict.fromkeys(names))
                self._frozen.difference_update(names)
                result: Any = None
            case "UNSUBSCRIBE":
                for name in names:
                    self._names.pop(name, None)
                result = None
            case "LIST_SUBSCRIPTIONS":
                result = list(self._names)
            case "SET_PROPERTY" if asked.params[:1] == ["combined"] and len(asked.params) == 2:
                self._combined = bool(asked.params[1])
                result = None
            case "GET_PROPERTY":
                result = self._combined
            case _:
                text_ = f"Invalid request: unknown method {asked.method}"
                self._answer({"code": 2, "msg": text_, "id": asked.id})
                return
        self._answer({"result": result, "id": asked.id})

    def _answer(self, answer: dict[str, Any]) -> None:
        self._socket.send(encode(answer))

    def lost(self, reason: str) -> None:  # noqa: ARG002  the protocol's own name
        """The client has gone."""
        self._market.subscribers.pop(self, None)

    def shuts_down(self) -> None:
        """Say that the connection will end."""
        data = encode({"e": "serverShutdown", "E": self._market.now_ms()})
        if self._combined:
            data = b'{"stream":"!serverShutdown","data":' + data + b"}"
        self._socket.send(data)
