"""`POST /control` on the trading role's health port: the operator's orders without Redis.

The body is one order: `{"kind": "halt", "author": "ann", "reason": "news"}`; `kind` is that of an
instruction, and the same `id` is obeyed once, however it came. It always needs the token.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from math import ceil
from typing import Annotated, Any, NamedTuple, Protocol, get_args

import anyio
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from structlog.contextvars import bound_contextvars

from betatrader.engine.closing import beyond_dust
from betatrader.model.errors import UsageError
from betatrader.model.event import OperatorInput
from betatrader.model.instruction import NO_REASON, Flatten, Instruction, lacks_reason
from betatrader.model.secret import Secret
from betatrader.ops import clock, door, metrics
from betatrader.roles.service import Service
from betatrader.roles.trader import Trader
from betatrader.store.bus import Seen

LARGEST = 4096
"""Bytes of a body."""

BODY_S = 5.0
PATH = "/control"

KINDS: dict[str, type[Instruction]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(OperatorInput)
}


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the body says: who orders what, and why."""

    kind: str
    author: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    id: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Refusal(NamedTuple):
    """Why an order is not obeyed: an HTTP status, and one line."""

    status: int
    text: str


class Commanded(Protocol):
    """What obeys: the trading role, once it has its account."""

    trader: Trader
    seen: Seen

    def take_instruction(self, instruction: Any) -> None:
        """Obey; the journal and the audit hold it afterwards."""


class Control:
    """Answers at `/control`. `may_order` says whether a new order may leave this process."""

    def __init__(
        self, token: Secret, may_order: Callable[[], bool], is_stopping: Callable[[], bool]
    ) -> None:
        self.role: Commanded | None = None
        """Whom to command; None while another trader leads."""
        self._token = _digest(token.reveal())
        self._may_order = may_order
        self._is_stopping = is_stopping
        self.attempts = door.Attempts()
        self.on_guesses: Callable[[str], None] = lambda _address: None
        """Told an address from which wrong tokens come in number."""

    async def answer(self, request: Request) -> Response:
        """One order: obeyed at once, or refused in one line."""
        address = request.client.host if request.client is not None else ""
        wait_s = self.attempts.wait_s(address)
        if wait_s > 0:
            text = f"too many wrong tokens from here; ask again in {wait_s:.0f} s, or by Redis"
            return _refused(Refusal(429, text), {"Retry-After": f"{ceil(wait_s)}"})
        if not self._opens(request.headers.get("authorization", "")):
            if self.attempts.wrong(address):
                self.on_guesses(address)
            return _refused(Refusal(401, "the token is missing or wrong"))
        found = await _read(request)
        if isinstance(found, Refusal):
            return _refused(found)
        told = self.obey(found)
        if isinstance(told, Refusal):
            return _refused(told)
        metrics.CONTROL.labels("obeyed").inc()
        return JSONResponse(told)

    def obey(self, order: Order) -> dict[str, Any] | Refusal:
        """What the trader says to an order that has the token."""
        role, kind = self.role, KINDS.get(order.kind)
        if kind is None:
            return Refusal(400, f"no kind is named {order.kind!r}; known: {', '.join(KINDS)}")
        if role is None:
            return Refusal(409, "this trader does not lead: it holds no account yet")
        if self._is_stopping():
            return Refusal(409, "this trader is stopping: it cancels what rests, and ends")
        asked = kind(clock.now_ns(), order.id or secrets.token_hex(8), order.author, order.reason)
        if lacks_reason(asked):
            return Refusal(400, NO_REASON)
        if kind is Flatten and not self._may_order():
            return Refusal(
                409,
                "flatten is refused: the lease may be over, and another trader may lead, so that "
                "no order leaves here; halt and cancel-all still work",
            )
        return self._obey(role, asked)

    def _obey(self, role: Commanded, asked: Instruction) -> dict[str, Any] | Refusal:
        orders = role.trader.engine.state.orders
        before = orders.cancels
        is_new = role.trader.broken is None and role.seen.first_time(asked.id)
        if is_new:
            with bound_contextvars(trace=asked.id, way=PATH):
                role.take_instruction(asked)
        if role.trader.broken is not None:
            return Refusal(503, "the journal is broken: what rests is cancelled, the trader ends")
        state = role.trader.engine.state
        return {
            "acknowledged": True,
            "state": str(state.trading_state),
            "canceled": orders.cancels - before,
            "positions": len(beyond_dust(state)),
            "repeated": not is_new,
        }

    def _opens(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(_digest(token), self._token)


def open_control(service: Service, may_order: Callable[[], bool]) -> Control:
    """Leave a token in the home, and answer from now on; raises UsageError where it cannot."""
    try:
        token = door.leave(service.home, service.port)
    except OSError as error:
        raise UsageError(
            f"{service.home}: the token of /control cannot be kept there: {error.strerror}\n"
            "Free space, or choose another home with BETATRADER_HOME."
        ) from error
    control = Control(token, may_order, service.is_stopping)
    control.on_guesses = lambda address: service.alert(
        "error", f"somebody guesses at the token of /control, from {address or 'nowhere'}"
    )
    service.web.add_route(PATH, control.answer, methods=["POST"])
    return control


def may_obey(service: Service, instruction: Instruction) -> bool:
    """Whether what came through Redis is obeyed; one that is refused is told of to a person."""
    if not lacks_reason(instruction):
        return True
    author = instruction.author
    service.log.warning("instruction_refused", by=author, why=NO_REASON)
    service.alert("error", f"an order of {author or 'nobody'} is not obeyed: {NO_REASON}")
    return False


async def _read(request: Request) -> Order | Refusal:
    data = b""
    try:
        with anyio.fail_after(BODY_S):
            async for part in request.stream():
                data += part
                if len(data) > LARGEST:
                    return Refusal(413, f"the body has more than {LARGEST} bytes")
        return msgspec.json.decode(data, type=Order)
    except (TimeoutError, ClientDisconnect):
        return Refusal(408, "the body did not arrive in time")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Refusal(400, f"the body is no order: {error}")


def _refused(refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    metrics.CONTROL.labels(str(refusal.status)).inc()
    if refusal.status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return PlainTextResponse(refusal.text + "\n", refusal.status, headers)


def _digest(token: str) -> bytes:
    """Of one length, so that comparing them tells nothing, not even how long the token is."""
    return hashlib.sha256(token.encode()).digest()
