"""A venue's server some of whose parts fail alone: its orders, its cancels, or its questions.

It stands before the handlers of that venue's simulator, and hears both ways to it: HTTP, and the
requests that come over a WebSocket.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from betatrader.net.transport import Answer, Core, Handler, HearsControl, Request, Socket
from betatrader.ops import clock
from betatrader.sim.faults import CANCELS, LIMITED, ORDERS, QUERIES, SILENT, FaultyLink

NEVER_S = 60.0
"""Longer than any client waits for an answer; its connection is cut then."""

REST_S = 1
"""For how long a venue asks to be left alone that is asked too often."""

Parts = Mapping[str, str]
BINANCE: Parts = {
    "order.place": ORDERS,
    "order.cancelReplace": ORDERS,
    "order.cancel": CANCELS,
    "openOrders.cancelAll": CANCELS,
    "POST /api/v3/order": ORDERS,
    "POST /api/v3/order/cancelReplace": ORDERS,
    "DELETE /api/v3/order": CANCELS,
    "DELETE /api/v3/openOrders": CANCELS,
    "GET /api/v3/account": QUERIES,
    "GET /api/v3/openOrders": QUERIES,
    "GET /api/v3/order": QUERIES,
    "GET /api/v3/allOrders": QUERIES,
    "GET /api/v3/myTrades": QUERIES,
}
"""Which part of a venue each request goes to, by method and path, or by its WebSocket's method."""

POLYMARKET: Parts = {
    "POST /order": ORDERS,
    "POST /orders": ORDERS,
    "DELETE /order": CANCELS,
    "DELETE /orders": CANCELS,
    "DELETE /cancel-all": CANCELS,
    "DELETE /cancel-market-orders": CANCELS,
    "GET /data/orders": QUERIES,
    "GET /data/order": QUERIES,
    "GET /data/trades": QUERIES,
    "GET /balance-allowance": QUERIES,
    "GET /v2/positions": QUERIES,
}


class PartlyDown:
    """A core that leaves requests to some of its parts undone. It says so as the venue does, in
    `limited` and `down`: bodies of HTTP 429 and 503."""

    def __init__(self, core: Core, link: FaultyLink, parts: Parts, limited: Any, down: Any) -> None:
        self.link = link
        self.parts = parts
        self._core = core
        self._bodies = {LIMITED: (429, limited)}
        self._down = 503, down

    def says(self, trouble: str) -> tuple[int, Any]:
        """Status and body of the answer."""
        return self._bodies.get(trouble, self._down)

    async def answer(self, request: Request) -> Answer | None:
        """A request over HTTP."""
        name = f"{request.method} {request.path}"
        part = self.parts.get(name) or self.parts.get(name.rpartition("/")[0])
        trouble = self.link.meets(part) if part else ""
        if not trouble:
            return await self._core.answer(request)
        if trouble == SILENT:
            await asyncio.sleep(NEVER_S)
            return None
        status, body = self.says(trouble)
        return Answer(status, msgspec.json.encode(body), {"retry-after": str(REST_S)})

    def open(self, request: Request, socket: Socket) -> Handler | None:
        """A connection."""
        handler = self._core.open(request, socket)
        return _Listener(self, handler, socket) if handler is not None else None


def of_binance(core: Core, link: FaultyLink) -> PartlyDown:
    """The simulated Binance, some of whose parts fail as the link's faults say."""
    limited, down = (
        {"code": code, "msg": text}
        for code, text in ((-1003, "Too many requests."), (-1001, "Internal error."))
    )
    return PartlyDown(core, link, BINANCE, limited, down)


def of_polymarket(core: Core, link: FaultyLink) -> PartlyDown:
    """The simulated Polymarket, the same."""
    limited, down = {"error": "Too many requests"}, {"error": "Service unavailable"}
    return PartlyDown(core, link, POLYMARKET, limited, down)


class _Asked(msgspec.Struct):
    method: str = ""
    id: Any = None


def _asked(text: bytes) -> _Asked:
    """A request, or none: the handler tells what is wrong with it."""
    try:
        return msgspec.json.decode(text, type=_Asked)
    except msgspec.DecodeError:
        return _Asked()


class _Listener:
    """Hears a WebSocket before its handler does."""

    def __init__(self, server: PartlyDown, handler: Handler, socket: Socket) -> None:
        self._server = server
        self._socket = socket
        self._received = handler.received
        self.lost = handler.lost
        if isinstance(handler, HearsControl):
            self.pinged, self.ponged = handler.pinged, handler.ponged

    def received(self, text: bytes) -> None:
        """One message: to the handler, unless its part is down."""
        server = self._server
        if not server.link.fails:  # read twice only where it matters
            self._received(text)
            return
        asked = _asked(text)
        part = server.parts.get(asked.method)
        trouble = server.link.meets(part) if part else ""
        if not trouble:
            self._received(text)
        elif trouble != SILENT:
            status, body = server.says(trouble)
            body = {**body, "data": {"retryAfter": clock.now_ns() // 1_000_000 + 1_000 * REST_S}}
            answer = {"id": asked.id, "status": status, "error": body}
            self._socket.send(msgspec.json.encode(answer))
