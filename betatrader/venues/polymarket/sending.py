"""Orders and cancels on their way to the venue: each sent once, and its answer as events.

A cancel is a task of its own. Orders are taken by tasks that wait for them: to wake one takes a
tenth of the time that it takes to start one. They leave in the order in which they were given; a
cancel waits for the answer to its own order, and for no other. An answer that is none leaves the
order in doubt.
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

import anyio
import structlog
from anyio.abc import TaskGroup

from betatrader.model.account import (
    CancelRejected,
    OrderCanceled,
    OrderEvent,
    OrderInDoubt,
    OrderRejected,
)
from betatrader.model.ids import ClientOrderId
from betatrader.model.order import OrderState
from betatrader.net.transport import NotSentError
from betatrader.ops import clock
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.account import Accounts, Happening
from betatrader.venues.polymarket.forms import VENUE, Form
from betatrader.venues.polymarket.headers import Credentials
from betatrader.venues.polymarket.ids import Ids
from betatrader.venues.polymarket.rest import BATCH, ORDER_S, RefusalError, Rest, leaves_open

AT_ONCE = 32
"""Requests of orders under way together, and of cancels apart from them."""

MOST_WAITING = 1_000
"""Requests of orders that wait for their turn; what comes then is refused."""

QUEUE_S = 2.0
"""An order that has waited so long for its turn is not sent any more."""

BUSY = "not sent: too many requests under way"
FENCED = "not sent: the lease ended while it waited for its turn"

SETTLE_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""When what became of an order that takes at once is asked for, until it is known."""

STOPPED = "not sent: the venue is not connected to"
GONE = ("can't be found", "already canceled", "not found")
"""A cancel that was refused so says that the order has ended, and not how."""

SILENCE = "the venue does not say why"
CANCELS = 100
"""In one request: the venue takes more, and the bucket of its limits does not."""

TAKEN = ("live", "matched", "delayed", "unmatched")


class Sent(NamedTuple):
    """An order that is ready to leave."""

    order: ClientOrderId
    their_id: str
    body: str
    kind: str
    made_s: float


def body_of(order_json: str, keys: Credentials, form: Form) -> str:
    """The body that one signed order is sent with."""
    return (
        f'{{"order":{order_json},"owner":"{keys.key.reveal()}",'
        f'"orderType":"{form.kind}","deferExec":false,'
        f'"postOnly":{"true" if form.post_only else "false"}}}'
    )


class Sending:
    """Sends for one API key between `open` and `close`. `refused` hears the venue's words,
    `failed` of each answer that was none."""

    def __init__(
        self, rest: Rest, ids: Ids, accounts: Accounts, tell: Callable[[Iterable[Happening]], None]
    ) -> None:
        self.group: TaskGroup | None = None
        self.refused: Callable[[RefusalError], None] = lambda _error: None
        self.failed: Callable[[str], None] = lambda _reason: None
        self.may: Callable[[], bool] = lambda: True
        """Whether the lease holds: asked again where an order has waited."""
        self._rest = rest
        self._ids = ids
        self._accounts = accounts
        self._tell = tell
        self._waiting: deque[list[Sent]] = deque()
        """Requests that nobody sends yet."""
        self._idle: list[anyio.Event] = []
        """Of tasks that wait for one."""
        self._senders = 0
        self._cancels = anyio.Semaphore(AT_ONCE, fast_acquire=True)
        self._unanswered: dict[ClientOrderId, anyio.Event | None] = {}
        """With what tells a cancel that waits for the answer, where there is one."""
        self._log = structlog.get_logger()

    @property
    def busy(self) -> bool:
        """Whether an order was given and has no answer yet."""
        return bool(self._unanswered)

    def open(self, group: TaskGroup) -> None:
        """Send, by tasks of this group: those of an earlier one have ended."""
        self.group, self._senders = group, 0
        self._idle.clear()

    def close(self) -> None:
        """Send no more; what still waits for its turn never left."""
        self.group = None
        while self._waiting:
            batch = self._waiting.popleft()
            self._end({one.order: one for one in batch}, OrderRejected, STOPPED)

    def place(self, sent: list[Sent]) -> None:
        """Send orders: one by itself, several in one request."""
        reason = STOPPED if self.group is None else BUSY
        if self.group is None or len(self._waiting) >= MOST_WAITING:
            self._tell([OrderRejected(clock.now_ns(), one.order, reason) for one in sent])
            return
        for one in sent:
            self._unanswered[one.order] = None
        for first in range(0, len(sent), BATCH):
            self._waiting.append(sent[first : first + BATCH])
            if self._idle:
                self._idle.pop().set()
            elif self._senders < AT_ONCE:
                self._senders += 1
                self.group.start_soon(self._send)

    def cancel(self, order: ClientOrderId) -> None:
        """Send a cancel; the caller has seen that the order can be named."""
        if self.group is None:
            self._tell([CancelRejected(clock.now_ns(), order, STOPPED)])
            return
        self.group.start_soon(self._cancel, order)

    def cancel_many(self, orders: list[ClientOrderId]) -> None:
        """Send several cancels in one request; those whose own order has no answer yet wait for it,
        each by itself."""
        ready = [one for one in orders if self.group is not None and one not in self._unanswered]
        for order in orders:
            if order not in ready:
                self.cancel(order)
        for first in range(0, len(ready), CANCELS):
            if self.group is not None:
                self.group.start_soon(self._cancel_many, ready[first : first + CANCELS])

    def cancel_all(self) -> bool:
        """Take everything of this API key off the book; False where that cannot be sent."""
        if self.group is None:
            return False
        self.group.start_soon(self._cancel_all)
        return True

    # Orders.

    async def _send(self) -> None:
        """Send what waits, one request after the other, for as long as the group lives."""
        while True:
            while not self._waiting:
                woken = anyio.Event()
                self._idle.append(woken)
                await woken.wait()
            await self._place(self._waiting.popleft())

    async def _place(self, sent: list[Sent]) -> None:
        waiting = {one.order: one for one in sent}
        if clock.boot_s() - sent[0].made_s > QUEUE_S:
            self._end(waiting, OrderRejected, BUSY)
            return
        if not self.may():
            self._end(waiting, OrderRejected, FENCED)
            return
        try:
            await self._post(sent, waiting)
        finally:  # cancelled: what has left may have arrived
            self._end(waiting, OrderInDoubt, "stopped before its answer came")

    async def _post(self, sent: list[Sent], waiting: dict[ClientOrderId, Sent]) -> None:
        try:
            if len(sent) == 1:
                answers = [(sent[0], await self._rest.place(sent[0].body))]
            else:
                answers = _matched(sent, await self._rest.place_many([one.body for one in sent]))
        except NotSentError as error:
            text = f"not sent: {str(error).removeprefix('not sent: ')}"
            self._end(waiting, OrderRejected, text)
        except RefusalError as error:
            self.refused(error)
            self._end(waiting, _end_by(error.text), error.text)
        except (OSError, TimeoutError) as error:
            reason = str(error) or f"no answer in {ORDER_S:.0f} s"
            self.failed(reason)
            self._end(waiting, OrderInDoubt, reason)
        else:
            for one, answer in answers:
                self._answered(one, answer, waiting)
            self._end(waiting, OrderInDoubt, "the venue's answer does not name it")

    def _answered(
        self, sent: Sent, answer: wire.Placed, waiting: dict[ClientOrderId, Sent]
    ) -> None:
        """One order's answer: good where it succeeded, without an error, by the id we know."""
        one = {sent.order: waiting.pop(sent.order)}
        if answer.error_msg or not answer.success:
            text = answer.error_msg or "refused without a reason"
            self.refused(RefusalError(200, text))
            self._end(one, _end_by(text), text)
            return
        if (answer.order_id or "").lower() != sent.their_id or answer.status not in TAKEN:
            text = f"an answer of status {answer.status!r} for order {answer.order_id!r}"
            self._log.error("strange_answer", venue=VENUE, order=sent.order, text=text)
            self._end(one, OrderInDoubt, text)
            return
        self._release(sent.order)
        self._tell(self._accounts.accepted(clock.now_ns(), sent.order))
        if sent.kind != "GTC" and self.group is not None:
            self.group.start_soon(self._settle, sent)

    def _end(
        self,
        waiting: dict[ClientOrderId, Sent],
        kind: type[OrderRejected] | type[OrderInDoubt],
        reason: str,
    ) -> None:
        now_ns = clock.now_ns()
        for order in list(waiting):
            del waiting[order]
            self._release(order)
            self._tell([kind(now_ns, order, reason)])

    def _release(self, order: ClientOrderId) -> None:
        event = self._unanswered.pop(order, None)
        if event is not None:
            event.set()

    async def _settle(self, sent: Sent) -> None:
        """What takes at once has ended with its answer, and the answer does not say with how much:
        ask, where the channel has not told it meanwhile."""
        for pause_s in SETTLE_S:
            await anyio.sleep(pause_s)
            if self._accounts.has_ended(sent.order):
                return
            try:
                found = await self._rest.order(sent.their_id)
                if found is None:
                    continue
                self._tell(self._accounts.settled(clock.now_ns(), clock.boot_s(), found))
                if self._accounts.known(found).state is not OrderState.ACCEPTED:
                    return
            except (OSError, TimeoutError, ValueError) as error:
                self._log.warning("not_settled", venue=VENUE, order=sent.order, error=str(error))

    # Cancels.

    async def _cancel(self, order: ClientOrderId) -> None:
        if order in self._unanswered:
            answered = self._unanswered[order] = self._unanswered[order] or anyio.Event()
            await answered.wait()
        if not self._rest.limits.take("cancel"):
            await anyio.sleep(min(QUEUE_S, self._rest.limits.ready_in_s("cancel")))
            if not self._rest.limits.take("cancel"):
                text = "not sent: it would go over the venue's rate limit"
                self._tell([CancelRejected(clock.now_ns(), order, text)])
                return
        event: OrderEvent | None = None
        gone = ""
        async with self._cancels:
            for their_id in self._ids.theirs(order):
                event = await self._withdraw(order, their_id)
                if isinstance(event, OrderCanceled):
                    gone = their_id
                if not isinstance(event, OrderInDoubt):
                    break
        if gone:  # a question, which holds no other cancel up
            await self._withdrawn(order, gone)
        elif event is not None:
            self._tell([event])

    async def _cancel_many(self, orders: list[ClientOrderId]) -> None:
        theirs = {order: self._ids.theirs(order) for order in orders}
        every = [their_id for ids in theirs.values() for their_id in ids]
        limits = self._rest.limits
        if not (limits.take("cancel-many") and limits.take("cancel", len(every))):
            for order in orders:  # one by one they wait for their turn
                self.cancel(order)
            return
        try:
            async with self._cancels:
                answer = await self._rest.cancel_many(every)
        except (OSError, TimeoutError) as error:
            self._cancel_failed(error)
            self._tell([_not_withdrawn(order, error) for order in orders])
            return
        gone = {one.lower() for one in answer.canceled or []}
        reasons = {key.lower(): text for key, text in (answer.not_canceled or {}).items()}
        for order, ids in theirs.items():
            found = next((one for one in ids if one in gone), "")
            if found:
                await self._withdrawn(order, found)
            else:
                told = next((reasons[one] for one in ids if one in reasons), SILENCE)
                self._tell([_not_canceled(order, told)])

    async def _withdrawn(self, order: ClientOrderId, their_id: str) -> None:
        """An order that was cancelled has ended with what was filled before, which the answer does
        not say: unless it was told meanwhile, it is asked for, and in doubt until then."""
        accounts, found = self._accounts, None
        if accounts.is_ending(order):
            return
        with suppress(OSError, TimeoutError):
            found = await self._rest.order(their_id)
        if found is not None:
            self._tell(accounts.settled(clock.now_ns(), clock.boot_s(), found))
        if not accounts.is_ending(order):
            text = "cancelled, and what was filled before is not known yet"
            self._tell([OrderInDoubt(clock.now_ns(), order, text)])

    async def _withdraw(self, order: ClientOrderId, their_id: str) -> OrderEvent:
        try:
            answer = await self._rest.cancel(their_id)
        except (OSError, TimeoutError) as error:
            self._cancel_failed(error)
            return _not_withdrawn(order, error)
        if their_id in [one.lower() for one in answer.canceled or []]:
            return OrderCanceled(clock.now_ns(), order)
        reasons = {key.lower(): text for key, text in (answer.not_canceled or {}).items()}
        return _not_canceled(order, reasons.get(their_id, SILENCE))

    def _cancel_failed(self, error: Exception) -> None:
        """One request has failed, of however many orders it was."""
        if isinstance(error, RefusalError):
            self.refused(error)
        elif not isinstance(error, NotSentError):
            self.failed(f"cancel: {error or 'no answer'}")

    async def _cancel_all(self) -> None:
        try:
            answer = await self._rest.cancel_all()
        except (OSError, TimeoutError) as error:
            self._log.error("cancel_all_failed", venue=VENUE, error=str(error))
            return
        self._rest.limits.draw("cancel", 1 + len(answer.canceled or []))
        for their_id in answer.canceled or []:
            if self._ids.is_known(their_id):
                await self._withdrawn(self._ids.ours(their_id), their_id.lower())


def _matched(sent: list[Sent], answers: list[wire.Placed | None]) -> list[tuple[Sent, wire.Placed]]:
    """Each order of a request with the answer to it, where that is certain.

    Answers stand in the order of the orders. Where one is absent, or names another order, places
    say nothing: then only the ids count, and a refusal without one may be of any of them.
    """
    by_id = {one.their_id: one for one in sent}
    named = [(answer.order_id or "").lower() if answer is not None else "" for answer in answers]
    if len(answers) == len(sent) and all(
        name in ("", one.their_id) for one, name in zip(sent, named, strict=True)
    ):
        placed = zip(sent, answers, strict=True)
        return [(one, answer) for one, answer in placed if answer is not None]
    found: dict[str, tuple[Sent, wire.Placed]] = {}
    for name, answer in zip(named, answers, strict=True):
        if answer is not None and name in by_id:
            found.setdefault(name, (by_id[name], answer))
    return list(found.values())


def _end_by(text: str) -> type[OrderRejected] | type[OrderInDoubt]:
    """What an order's error says of it. One that is there twice is there, by whatever way."""
    twice = "duplicated" in text.lower()
    return OrderInDoubt if twice or leaves_open(text) else OrderRejected


def _not_withdrawn(order: ClientOrderId, error: Exception) -> OrderEvent:
    """What the failure of a cancel's request says of the order."""
    if isinstance(error, NotSentError):
        return CancelRejected(clock.now_ns(), order, f"not sent: {error}")
    if isinstance(error, RefusalError):
        return _not_canceled(order, error.text)
    return OrderInDoubt(clock.now_ns(), order, f"cancel: {error or 'no answer'}")


def _not_canceled(order: ClientOrderId, text: str) -> OrderEvent:
    """Where the order has ended, or may have, only the venue's word of how counts: it is asked
    for."""
    now_ns = clock.now_ns()
    if leaves_open(text) or any(words in text.lower() for words in GONE):
        return OrderInDoubt(now_ns, order, f"cancel: {text}")
    return CancelRejected(now_ns, order, text)
