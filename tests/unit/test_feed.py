"""A feed stays connected: it opens again what breaks, and breaks off what falls silent."""

import anyio
import pytest

from betatrader.net.feed import Feed
from betatrader.net.transport import Answer, Handler, Socket
from betatrader.ops import clock, metrics


class Wire:
    """One connection that a test holds the other end of."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, text: bytes) -> None:
        self.sent.append(text)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.handler.lost("closed")


class Wires:
    """Connections in the order in which they were made; the first `refused` are refused."""

    def __init__(self, refused: int = 0) -> None:
        self.made: list[Wire] = []
        self.tries = 0
        self._refused = refused

    async def request(self, *_: object, **__: object) -> Answer:
        raise NotImplementedError

    async def connect(self, _url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        self.tries += 1
        if self.tries <= self._refused:
            raise ConnectionRefusedError("nobody")
        self.made.append(Wire(handler))
        return self.made[-1]

    async def aclose(self) -> None:
        return None


class Heard:
    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.opened = 0
        self.reasons: list[str] = []

    def open(self, socket: Socket) -> None:
        self.opened += 1
        socket.send(b"hello")


@pytest.fixture
def heard() -> Heard:
    return Heard()


def feed(wires: Wires, heard: Heard, silent_s: float = 60.0) -> Feed:
    return Feed(
        wires, "ws://x", heard.open, heard.texts.append, heard.reasons.append, silent_s=silent_s
    )


async def until(look) -> None:  # type: ignore[no-untyped-def]
    with anyio.fail_after(5):
        while not look():
            await anyio.sleep(0.005)


async def test_what_breaks_is_opened_again_and_greeted_anew(heard: Heard) -> None:
    wires = Wires()
    made = feed(wires, heard)
    counted = metrics.SOCKETS_LOST.labels("x")._value.get()
    async with anyio.create_task_group() as group:
        group.start_soon(made.run)
        await until(lambda: heard.opened == 1)
        wires.made[0].handler.received(b"one")
        wires.made[0].handler.lost("cut")
        await until(lambda: heard.opened == 2)
        assert heard.reasons == ["cut"]
        assert made.connected
        made.send(b"more")
        group.cancel_scope.cancel()
    assert heard.texts == [b"one"]
    assert metrics.SOCKETS_LOST.labels("x")._value.get() == counted + 1
    assert wires.made[1].sent == [b"hello", b"more"]
    assert wires.made[1].closed


async def test_what_refuses_is_tried_again(heard: Heard) -> None:
    wires = Wires(refused=2)
    async with anyio.create_task_group() as group:
        group.start_soon(feed(wires, heard).run)
        await until(lambda: heard.opened == 1)
        group.cancel_scope.cancel()
    assert wires.tries == 3
    assert len(heard.reasons) == 1, "what never stood was not lost"


async def test_t13_a_socket_that_is_open_and_silent_is_a_dead_one(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    wires, passed = Wires(), [0.0]
    monkeypatch.setattr(clock, "boot_s", lambda: passed[0])
    async with anyio.create_task_group() as group:
        group.start_soon(feed(wires, heard, silent_s=10.0).run)
        await until(lambda: heard.opened == 1)
        passed[0] = 11.0
        await until(lambda: heard.opened == 2)
        group.cancel_scope.cancel()
    assert heard.reasons[0] == "silent for 10 s"
