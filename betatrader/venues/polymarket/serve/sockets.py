"""The market and user channels: who listens to what, and what reaches them."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from betatrader.net.transport import Handler, Socket
from betatrader.ops import clock
from betatrader.sim.faults import FaultyLink
from betatrader.venues.polymarket.serve.agenda import Agenda
from betatrader.venues.polymarket.serve.authentication import ApiKey, Keys

PING, PONG = b"PING", b"PONG"
SECOND = 1_000_000_000


class _Credentials(msgspec.Struct, rename="camel"):
    api_key: str = ""
    secret: str = ""
    passphrase: str = ""


class _Asked(msgspec.Struct):
    """Any message of a client: the first one has a type, those after it an operation."""

    type: str = ""
    operation: str = ""
    assets_ids: list[str] = []
    markets: list[str] = []
    auth: _Credentials | None = None
    custom_feature_enabled: bool | None = None
    initial_dump: bool = True


class Channels:
    """All sockets. `present` gives the books that a new subscriber is shown first."""

    def __init__(self, keys: Keys, agenda: Agenda, faults: FaultyLink) -> None:
        self.present: Callable[[Iterable[str]], list[dict[str, object]]] = lambda _: []
        self.silent_market = False
        """The market channel is open and answers PONG, but says nothing more."""
        self.silent_user = False
        self.keys = keys
        self.market_sessions: dict[MarketSession, None] = {}  # in the order in which they came
        self.user_sessions: dict[UserSession, None] = {}
        self._agenda = agenda
        self._faults = faults

    def open_market(self, socket: Socket) -> Handler:
        """A client's socket on the market channel."""
        session = MarketSession(self, socket)
        self.market_sessions[session] = None
        return session

    def open_user(self, socket: Socket) -> Handler:
        """A client's socket on the user channel."""
        session = UserSession(self, socket)
        self.user_sessions[session] = None
        return session

    def cut(self) -> None:
        """Close all sockets."""
        for socket in [
            *(session.socket for session in self.market_sessions),
            *(session.socket for session in self.user_sessions),
        ]:
            socket.close()

    def listened(self, token: str) -> bool:
        """Whether anyone listens to a token."""
        return any(token in session.tokens for session in self.market_sessions)

    def tell_market(
        self, tokens: Iterable[str], message: Mapping[str, object], *, custom: bool = False
    ) -> None:
        """Tell all who listen to any of the tokens; of `custom` news, those who asked for it."""
        if self.silent_market:
            return
        wanted, data = set(tokens), b""
        for session in list(self.market_sessions):
            if wanted & session.tokens and (session.custom or not custom):
                data = data or msgspec.json.encode(message)
                session.socket.send(data)

    def announce(self, message: Mapping[str, object]) -> None:
        """Tell all who asked for custom news, whatever they listen to."""
        for session in [] if self.silent_market else list(self.market_sessions):
            if session.custom:
                session.socket.send(msgspec.json.encode(message))

    def tell_user(self, account: str, market: str, message: Mapping[str, object]) -> None:
        """Tell an account, as faithfully as the faults let it."""
        if self.silent_user:
            return
        data = msgspec.json.encode(message)
        for session in list(self.user_sessions):
            if session.account == account and (not session.markets or market in session.markets):
                for delay_s in self._faults.deliveries():
                    self._send(session, data, round(delay_s * SECOND))

    def _send(self, session: "UserSession", data: bytes, delay_ns: int) -> None:
        if delay_ns:
            self._agenda.at(clock.now_ns() + delay_ns, lambda: session.socket.send(data))
        else:
            session.socket.send(data)


class MarketSession:
    """One client on the market channel."""

    def __init__(self, channels: Channels, socket: Socket) -> None:
        self.socket = socket
        self.tokens: set[str] = set()
        self.custom = False
        self._channels = channels

    def received(self, text: bytes) -> None:
        """PING, the first subscription, or a change of it."""
        if text.strip() == PING:
            self.socket.send(PONG)
            return
        asked = _read(text)
        if asked is None:
            self.socket.send(b"INVALID OPERATION")
            return
        if asked.custom_feature_enabled is not None:
            self.custom = asked.custom_feature_enabled
        if asked.operation == "unsubscribe":
            self.tokens.difference_update(asked.assets_ids)
            return
        new = [token for token in dict.fromkeys(asked.assets_ids) if token not in self.tokens]
        self.tokens.update(new)
        if asked.initial_dump and not self._channels.silent_market:
            books = self._channels.present(new)
            if books:
                self.socket.send(msgspec.json.encode(books))

    def lost(self, reason: str) -> None:  # noqa: ARG002  a client needs no reason to go
        """The client has gone."""
        self._channels.market_sessions.pop(self, None)


class UserSession:
    """One client on the user channel; nobody until it has said who it is."""

    def __init__(self, channels: Channels, socket: Socket) -> None:
        self.socket = socket
        self.account = ""
        self.markets: set[str] = set()
        self._channels = channels

    def received(self, text: bytes) -> None:
        """PING, the first message with the key, or a change of markets."""
        if text.strip() == PING:
            self.socket.send(PONG)
            return
        asked = _read(text)
        if asked is None:
            self.socket.close()
            return
        if asked.operation == "unsubscribe":
            self.markets.difference_update(asked.markets)
            return
        if not self.account:
            key = self._key(asked.auth)
            if key is None:
                self.socket.close()
                return
            self.account = key.address
        self.markets.update(asked.markets)

    def _key(self, auth: _Credentials | None) -> ApiKey | None:
        if auth is None:
            return None
        return self._channels.keys.named(auth.api_key, auth.secret, auth.passphrase)

    def lost(self, reason: str) -> None:  # noqa: ARG002  a client needs no reason to go
        """The client has gone."""
        self._channels.user_sessions.pop(self, None)


def _read(text: bytes) -> _Asked | None:
    try:
        return msgspec.json.decode(text, type=_Asked)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
