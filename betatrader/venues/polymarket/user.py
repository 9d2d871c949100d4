"""The user channel: what the venue says of our orders and trades as it happens."""

from collections.abc import Callable, Iterable

import anyio
import msgspec

from betatrader.net.feed import Feed
from betatrader.net.transport import Socket, Transport
from betatrader.ops import clock
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.account import Accounts, Happening
from betatrader.venues.polymarket.frames import PING, PING_S, SILENT_S, Frames
from betatrader.venues.polymarket.headers import Credentials

FROZEN_S = 10.0
"""How long the channel may say nothing after REST was first to tell of something: it answers each
PING, and is dead nevertheless."""


class UserStream:
    """Reports of one API key. It is ready once the venue has said anything: with credentials that
    it does not take, it hangs up instead."""

    def __init__(
        self,
        transport: Transport,
        url: str,
        accounts: Accounts,
        tell: Callable[[Iterable[Happening]], None],
        turned: Callable[[str], None],
    ) -> None:
        self.keys: Credentials | None = None
        self.is_ready = False
        self.opened_ns = 0
        """Since when it is open; what was before it, it need not tell."""
        self._spoke_s = 0.0
        self._accounts = accounts
        self._tell = tell
        self._turned = turned
        self._frames = Frames("user")
        self._feed = Feed(
            transport, url, self._opened, self.received, self._lost, silent_s=SILENT_S
        )

    @property
    def trouble(self) -> str:
        """Why it is not ready, as far as is known; "" while it is."""
        return "" if self.is_ready else f"reports: {self._feed.trouble or 'nothing heard yet'}"

    async def run(self) -> None:
        """Stay connected until cancelled; the keys are set before."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._ping)
            await self._feed.run()

    async def _ping(self) -> None:
        while True:
            await anyio.sleep(PING_S)
            self._feed.send(PING)

    def look(self) -> None:
        """Break it off where it is frozen."""
        now_s, untold = clock.boot_s(), self._accounts.untold
        for name, since_s in list(untold.items()):
            if since_s < self._spoke_s:  # it lives: one message was lost
                del untold[name]
            elif now_s - since_s > FROZEN_S:
                untold.clear()
                self._feed.break_off(f"it has not told of {name}, and says nothing")
                return

    def _opened(self, socket: Socket) -> None:
        self.opened_ns = clock.now_ns()
        self._accounts.untold.clear()
        keys = self.keys
        assert keys is not None
        auth = {
            "apiKey": keys.key.reveal(),
            "secret": keys.secret.reveal(),
            "passphrase": keys.passphrase.reveal(),
        }
        socket.send(msgspec.json.encode({"type": "user", "auth": auth}))
        socket.send(PING)

    def _lost(self, reason: str) -> None:
        self.is_ready = False
        self._turned(reason)

    def received(self, text: bytes) -> None:
        """One frame."""
        for message in self._frames.split(text):
            try:
                self._message(message)
            except wire.UNREADABLE as error:
                self._frames.odd("malformed", str(error))
        if not self.is_ready:
            self.is_ready = True
            self._turned("")

    def _message(self, text: bytes) -> None:
        now_ns, self._spoke_s = clock.now_ns(), clock.boot_s()
        kind = wire.decode_kind(text).event_type
        if kind == "trade":
            self._tell(self._accounts.trade(now_ns, wire.decode_trade(text)))
        elif kind == "order":
            order = wire.decode_order(text)
            self._tell(self._accounts.order(now_ns, clock.boot_s(), order))
        else:
            self._frames.odd("unknown", kind or "no event_type")
