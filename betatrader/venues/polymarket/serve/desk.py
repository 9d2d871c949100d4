"""Orders and trades of all accounts: requests go to the exchange, its reports become records."""

import asyncio

from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderEvent,
    OrderExpired,
    OrderRejected,
)
from betatrader.model.command import CancelOrder, SubmitOrder
from betatrader.model.ids import InstrumentId, StrategyId
from betatrader.model.money import SCALE
from betatrader.sim.exchange import SimulatedExchange
from betatrader.venues.polymarket.serve.agenda import Agenda
from betatrader.venues.polymarket.serve.answers import RefusedRequestError
from betatrader.venues.polymarket.serve.news import News
from betatrader.venues.polymarket.serve.payload import SECURITY_S, Draft
from betatrader.venues.polymarket.serve.records import SECOND, OrderRecord
from betatrader.venues.polymarket.serve.settlement import Settlement
from betatrader.venues.polymarket.serve.sockets import Channels

NOBODY = StrategyId("")
KEPT = 50_000
"""Orders that are remembered."""

NOT_FOUND = "order can't be found - already canceled or matched"
DELAYED = "order can't be canceled while it is delayed"
FOK_TEXT = "order couldn't be fully filled. FOK orders are fully filled or killed."
FAK_TEXT = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no "
    "match is found."
)
REFUSALS = {
    "the instrument is not trading": "the market is not yet ready to process new orders",
    "insufficient balance": "not enough balance / allowance",
    "post-only, and it would take": "invalid post-only order: order crosses book",
    "fill or kill, and not all can be filled": FOK_TEXT,
}
"""The exchange's words, and the venue's for them."""

EXPIRED, RESOLVED = "CANCELED_EXPIRED_ORDER", "CANCELED_MARKET_RESOLVED"


class Wait:
    """A request that waits for the exchange's word: `refusal` is empty where that is good."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.refusal = ""

    def settle(self, refusal: str = "") -> None:
        """The word has come."""
        self.refusal = refusal
        self.done.set()


class Placing(Wait):
    """An order that was sent."""

    def __init__(self, order: OrderRecord) -> None:
        super().__init__()
        self._order = order

    async def record(self) -> OrderRecord:
        """The order, once the exchange has taken it; raises where it refused it."""
        await self.done.wait()
        if self.refusal:
            raise RefusedRequestError(400, self.refusal)
        return self._order


class Desk:
    """Takes orders and cancels, and knows what became of them."""

    def __init__(
        self, exchange: SimulatedExchange, agenda: Agenda, channels: Channels, news: News
    ) -> None:
        self.orders: dict[str, OrderRecord] = {}
        self.settlement = Settlement(exchange, agenda, channels)
        self._exchange = exchange
        self._agenda = agenda
        self._channels = channels
        self._news = news
        self._alive: dict[str, OrderRecord] = {}
        """Those that have not ended, oldest first."""
        self._placing: dict[str, Placing] = {}
        self._canceling: dict[str, list[Wait]] = {}

    # Requests.

    def submit(self, draft: Draft, now_ns: int, delay_ns: int = 0) -> Placing:
        """Send an order to the exchange, at once or after the delay of one that would take."""
        record, terms = draft.record, draft.terms
        if record.id in self.orders:
            raise RefusedRequestError(400, f"order {record.id} is invalid. Duplicated.")
        self.orders[record.id] = self._alive[record.id] = record
        placing = Placing(record)
        self._forget_one()
        command = SubmitOrder(record.id, NOBODY, terms)
        pool = self._exchange.pools.get(terms.instrument)
        if delay_ns and not terms.post_only and pool is not None and pool.available(terms):
            record.status = "DELAYED"
            due_ns = now_ns + delay_ns
            self._agenda.at(due_ns, lambda: self._exchange.submit(command, due_ns, record.account))
            placing.settle()
            return placing
        self._placing[record.id] = placing
        self._exchange.submit(command, now_ns, record.account)
        return placing

    def withdraw(self, order: str, account: str, now_ns: int, reason: str = "") -> Wait:
        """Send a cancel to the exchange."""
        wait = Wait()
        record = self.orders.get(order)
        if record is not None and record.account == account and record.status == "DELAYED":
            wait.settle(DELAYED)
            return wait
        if record is None or record.account != account or not record.open:
            wait.settle(NOT_FOUND)
            return wait
        self._canceling.setdefault(order, []).append(wait)
        command = CancelOrder(record.id, record.instrument, reason)
        self._exchange.cancel(command, now_ns, account)
        return wait

    def working(self, account: str) -> list[OrderRecord]:
        """An account's orders that rest."""
        return [one for one in self._alive.values() if one.open and one.account == account]

    def _forget_one(self) -> None:
        """Forget the oldest order that has ended, where there are too many."""
        if len(self.orders) > KEPT:
            ended = (name for name in self.orders if name not in self._alive)
            oldest = next(ended, None)
            if oldest is not None:
                del self.orders[oldest]

    # Reports.

    def take(self, reports: list[tuple[str, OrderEvent]], now_ns: int) -> None:
        """What the exchange says; those who wait hear of it when all of it is known."""
        touched: dict[str, None] = {}
        books: list[InstrumentId] = []
        waiting: list[tuple[Wait, str]] = []
        for account, report in reports:
            record = self.orders.get(report.order)
            if record is None or record.account != account:
                continue
            touched[record.id] = None
            books += self._news.both(record.instrument)
            waiting += self._take(record, report, now_ns)
        for name in touched:
            placed = self.orders.get(name)
            if placed is None or placed.status not in ("LIVE", "DELAYED"):
                self._alive.pop(name, None)
            if placed is not None and placed.accepted and name in self._placing:
                waiting.append((self._placing.pop(name), self._unmatched(placed)))
        for trade in self.settlement.close_batch(now_ns):
            if not trade.taker.account:
                continue  # the recorded market tells of its own trades
            self._news.traded(
                trade.instrument, trade.price, trade.size, trade.taker.side, trade.transaction
            )
        self._news.refresh_many(dict.fromkeys(books), now_ns)
        for wait, refusal in waiting:
            wait.settle(refusal)

    def _unmatched(self, record: OrderRecord) -> str:
        """Why an accepted order is refused after all: it took nothing and may not rest."""
        if record.order_type == "FAK" and not record.matched and not record.open:
            del self.orders[record.id]
            return FAK_TEXT
        return ""

    def _take(self, record: OrderRecord, report: OrderEvent, now_ns: int) -> list[tuple[Wait, str]]:
        match report:
            case OrderAccepted():
                was, record.status, record.accepted = record.status, "LIVE", True
                if record.order_type in ("GTC", "GTD"):
                    self._tell(record, "UPDATE" if was == "DELAYED" else "PLACEMENT", now_ns)
                if record.expiration:
                    self._expire_later(record)
            case OrderRejected():
                return self._rejected(record, report.reason, now_ns)
            case Fill():
                self.settlement.fill(record, report, now_ns)
                record.matched += report.quantity
                record.spent += report.price * report.quantity // SCALE
                if record.matched >= record.size:
                    record.status = "MATCHED"
                self._tell(record, "UPDATE", now_ns)
            case OrderCanceled() | OrderExpired():
                return self._ended(record, report, now_ns)
            case CancelRejected():
                return [(wait, NOT_FOUND) for wait in self._canceling.pop(record.id, [])]
        return []

    def _rejected(self, record: OrderRecord, reason: str, now_ns: int) -> list[tuple[Wait, str]]:
        text = REFUSALS.get(reason, reason)
        if reason == "duplicate client order id":
            text = f"order {record.id} is invalid. Duplicated."
        wait = self._placing.pop(record.id, None)
        if wait is None:  # it was delayed, and its client has its answer already
            record.status = "INVALID"
            self._tell(record, "CANCELLATION", now_ns)
            return []
        del self.orders[record.id]
        return [(wait, text)]

    def _ended(
        self, record: OrderRecord, report: OrderCanceled | OrderExpired, now_ns: int
    ) -> list[tuple[Wait, str]]:
        if isinstance(report, OrderExpired):
            record.status = RESOLVED
        else:
            record.status = EXPIRED if report.reason == EXPIRED else "CANCELED"
        answered = record.id not in self._placing  # else it hears of it in its answer
        if record.order_type in ("GTC", "GTD") or record.matched or answered:
            self._tell(record, "CANCELLATION", now_ns)
        return [(wait, "") for wait in self._canceling.pop(record.id, [])]

    def _expire_later(self, record: OrderRecord) -> None:
        due_ns = (record.expiration - SECURITY_S) * SECOND
        self._agenda.at(
            due_ns, lambda: self._withdraw_quietly(record.id, record.account, due_ns, EXPIRED)
        )

    def _withdraw_quietly(self, order: str, account: str, now_ns: int, reason: str) -> None:
        self.withdraw(order, account, now_ns, reason)

    def cancel_of_key(self, key: str, now_ns: int) -> None:
        """Cancel whatever rests of an API key: it has fallen silent."""
        for record in [one for one in self._alive.values() if one.open and one.key == key]:
            self.withdraw(record.id, record.account, now_ns, "heartbeat missed")

    def _tell(self, record: OrderRecord, kind: str, now_ns: int) -> None:
        self._channels.tell_user(record.account, record.market, record.message(kind, now_ns))
