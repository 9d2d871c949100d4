"""Orders and executions of one account, as the venue words them in answers and reports."""

from typing import Any

import msgspec

from betatrader.model.account import Fill
from betatrader.model.ids import ClientOrderId
from betatrader.model.instrument import Spot
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, Side

NO_TRADE = -1
NO_GROUP = -1
"""The trade group of an account that is in none."""

KEPT = 50_000


def text(units: int) -> str:
    """Units of 10^-8 as the venue writes numbers."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    return f"{sign}{units // SCALE}.{units % SCALE:08d}"


class Execution(msgspec.Struct, frozen=True):
    """One fill, with the venue's own numbers. `quote` is what it cost or brought."""

    number: int
    fill: Fill
    quote: int
    time_ms: int

    @property
    def commission(self) -> str:
        """What it paid, in `paid_in`."""
        return text(self.fill.kept or self.fill.fee)

    def paid_in(self, spot: Spot) -> str:
        """A buy pays in what it buys, a sell in what it brings."""
        return spot.quote if self.fill.fee or self.fill.side is Side.SELL else spot.base


class Prevention(msgspec.Struct, frozen=True):
    """What an order lost rather than trade with another of its account: all of the `quantity` that
    was left; `crossed` of it would have traded at `price` with the order `counter`."""

    number: int
    quantity: int
    counter: int
    crossed: int
    price: int


class Amendment(msgspec.Struct, frozen=True):
    """A lowering of what an order asks for; its client id changes with it."""

    execution: int
    old_id: str
    new_id: str
    old_quantity: int
    new_quantity: int
    time_ms: int

    def shown(self, record: "Record") -> dict[str, Any]:
        """As `order.amendments` lists it."""
        return {
            "symbol": record.symbol,
            "orderId": record.number,
            "executionId": self.execution,
            "origClientOrderId": self.old_id,
            "newClientOrderId": self.new_id,
            "origQty": text(self.old_quantity),
            "newQty": text(self.new_quantity),
            "time": self.time_ms,
        }


class Record(msgspec.Struct):
    """An order at the venue. `name` is its id at the exchange, which no other order ever had."""

    number: int
    symbol: str
    client_id: str
    name: ClientOrderId
    terms: OrderTerms
    kind: str
    time_in_force: str
    stp: str
    time_ms: int
    status: str = "NEW"
    updated_ms: int = 0
    executed: int = 0
    quote: int = 0
    cancel_id: str = ""
    reason: str = ""
    executions: list[Execution] = []
    prevention: Prevention | None = None
    amendments: list[Amendment] = []

    @property
    def last_execution(self) -> int:
        """The number of the last thing that became of it."""
        return self.number * 1_000 + len(self.executions) + len(self.amendments)

    @property
    def is_open(self) -> bool:
        """Whether it rests, or may yet."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def waits(self) -> bool:
        """Whether it is a stop that has not traded: as far as is shown, it waits."""
        return self.terms.trigger > 0 and not self.executed

    def acknowledged(self) -> dict[str, Any]:
        """The answer ACK."""
        return {
            "symbol": self.symbol,
            "orderId": self.number,
            "orderListId": -1,
            "clientOrderId": self.client_id,
            "transactTime": self.updated_ms or self.time_ms,
        }

    def result(self) -> dict[str, Any]:
        """The answer RESULT."""
        return {**self.acknowledged(), **self._state(), "workingTime": self.time_ms, **self._tail()}

    def full(self, spot: Spot) -> dict[str, Any]:
        """The answer FULL."""
        fills = [
            {
                "price": text(one.fill.price),
                "qty": text(one.fill.quantity),
                "commission": one.commission,
                "commissionAsset": one.paid_in(spot),
                "tradeId": one.number,
            }
            for one in self.executions
        ]
        return {**self.result(), "fills": fills}

    def queried(self) -> dict[str, Any]:
        """The answer to a question for it."""
        found = self.acknowledged()
        del found["transactTime"]
        return {
            **found,
            **self._state(),
            "stopPrice": text(self.terms.trigger),
            "icebergQty": text(0),
            "time": self.time_ms,
            "updateTime": self.updated_ms or self.time_ms,
            "isWorking": not self.waits,
            "workingTime": self.time_ms,
            **self._tail(),
        }

    def canceled(self) -> dict[str, Any]:
        """The answer to a cancel: the client id is the cancel's own."""
        return {
            **self.result(),
            "origClientOrderId": self.client_id,
            "clientOrderId": self.cancel_id or self.client_id,
        }

    @property
    def _price(self) -> int:
        return 0 if self.kind in ("MARKET", "STOP_LOSS") else self.terms.price

    def _state(self) -> dict[str, Any]:
        return {
            "price": text(self._price),
            "origQty": text(self.terms.quantity),
            "executedQty": text(self.executed),
            "origQuoteOrderQty": text(0),
            "cummulativeQuoteQty": text(self.quote),
            "status": self.status,
            "timeInForce": self.time_in_force,
            "type": self.kind,
            "side": str(self.terms.side),
            **({"stopPrice": text(self.terms.trigger)} if self.terms.trigger else {}),
        }

    def amended(self) -> dict[str, Any]:
        """The answer to an amendment, the last one."""
        return {
            "transactTime": self.updated_ms,
            "executionId": self.last_execution,
            "amendedOrder": {
                "symbol": self.symbol,
                "orderId": self.number,
                "orderListId": -1,
                "origClientOrderId": self.amendments[-1].old_id,
                "clientOrderId": self.client_id,
                "price": text(self._price),
                "qty": text(self.terms.quantity),
                "executedQty": text(self.executed),
                "preventedQty": text(0),
                "quoteOrderQty": text(0),
                "cumulativeQuoteQty": text(self.quote),
                "status": self.status,
                "timeInForce": self.time_in_force,
                "type": self.kind,
                "side": str(self.terms.side),
                "workingTime": self.time_ms,
                "selfTradePreventionMode": self.stp,
            },
        }

    def _tail(self) -> dict[str, Any]:
        found: dict[str, Any] = {"selfTradePreventionMode": self.stp}
        if self.reason:
            found["expiryReason"] = self.reason
        if self.prevention is not None:
            found["preventedMatchId"] = self.prevention.number
            found["preventedQuantity"] = text(self.prevention.quantity)
        return found

    def report(self, kind: str, spot: Spot, last: Execution | None = None) -> dict[str, Any]:
        """An executionReport of it as it stands; `last` is the fill that it tells of."""
        gone, amended = kind == "CANCELED", kind == "REPLACED"
        found: dict[str, Any] = {
            "e": "executionReport",
            "E": self.updated_ms or self.time_ms,
            "s": self.symbol,
            "c": (self.cancel_id or self.client_id) if gone else self.client_id,
            "S": str(self.terms.side),
            "o": self.kind,
            "f": self.time_in_force,
            "q": text(self.terms.quantity),
            "p": text(self._price),
            "P": text(self.terms.trigger),
            "F": text(0),
            "g": -1,
            "C": self.client_id if gone else self.amendments[-1].old_id if amended else "",
            "x": kind,
            "X": self.status,
            "r": "NONE",
            "i": self.number,
            "l": text(last.fill.quantity if last else 0),
            "z": text(self.executed),
            "L": text(last.fill.price if last else 0),
            "n": last.commission if last else "0",
            "N": last.paid_in(spot) if last else None,
            "T": self.updated_ms or self.time_ms,
            "t": last.number if last else NO_TRADE,
            "I": self.last_execution,
            "w": self.is_open and not self.waits,
            "m": last.fill.maker if last else False,
            "M": False,
            "O": self.time_ms,
            "Z": text(self.quote),
            "Y": text(last.quote if last else 0),
            "Q": text(0),
            "W": self.time_ms,
            "V": self.stp,
        }
        if self.reason:
            found["eR"] = self.reason
        return found | self._prevented()

    def _prevented(self) -> dict[str, Any]:
        """What a report says besides of an order that ended rather than trade."""
        if self.prevention is None:
            return {}
        lost = self.prevention
        return {
            "v": lost.number,
            "A": text(lost.quantity),
            "B": text(lost.quantity),
            "u": NO_GROUP,
            "U": lost.counter,
            "Cs": self.symbol,
            "pl": text(lost.crossed),
            "pL": text(lost.price),
            "pY": text(lost.crossed * lost.price // SCALE),
        }


def trade(record: Record, one: Execution, spot: Spot) -> dict[str, Any]:
    """One execution as `myTrades` lists it."""
    return {
        "symbol": record.symbol,
        "id": one.number,
        "orderId": record.number,
        "orderListId": -1,
        "price": text(one.fill.price),
        "qty": text(one.fill.quantity),
        "quoteQty": text(one.quote),
        "commission": one.commission,
        "commissionAsset": one.paid_in(spot),
        "time": one.time_ms,
        "isBuyer": one.fill.side is Side.BUY,
        "isMaker": one.fill.maker,
        "isBestMatch": True,
    }


class Books:
    """The orders of one account, by each of their names."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.orders: dict[int, Record] = {}
        self.by_name: dict[ClientOrderId, Record] = {}
        self._by_client: dict[tuple[str, str], Record] = {}

    def add(self, record: Record) -> None:
        """Remember an order; the oldest that has ended makes room."""
        self.orders[record.number] = record
        self.by_name[record.name] = record
        self._by_client[record.symbol, record.client_id] = record
        if len(self.orders) > KEPT:
            oldest = next(one for one in self.orders.values() if not one.is_open)
            self.forget(oldest)

    def forget(self, record: Record) -> None:
        """Of an order that was refused nothing stays."""
        del self.orders[record.number]
        del self.by_name[record.name]
        if self._by_client.get((record.symbol, record.client_id)) is record:
            del self._by_client[record.symbol, record.client_id]

    def rename(self, record: Record, client_id: str) -> None:
        """An order is known by another client id from now on."""
        if self._by_client.get((record.symbol, record.client_id)) is record:
            del self._by_client[record.symbol, record.client_id]
        record.client_id = client_id
        self._by_client[record.symbol, client_id] = record

    def find(self, symbol: str, number: str, client_id: str) -> Record | None:
        """By the venue's id, which counts more, or the client's; the last of its client id."""
        if number:
            found = self.orders.get(int(number)) if number.isdigit() else None
            return found if found is not None and found.symbol == symbol else None
        return self._by_client.get((symbol, client_id))

    def open(self, symbol: str = "") -> list[Record]:
        """Those that rest, oldest first."""
        return [one for one in self.orders.values() if one.is_open and symbol in ("", one.symbol)]


def balances(spots: list[Spot], cash: int, held: dict[str, int], open_: list[Record]) -> list[Any]:
    """Free and locked of each asset. What open orders bind is locked."""
    locked: dict[str, int] = {}
    whole: dict[str, int] = {}
    by_symbol = {spot.id.rpartition(".")[0]: spot for spot in spots}
    for spot in spots:
        whole[spot.quote] = cash
        whole[spot.base] = held.get(spot.id, 0)
    for one in open_:
        spot_ = by_symbol[one.symbol]
        left = one.terms.quantity - one.executed
        if one.terms.side is Side.SELL:
            locked[spot_.base] = locked.get(spot_.base, 0) + left
        else:
            bound = -(-left * one.terms.price // SCALE)
            locked[spot_.quote] = locked.get(spot_.quote, 0) + bound
    return [
        {
            "asset": asset,
            "free": text(amount - min(amount, locked.get(asset, 0))),
            "locked": text(min(amount, locked.get(asset, 0))),
        }
        for asset, amount in whole.items()
    ]
