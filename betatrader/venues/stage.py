"""What is done to a simulated venue on request: `POST /-/act?do=NAME&…` on its own port.

A page stands before the venue (a gateway's 502, a proxy's challenge, HTML with status 200) for the
next requests; what else can be done, each venue says itself. No real venue has this path.
"""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from betatrader.net.transport import Answer, Core, Handler, Request, Socket

PATH = "/-/act"
Act = Callable[[Mapping[str, str]], None]
"""Does something to the venue, by the parameters of the request; raises ValueError or KeyError."""

TYPE = {"content-type": "text/html; charset=UTF-8"}
PAGES = {
    "gateway": Answer(
        502,
        b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1>"
        b"</center></body></html>",
        TYPE,
    ),
    "challenge": Answer(
        403,
        b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title></head>'
        b"<body>Enable JavaScript and cookies to continue</body></html>",
        {**TYPE, "server": "cloudflare", "cf-mitigated": "challenge"},
    ),
    "page": Answer(
        200,
        b"<!DOCTYPE html><html><head><title>Scheduled maintenance</title></head></html>",
        TYPE,
    ),
}


class Stage:
    """A Core before a Core."""

    def __init__(self, core: Core, acts: Mapping[str, Act]) -> None:
        self._core = core
        self._acts = {**acts, "show": self._show}
        self._shown: Answer | None = None
        self._left = 0
        self._under = ""

    async def answer(self, request: Request) -> Answer | None:
        """A page where one stands there, else the venue's own answer."""
        if (request.method, request.path) == ("POST", PATH):
            return self._act(dict(parse_qsl(request.query)))
        return self._page(request) or await self._core.answer(request)

    def open(self, request: Request, socket: Socket) -> Handler | None:
        """A WebSocket, unless a page stands there."""
        return None if self._page(request) is not None else self._core.open(request, socket)

    def _act(self, given: Mapping[str, str]) -> Answer:
        try:
            self._acts[given["do"]](given)
        except (KeyError, ValueError) as error:
            known = ", ".join(sorted(self._acts))
            return Answer(400, f"{error!r}: do is one of {known}\n".encode())
        return Answer(200, b"done\n")

    def _show(self, given: Mapping[str, str]) -> None:
        """`page` for the next `count` requests whose path begins with `under`."""
        self._shown, self._left = PAGES[given["page"]], int(given.get("count", "1"))
        self._under = given.get("under", "/")

    def _page(self, request: Request) -> Answer | None:
        if self._left <= 0 or not request.path.startswith(self._under):
            return None
        self._left -= 1
        return self._shown
