"""A simulated venue some of whose parts fail: the rest reaches it as before."""

from types import SimpleNamespace
from typing import Any

import pytest

from betatrader.net.transport import HearsControl, Request
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues import parts


class Core:
    """Keeps what reaches it."""

    def __init__(self, **handler: Any) -> None:
        self.heard: list[bytes] = []
        self.handler = SimpleNamespace(received=self.heard.append, lost=print, **handler)

    def open(self, _request: Request, _socket: object) -> Any:
        return self.handler


def opened(core: Core, faults: Faults, said: list[bytes]) -> Any:
    server = parts.of_binance(core, FaultyLink(faults, 1))  # type: ignore[arg-type]
    socket: Any = SimpleNamespace(send=said.append)
    return server.open(Request("GET", "/ws-api/v3", "", {}, b""), socket)


def test_frames_of_control_reach_a_handler_that_hears_them() -> None:
    """Without the pongs it would drop its clients."""
    control: list[bytes] = []
    hears = opened(Core(pinged=control.append, ponged=control.append), Faults(), [])
    assert isinstance(hears, HearsControl)
    hears.pinged(b"1")
    hears.ponged(b"2")
    assert control == [b"1", b"2"]
    assert not isinstance(opened(Core(), Faults(), []), HearsControl)


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"", b'{"method":[1]}', b'{"method":{}}', b'{"method":"ping"}', b"\xff"]
)
def test_what_is_of_no_part_is_the_handlers_to_judge(text: bytes) -> None:
    core, said = Core(), []
    opened(core, Faults(limited_orders=1), said).received(text)  # type: ignore[arg-type]
    assert (core.heard, said) == ([text], [])


def test_a_request_over_the_rate_is_told_so_by_its_id() -> None:
    core = Core()
    said: list[bytes] = []
    opened(core, Faults(limited_orders=1), said).received(b'{"id":"a","method":"order.place"}')
    assert core.heard == []
    assert b'"id":"a","status":429' in said[0]
