"""A network between simulated processes: connections with delays, that break, hang and refuse."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from betatrader.chaos.loop import Process, VirtualLoop, current_process


class Wire(asyncio.Transport):
    """One end of a connection; what is written arrives at the other end in order."""

    def __init__(self, network: "Network", owner: Process | None, protocol: Any) -> None:
        super().__init__()
        self.owner = owner
        self.protocol = protocol
        self.peer: Wire | None = None
        self.closed = False
        self._network = network
        self._last_arrival = 0.0

    def write(self, data: Any) -> None:
        """Send bytes; nothing leaves a process that is dead."""
        network, peer = self._network, self.peer
        if self.closed or peer is None or not network.alive(self.owner):
            return
        arrival = max(network.loop.time() + network.delay_s(), self._last_arrival)
        self._last_arrival = arrival
        network.at(arrival, peer, _receive, peer, bytes(data))

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    def abort(self) -> None:
        """End the connection, at both ends."""
        self.close()

    def close(self) -> None:
        """End the connection, at both ends."""
        if self.closed:
            return
        for end in (self, self.peer):
            if end is not None and not end.closed:
                end.closed = True
                self._network.at(self._network.loop.time(), end, end.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        """Whether it has ended."""
        return self.closed


def _receive(wire: Wire, data: bytes) -> None:
    if not wire.closed:
        wire.protocol.data_received(data)


class Listener:
    """What listens at a port."""

    def __init__(self, network: "Network", factory: Any, owner: Process | None) -> None:
        self.factory = factory
        self.owner = owner
        self._network = network

    def close(self) -> None:
        """Listen no more."""
        self._network.listener = None


class Network:
    """One listener (the venue's), and its connections."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.listener: Listener | None = None
        self.refusing = False
        self.wires: list[Wire] = []
        self.slowest_s = 0.002
        self._chance = random.Random(f"network {seed}")  # noqa: S311  a seed, to be repeated

    def alive(self, owner: Process | None) -> bool:
        """Whether a process may still reach the world."""
        return owner is None or owner.alive

    def delay_s(self) -> float:
        """How long the next bytes take."""
        return self._chance.uniform(0.0002, self.slowest_s)

    def at(self, when: float, end: Wire, call: Callable[..., object], *args: Any) -> None:
        """Do something at one end, as its process: not where that is dead or sleeps."""
        context = end.context  # type: ignore[attr-defined]
        self.loop.call_at(when, call, *args, context=context)

    async def connect(self, factory: Any, _host: Any, _port: Any) -> tuple[Wire, Any]:
        """Connect to what listens."""
        import contextvars

        await asyncio.sleep(self.delay_s())
        listener = self.listener
        if listener is None or self.refusing or not self.alive(listener.owner):
            raise ConnectionRefusedError("nobody listens")
        owner = current_process()
        ours, theirs = factory(), listener.factory()
        here = Wire(self, owner, ours)
        there = Wire(self, listener.owner, theirs)
        here.peer, there.peer = there, here
        here.context = contextvars.copy_context()  # type: ignore[attr-defined]
        there.context = listener.context  # type: ignore[attr-defined]
        self.wires = [wire for wire in self.wires if not wire.closed] + [here, there]
        if owner is not None:
            owner.on_killed.append(here.close)
        theirs.connection_made(there)
        ours.connection_made(here)
        return here, ours

    def listen(self, factory: Any, _host: Any, _port: Any) -> Listener:
        """Listen; the last one wins."""
        import contextvars

        self.listener = Listener(self, factory, current_process())
        self.listener.context = contextvars.copy_context()  # type: ignore[attr-defined]
        return self.listener

    def cut_all(self) -> None:
        """Break every connection."""
        for wire in list(self.wires):
            wire.close()
