"""One connection to the WebSocket API: requests in, answers and reports on an account out.

Source: Binance's web-socket-api.md and user-data-stream.md.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from betatrader.net.transport import Socket
from betatrader.venues.binance.serve.requests import Account, Parameters, Refusal

if TYPE_CHECKING:
    from betatrader.venues.binance.serve.server import BinanceServer

encode = msgspec.json.encode


class Asked(msgspec.Struct):
    """A request as it comes."""

    id: int | str | None = None
    method: str = ""
    params: dict[str, Any] = {}


NOBODY = Account("", "", "")


class ApiSession:
    """Hears a client's requests, each answered by its id."""

    def __init__(self, server: "BinanceServer", socket: Socket) -> None:
        self.subscribed: Account | None = None
        """Whose reports it gets."""
        self._server = server
        self._socket = socket
        self._account: Account | None = None
        self._since_ms = 0
        self._subscriptions = 0
        self._connected_ms = server.now_ms()
        server.sessions[self] = None

    def received(self, text: bytes) -> None:
        """One request."""
        try:
            asked = msgspec.json.decode(text, type=Asked)
        except msgspec.DecodeError as error:
            refusal = Refusal(400, -1135, f"Invalid JSON: {error}")
            self.send(self._failed(None, refusal))
            return
        self._server.start(self._take(asked))

    async def _take(self, asked: Asked) -> None:
        method = asked.method.removeprefix("v3/")
        server, loses = self._server, False
        try:
            account, parameters = self._signed(method, asked.params)
            if method.startswith(("session.", "userDataStream.")):
                server.weights.weigh(2)
                result = self._own(method, account, parameters)
            else:
                loses = method.startswith("order.")
                result = await server.done(method, account, parameters)
        except Refusal as refusal:
            answer = self._failed(asked.id, refusal)
        else:
            answer = {"id": asked.id, "status": 200, "result": result}
        owner = self._account.owner if self._account is not None else ""
        if asked.params.get("returnRateLimits") is not False:
            answer["rateLimits"] = server.weights.stated(owner, counts=True)
        if loses:
            server.send_faultily(self._socket, encode(answer))
        else:
            self.send(answer)

    def _failed(self, number: Any, refusal: Refusal) -> dict[str, Any]:
        return {"id": number, "status": refusal.status, "error": refusal.body()}

    def _signed(self, method: str, params: dict[str, Any]) -> tuple[Account, Parameters]:
        """The account of a request: of its own signature, else of the session."""
        server = self._server
        operation = server.operations.by_name.get(method)
        needs = operation.signed if operation is not None else method.startswith("userData")
        plain = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in params.items()
        }
        if "signature" in params or (needs and self._account is None):
            if method == "userDataStream.subscribe":
                raise Refusal(400, -2015, "Session is not authenticated.")
            return server.keys.of_api(params)
        if needs and self._account is not None:
            self._account = server.keys.now(self._account)
            if self._account is None:
                raise Refusal(401, -2015, "Invalid API-key, IP, or permissions for action.")
            if method != "userDataStream.subscribe":
                server.keys.check_time(plain)
            return self._account, plain
        return self._account or NOBODY, plain

    def _own(self, method: str, account: Account, parameters: Parameters) -> Any:
        """What concerns this session alone."""
        match method:
            case "session.logon":
                if not account.logs_on:
                    raise Refusal(400, -4056, "HMAC_SHA256 API key is not supported.")
                self._account, self._since_ms = account, self._server.now_ms()
                return self._status()
            case "session.status":
                return self._status()
            case "session.logout":
                self._account = None
                return self._status()
            case "session.subscriptions":
                known = self.subscribed is not None
                return [{"subscriptionId": self._subscriptions - 1}] if known else []
            case "userDataStream.subscribe" | "userDataStream.subscribe.signature":
                if self.subscribed is not None:
                    text = "User Data Stream subscription already active."
                    raise Refusal(400, -2035, text)
                self.subscribed = account
                self._subscriptions += 1
                return {"subscriptionId": self._subscriptions - 1}
            case "userDataStream.unsubscribe":
                self._unsubscribe(parameters.get("subscriptionId", ""))
                return {}
        raise Refusal(400, -1104, f"Unknown method {method} ({len(parameters)} parameters).")

    def _unsubscribe(self, number: str) -> None:
        """End the reports, and say so in the stream."""
        if number not in ("", str(self._subscriptions - 1)) or self.subscribed is None:
            return
        self.tell({"e": "eventStreamTerminated", "E": self._server.now_ms()})
        self.subscribed = None

    def forget(self) -> None:
        """The reports of this session end, and nothing says so."""
        self.subscribed = None

    def _status(self) -> dict[str, Any]:
        account = self._account
        return {
            "apiKey": account.key if account is not None else None,
            "authorizedSince": self._since_ms if account is not None else None,
            "connectedSince": self._connected_ms,
            "returnRateLimits": True,
            "serverTime": self._server.now_ms(),
            "userDataStream": self.subscribed is not None,
        }

    def revoked(self) -> None:
        """The key has ended: a session that uses it is told, unasked, and hears no more."""
        if self.subscribed is not None or self._account is not None:
            self.subscribed = self._account = None
            text = "Invalid API-key, IP, or permissions for action."
            self.send(self._failed(None, Refusal(401, -2015, text)))

    def tell(self, event: dict[str, Any]) -> None:
        """An event of the account, as faithfully as the faults let it."""
        framed = {"subscriptionId": max(0, self._subscriptions - 1), "event": event}
        self._server.send_faultily(self._socket, encode(framed))

    def send(self, answer: dict[str, Any]) -> None:
        """One message."""
        self._socket.send(encode(answer))

    def lost(self, reason: str) -> None:  # noqa: ARG002  the protocol's own name
        """The client has gone."""
        self._server.sessions.pop(self, None)

    def shuts_down(self) -> None:
        """Say that the connection will end."""
        self.send({"event": {"e": "serverShutdown", "E": self._server.now_ms()}})
