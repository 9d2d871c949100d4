"""What a user of ccxt does at Binance: its WebSocket client's decoding and books, its orders."""

import time
from typing import Any

import msgspec

from betatrader.bench.result import quantile
from betatrader.venues.binance.serve.running import KEY, SECRET

SYMBOL = "BTC/USDT"
TICK = 0.01
AMOUNT = 0.0002


class Ccxt:
    """A client of ccxt that is told what it would hear. To be made in a running loop; raises
    ImportError where ccxt is not installed (the `dev` extra)."""

    name = "ccxt"

    def __init__(self, exchange_info: bytes, book: bytes) -> None:
        import ccxt.pro
        from ccxt.async_support.base.ws.client import Client

        self._client: Any = ccxt.pro.binance({"apiKey": KEY, "secret": SECRET})
        client = self._client
        client.options["crossMarginPairsData"] = client.options["isolatedMarginPairsData"] = []
        symbols = msgspec.json.decode(exchange_info)["symbols"]
        client.set_markets([client.parse_market(one) for one in symbols])
        self._best: tuple[float, float] = (0.0, 0.0)

        def resolve(_line: object, result: Any, subject: str) -> None:
            """What whoever watches is told."""
            if subject.startswith("orderbook"):
                found = result.limit()
                self._best = found["bids"][0][0], found["asks"][0][0]
            elif subject.startswith("bidask:"):
                self._best = result["bid"], result["ask"]

        line = type("Line", (Client,), {"resolve": resolve})
        address = "wss://stream.binance.com:9443/stream"
        self._line: Any = line(address, client.handle_message, None, None, None, {})
        first = msgspec.json.decode(book)
        snapshot = client.parse_order_book(first, SYMBOL)
        snapshot["nonce"] = first["lastUpdateId"]
        client.orderbooks[SYMBOL] = client.order_book({}, 1_000)
        client.orderbooks[SYMBOL].reset(snapshot)

    def hear(self, message: bytes) -> None:
        """As its socket does."""
        self._line.handle_text_or_binary_message(message.decode())

    def order(self) -> bytes:
        """A bid one tick under the middle that rests or is refused."""
        bid, ask = self._best
        client, more = self._client, {"postOnly": True}
        price = (bid + ask) / 2 - TICK
        request = client.create_order_request(SYMBOL, "limit", "buy", AMOUNT, price, more)
        body: str = client.sign("order", ["private"], "POST", request)["body"]
        return body.encode()


def signed(count: int) -> float | None:
    """Microseconds, at the median, of its `sign` alone; None where ccxt is not installed."""
    try:
        import ccxt
    except ImportError:
        return None
    client: Any = ccxt.binance({"apiKey": KEY, "secret": SECRET})
    spans = []
    for number in range(count):
        began = time.perf_counter_ns()
        client.sign(
            "order",
            ["private"],
            "POST",
            {
                "symbol": "BTCUSDT",
                "side": "BUY",
                "newClientOrderId": f"{number:032x}",
                "newOrderRespType": "RESULT",
                "type": "LIMIT",
                "quantity": "0.0002",
                "price": "58000",
                "timeInForce": "GTC",
            },
        )
        spans.append(time.perf_counter_ns() - began)
    return quantile(sorted(spans), 0.5) / 1e3
