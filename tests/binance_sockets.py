"""The simulated Binance on a port of this machine for tests, and clients that nobody here wrote."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import ccxt
from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_spot import Spot as SpotClient
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from betatrader.model.market import BookSnapshot, InstrumentListed, Quote
from betatrader.model.money import SCALE, parse
from betatrader.net.serving import serving
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.binance import wire
from betatrader.venues.binance.serve.requests import Account
from betatrader.venues.binance.serve.running import KEY, SECRET
from betatrader.venues.binance.serve.server import BinanceServer

COIN = wire.instrument_id("BTCUSDT")
PRIVATE = Ed25519PrivateKey.generate()
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
ACCOUNTS = [
    Account(KEY, SECRET, "us"),
    Account("e" * 64, PUBLIC.decode(), "us"),
    Account("r" * 64, "read only", "us", can_trade=False),
]


class Running:
    """The server on a loop of its own, in a thread; `do` runs something there."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.exchange = SimulatedExchange(1_000_000)
        self.base = ""
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        self.server = BinanceServer(self.exchange, 1000 * SCALE, ACCOUNTS, FaultyLink(Faults(), 1))
        self._play(InstrumentListed(0, wire.definition("BTCUSDT")))
        book = BookSnapshot(
            0,
            COIN,
            ((parse("50000"), SCALE), (parse("49999"), 2 * SCALE)),
            ((parse("50001"), SCALE), (parse("50002"), 2 * SCALE)),
        )
        self._play(book)
        self.quote()
        async with serving(self.server, "127.0.0.1", 0) as port:
            self.base = f"127.0.0.1:{port}"
            delivering = asyncio.ensure_future(self.server.deliver())
            self._ready.set()
            await self._end.wait()
            delivering.cancel()
            self.server.close()

    def _play(self, event: Any) -> None:
        self.server.play(event)

    def play(self, event: Any) -> None:
        self.do(lambda: self._play(event))

    def quote(self) -> None:
        """The best bid and ask once more; on the server's loop."""
        self._play(Quote(0, COIN, parse("50000"), SCALE, parse("50001"), SCALE))

    def do(self, what: Callable[[], Any]) -> Any:
        async def done() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(10)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


def ccxt_client(venue: Running, key: str = KEY, secret: str = SECRET) -> Any:
    base = f"http://{venue.base}"
    return ccxt.binance(
        {
            "apiKey": key,
            "secret": secret,
            "urls": {
                "api": {
                    "public": f"{base}/api/v3",
                    "private": f"{base}/api/v3",
                    "sapi": f"{base}/sapi/v1",
                }
            },
            "options": {
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
            },
            "enableRateLimit": False,
        }
    )


def sdk(venue: Running, key: str = KEY, secret: str = SECRET) -> Any:
    settings = ConfigurationRestAPI(
        api_key=key, api_secret=secret, base_path=f"http://{venue.base}", timeout=3000, retries=0
    )
    return SpotClient(config_rest_api=settings).rest_api


class Line:
    """A WebSocket without a library: what was said, in order."""

    def __init__(self, url: str) -> None:
        import websockets.sync.client

        self._line = websockets.sync.client.connect(url)

    def ask(self, **asked: Any) -> None:
        self._line.send(json.dumps(asked))

    def hear(self) -> Any:
        return json.loads(self._line.recv(timeout=5))

    def close(self) -> None:
        self._line.close()
