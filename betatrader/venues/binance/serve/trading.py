"""Orders placed, cancelled and replaced at the exchange, with the venue's own words for each end.

Source: Binance's rest-api.md ("Trading endpoints"), filters.md, errors.md.
"""

import asyncio
import re
from collections.abc import Callable
from decimal import Decimal

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
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.instrument import Spot
from betatrader.model.money import SCALE, cost, parse, proceeds
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.sim.exchange import PREVENTED, SimulatedExchange
from betatrader.sim.pool import WorkingOrder
from betatrader.venues.binance.serve import prevention
from betatrader.venues.binance.serve.books import Books, Execution, Record
from betatrader.venues.binance.serve.market import Market
from betatrader.venues.binance.serve.requests import Parameters, Refusal, missing

ANSWER_S = 10.0
"""How long the venue waits for its own engine."""

CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
NUMBERS = r"legal range is '^([0-9]{1,20})(\.[0-9]{1,20})?$'."
STOPS = ("STOP_LOSS", "STOP_LOSS_LIMIT")
KINDS = ("LIMIT", "LIMIT_MAKER", "MARKET", *STOPS)
NOBODY = StrategyId("")
UNFILLED = {"IOC": "UNFILLED_IOC_QUANTITY_EXPIRED", "FOK": "UNFILLED_FOK_ORDER_EXPIRED"}
WORDS = {
    "insufficient balance": "Account has insufficient balance for requested action.",
    "post-only, and it would take": "Order would immediately match and take.",
    "the instrument is not trading": "Market is closed.",
    "the stop would be triggered at once": "Stop price would trigger immediately.",
}
Tell = Callable[[str, Record, str, Execution | None], None]
"""Told of each change of an order: owner, order, execution type, and the execution it is of."""

Waiting = dict[ClientOrderId, "list[asyncio.Future[OrderEvent]]"]
"""Requests that the exchange has not answered, the eldest first: placing and cancelling of one
order apart. Two may want to cancel the same one: it is replaced, and taken back at once."""


class Trading:
    """The exchange as the venue's requests see it. `tell` hears what becomes of every order."""

    def __init__(
        self, exchange: SimulatedExchange, market: Market, now_ns: Callable[[], int], tell: Tell
    ) -> None:
        self.cancel_only = False
        self.books: dict[str, Books] = {}
        self.wake: Callable[[], None] = lambda: None
        """Called where the exchange has something to do."""
        self._exchange = exchange
        self._market = market
        self._now_ns = now_ns
        self._tell = tell
        self._orders = 0
        self._executions = 0
        self._placing: Waiting = {}
        self._canceling: Waiting = {}
        exchange.prevents = prevention.SelfTrades(self._record).end

    def _record(self, order: WorkingOrder) -> Record | None:
        return self.of(order.owner).by_name.get(order.id)

    def of(self, owner: str) -> Books:
        """The orders of an account."""
        return self.books.setdefault(owner, Books(owner))

    def told(self, owner: str, record: Record, kind: str) -> None:
        """Something other than a fill has become of an order."""
        self._tell(owner, record, kind, None)

    def now_ms(self) -> int:
        """The venue's clock."""
        return self._now_ns() // 1_000_000

    # What is asked.

    def checked(self, owner: str, parameters: Parameters) -> Record:
        """A new order as its parameters say; raises Refusal where they break a rule."""
        symbol = given(parameters, "symbol")
        spot, _ = self._market.pool(symbol)
        side, kind = given(parameters, "side"), given(parameters, "type")
        if side not in ("BUY", "SELL"):
            raise Refusal(400, -1117, "Invalid side.")
        if kind not in KINDS:
            raise Refusal(400, -1116, "Invalid orderType.")
        client_id = checked_id(parameters, f"web_{self._orders + 1:020d}")
        terms, time_in_force = self._terms(spot, symbol, Side(side), kind, parameters)
        before = self.of(owner).find(symbol, "", client_id)
        if before is not None and before.is_open:
            raise Refusal(400, -2010, "Duplicate order sent.")
        self._orders += 1
        name = ClientOrderId(client_id if before is None else f"{client_id}#{self._orders}")
        now = self._now_ns() // 1_000_000
        stp = prevention.mode(parameters.get("selfTradePreventionMode", ""))
        return Record(self._orders, symbol, client_id, name, terms, kind, time_in_force, stp, now)

    def _terms(
        self, spot: Spot, symbol: str, side: Side, kind: str, parameters: Parameters
    ) -> tuple[OrderTerms, str]:
        in_force = parameters.get("timeInForce", "")
        if kind in ("LIMIT", "STOP_LOSS_LIMIT"):
            if not in_force:
                raise missing("timeInForce")
            if in_force not in ("GTC", "IOC", "FOK"):
                raise Refusal(400, -1115, "Invalid timeInForce.")
        elif in_force:
            raise Refusal(400, -1106, "Parameter 'timeInForce' sent when not required.")
        if kind == "MARKET":
            best = self._market.ticker(symbol)
            shown = best["askPrice" if side is Side.BUY else "bidPrice"]
            price = number(shown, "price")
            if price <= 0:
                raise Refusal(400, -2010, "Order book liquidity is less than the quantity.")
            limit = price * 2 if side is Side.BUY else spot.tick
            wanted = parameters.get("quantity")
            amount = (
                number(wanted, "quantity")
                if wanted
                else number(given(parameters, "quoteOrderQty"), "quoteOrderQty") * SCALE // price
            )
            quantity = amount if wanted else amount // spot.lot * spot.lot
            _filtered(spot, price, quantity)
            terms = OrderTerms(spot.id, side, OrderType.MARKET, limit, quantity, TimeInForce.IOC)
            return terms, "GTC"
        quantity = number(given(parameters, "quantity"), "quantity")
        if kind == "STOP_LOSS":
            return self._stop_loss(spot, side, quantity, parameters), "GTC"
        price = number(given(parameters, "price"), "price")
        _filtered(spot, price, quantity)
        post_only = kind == "LIMIT_MAKER"
        held = TimeInForce(in_force or "GTC")
        stop = kind == "STOP_LOSS_LIMIT"
        trigger = _trigger(spot, parameters) if stop else 0
        type_ = OrderType.STOP if stop else OrderType.LIMIT
        terms = OrderTerms(spot.id, side, type_, price, quantity, held, post_only, trigger)
        return terms, in_force or "GTC"

    def _stop_loss(
        self, spot: Spot, side: Side, quantity: int, parameters: Parameters
    ) -> OrderTerms:
        """A stop that takes whatever stands there: at twice its trigger, or any price above 0."""
        trigger = _trigger(spot, parameters)
        _filtered(spot, trigger, quantity)
        price = trigger * 2 if side is Side.BUY else spot.tick
        held = TimeInForce.IOC
        return OrderTerms(spot.id, side, OrderType.STOP, price, quantity, held, trigger=trigger)

    async def place(self, owner: str, record: Record) -> Record:
        """Let an order arrive; returns it once the exchange has said what became of it first.
        Raises Refusal where it was refused, or where nobody answers."""
        if self.cancel_only:
            raise Refusal(400, -2010, "This symbol is in cancel-only mode.")
        if record.terms.time_in_force is TimeInForce.FOK and self._meets_own(owner, record):
            return self._expired_at_once(owner, record)
        self.of(owner).add(record)
        now = self._now_ns()
        event = await self._answered(
            self._placing,
            record.name,
            lambda: self._exchange.submit(
                SubmitOrder(record.name, NOBODY, record.terms), now, owner
            ),
        )
        if isinstance(event, OrderRejected):
            self.of(owner).forget(record)
            if event.reason.startswith("fill or kill"):
                return self._expired_at_once(owner, record)
            text = WORDS.get(event.reason, event.reason)
            raise Refusal(400, -2010, text)
        return record

    def _meets_own(self, owner: str, record: Record) -> bool:
        """Whether an order cannot be filled whole but by others of its own account, with which it
        may not trade."""
        pool = self._exchange.pools[record.terms.instrument]
        others = [
            quantity
            for _, quantity, against in pool.opposite(record.terms)
            if against is None or against.owner != owner
        ]
        return sum(others) < record.terms.quantity <= pool.available(record.terms)

    def _expired_at_once(self, owner: str, record: Record) -> Record:
        """The venue takes a fill-or-kill that cannot be filled, and lets it expire."""
        self.of(owner).add(record)
        self._tell(owner, record, "NEW", None)
        record.status, record.reason = "EXPIRED", UNFILLED["FOK"]
        record.updated_ms = self._now_ns() // 1_000_000
        self._tell(owner, record, "EXPIRED", None)
        return record

    def found(self, owner: str, parameters: Parameters) -> Record:
        """The order that is asked for; raises Refusal where it cannot be named."""
        symbol = given(parameters, "symbol")
        self._market.pool(symbol)
        number = parameters.get("orderId") or parameters.get("cancelOrderId", "")
        client_id = parameters.get("origClientOrderId") or parameters.get(
            "cancelOrigClientOrderId", ""
        )
        if not number and not client_id:
            text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            raise Refusal(400, -1102, text)
        record = self.of(owner).find(symbol, number, client_id)
        if record is None:
            raise Refusal(400, -2013, "Order does not exist.")
        return record

    async def cancel(self, owner: str, parameters: Parameters) -> Record:
        """Take an order off the book; raises Refusal where it is not there (any more)."""
        unknown = Refusal(400, -2011, "Unknown order sent.")
        try:
            record = self.found(owner, parameters)
        except Refusal as refusal:
            if refusal.code == -2013:
                raise unknown from None
            raise
        if not record.is_open:
            raise unknown
        wanted = parameters.get("cancelRestrictions", "")
        if wanted and wanted.removeprefix("ONLY_") not in (record.status, ""):
            raise Refusal(400, -2011, "Order was not canceled due to cancel restrictions.")
        record.cancel_id = parameters.get("newClientOrderId") or f"web_c{record.number:019d}"
        command = CancelOrder(record.name, record.terms.instrument)
        now = self._now_ns()
        event = await self._answered(
            self._canceling, record.name, lambda: self._exchange.cancel(command, now, owner)
        )
        if isinstance(event, CancelRejected) or record.status != "CANCELED":
            raise unknown
        return record

    async def _answered(
        self, waiting: Waiting, name: ClientOrderId, ask: Callable[[], None]
    ) -> OrderEvent:
        future: asyncio.Future[OrderEvent] = asyncio.get_running_loop().create_future()
        waiting.setdefault(name, []).append(future)
        ask()
        self.wake()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await future
        except TimeoutError:
            text = "Timeout waiting for response from backend server. Send status unknown; "
            raise Refusal(504, -1007, f"{text}execution status unknown.") from None
        finally:
            waiting[name].remove(future)
            if not waiting[name]:
                del waiting[name]

    def restarted(self) -> None:
        """What was open is no more."""
        for books in self.books.values():
            for record in books.open():
                record.status = "CANCELED"
                record.updated_ms = self._now_ns() // 1_000_000

    # What the exchange says.

    def deliver(self, reports: list[tuple[str, OrderEvent]]) -> None:
        """All that is due: each report to the order's record and its owner, then the answers."""
        placed: dict[ClientOrderId, list[OrderEvent]] = {}
        gone: dict[ClientOrderId, list[OrderEvent]] = {}
        for owner, event in reports:
            record = self.of(owner).by_name.get(event.order)
            if record is not None:
                self._take(owner, record, event)
            ends = isinstance(event, OrderRejected | OrderCanceled)
            if ends or isinstance(event, CancelRejected):
                gone.setdefault(event.order, []).append(event)
            if ends or (event.order not in placed and not isinstance(event, CancelRejected)):
                placed[event.order] = [event]
        for waiting, answers in ((self._placing, placed), (self._canceling, gone)):
            for name, found in answers.items():
                asked = [future for future in waiting.get(name, ()) if not future.done()]
                for future, answer in zip(asked, found, strict=False):
                    future.set_result(answer)

    def _take(self, owner: str, record: Record, event: OrderEvent) -> None:
        record.updated_ms = self._now_ns() // 1_000_000
        match event:
            case OrderAccepted():
                self._tell(owner, record, "NEW", None)
            case OrderRejected() if record.name not in self._placing:  # who asked is gone
                self.of(owner).forget(record)
            case Fill():
                self._fill(owner, record, event)
            case OrderExpired() if event.reason == PREVENTED:
                record.status = "EXPIRED_IN_MATCH"
                self._tell(owner, record, "TRADE_PREVENTION", None)
            case OrderCanceled() | OrderExpired() if record.is_open:
                immediate = record.terms.time_in_force is not TimeInForce.GTC
                if immediate and not record.cancel_id:
                    record.status = "EXPIRED"
                    record.reason = UNFILLED.get(record.time_in_force, "INSUFFICIENT_LIQUIDITY")
                else:
                    record.status = "CANCELED"
                self._tell(owner, record, record.status, None)

    def _fill(self, owner: str, record: Record, fill: Fill) -> None:
        self._executions += 1
        bought = fill.side is Side.BUY
        quote = (cost if bought else proceeds)(fill.price, fill.quantity)
        one = Execution(self._executions, fill, quote, record.updated_ms)
        record.executions.append(one)
        record.executed += fill.quantity
        record.quote += quote
        whole = record.executed >= record.terms.quantity
        record.status = "FILLED" if whole else "PARTIALLY_FILLED"
        self._tell(owner, record, "TRADE", one)


def checked_id(parameters: Parameters, usual: str) -> str:
    """The client id that is asked for, or the usual one; raises Refusal where it is none."""
    client_id = parameters.get("newClientOrderId") or usual
    if not CLIENT_ID.fullmatch(client_id):
        text = (
            "Illegal characters found in parameter 'newClientOrderId'; "
            "legal range is '^[a-zA-Z0-9-_]{1,36}$'."
        )
        raise Refusal(400, -1100, text)
    return client_id


def given(parameters: Parameters, name: str) -> str:
    """A parameter that must be there; raises Refusal."""
    value = parameters.get(name, "")
    if not value:
        raise missing(name)
    return value


def number(text: str, name: str) -> int:
    """A number in units; raises Refusal."""
    try:
        return parse(format(Decimal(text), "f"))
    except (ArithmeticError, ValueError):
        text_ = f"Illegal characters found in parameter '{name}'; {NUMBERS}"
        raise Refusal(400, -1100, text_) from None


def _trigger(spot: Spot, parameters: Parameters) -> int:
    trigger = number(given(parameters, "stopPrice"), "stopPrice")
    if trigger <= 0 or trigger % spot.tick:
        raise Refusal(400, -1013, "Filter failure: PRICE_FILTER")
    return trigger


def _filtered(spot: Spot, price: int, quantity: int) -> None:
    """The venue's filters; raises Refusal with the name of the one that fails."""
    for name, fails in (
        ("PRICE_FILTER", price <= 0 or price % spot.tick),
        ("LOT_SIZE", quantity <= 0 or quantity % spot.lot),
        ("NOTIONAL", price * quantity < spot.min_notional * SCALE),
    ):
        if fails:
            raise Refusal(400, -1013, f"Filter failure: {name}")
