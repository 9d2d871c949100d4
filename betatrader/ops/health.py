"""The health endpoint of a role: /livez, /readyz and /metrics.

/livez is 200 while the event loop runs. /readyz is 200 from the moment a role is ready until it
drains; a warmed standby is ready too, since a deploy that waits for leadership would never end.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from betatrader.model.errors import BetatraderError


class _Server(uvicorn.Server):
    """Signals are the role's business, not the server's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PortInUse(BetatraderError):  # noqa: N818  the name says what happened
    """The health port is taken; exit status 1."""


def bind(port: int, *, everywhere: bool) -> list[socket.socket]:
    """Sockets of one port, on loopback or on all addresses, IPv4 and IPv6 alike; 0 chooses one.

    Raises PortInUse.
    """
    hosts = [(socket.AF_INET, "0.0.0.0" if everywhere else "127.0.0.1")]  # noqa: S104  as asked
    if socket.has_ipv6:
        hosts.append((socket.AF_INET6, "::" if everywhere else "::1"))
    bound: list[socket.socket] = []
    for family, host in hosts:
        link = socket.socket(family, socket.SOCK_STREAM)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            link.bind((host, port))
            link.listen(16)
        except OSError as error:
            link.close()
            if bound and family == socket.AF_INET6:
                continue  # a machine without IPv6, or a neighbour on this port there
            raise PortInUse(
                f"port {port} on {host}: {error.strerror}\n"
                "Stop what listens there, or set [health] port (0 chooses a free one)."
            ) from error
        port = port or link.getsockname()[1]
        bound.append(link)
    return bound


def application(ready: Callable[[], str], facts: Callable[[], dict[str, Any]] = dict) -> Starlette:
    """What answers; a role may add routes. `ready` says why it is not ready, "" where it is; what
    `facts` holds stands beside it."""

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_request: Request) -> Response:
        reason = ready()
        return JSONResponse(
            {"ready": not reason, "reason": reason, **facts()}, 503 if reason else 200
        )

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    )


async def serve(sockets: list[socket.socket], answering: Starlette) -> None:
    """Answer until cancelled."""
    server = _Server(
        uvicorn.Config(
            answering,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    try:
        await server.serve(sockets)
    finally:
        for link in sockets:
            with contextlib.suppress(OSError):
                link.close()
