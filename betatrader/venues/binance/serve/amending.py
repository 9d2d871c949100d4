"""Orders that ask for less, and keep their place in the queue: `order/amend/keepPriority`.

Source: Binance's faqs/order_amend_keep_priority.md, rest-api.md, errors.md.
"""

from typing import Any

from msgspec.structs import replace

from betatrader.sim.amending import amend
from betatrader.sim.exchange import SimulatedExchange
from betatrader.venues.binance.serve.books import Amendment, Record
from betatrader.venues.binance.serve.requests import Account, Parameters, Refusal
from betatrader.venues.binance.serve.trading import Trading, checked_id, given, number

MOST_AMENDS = 10
"""Of a single order."""

REFUSED = -2038


class Amending:
    """The requests about amendments."""

    def __init__(self, exchange: SimulatedExchange, trading: Trading) -> None:
        self._exchange = exchange
        self._trading = trading

    async def amend(self, account: Account, parameters: Parameters) -> Any:
        """Lower the quantity of an order; without a client id of its own it gets a new one."""
        quantity = number(given(parameters, "newQty"), "newQty")
        record = self._found(account, parameters)
        lot = self._exchange.pools[record.terms.instrument].definition.lot
        if quantity <= 0 or quantity % lot:
            raise Refusal(400, -1013, "Filter failure: LOT_SIZE")
        old, old_id = record.terms.quantity, record.client_id
        if quantity == old:
            raise _refused("The requested action would change no state; rejecting.")
        if quantity > old:
            raise _refused("Order amend (quantity increase) is not supported.")
        if len(record.amendments) >= MOST_AMENDS:
            raise _refused("Filter failure: MAX_NUM_ORDER_AMENDS")
        count = len(record.amendments) + 1
        name = checked_id(parameters, f"web_a{record.number:012d}_{count:02d}")
        books = self._trading.of(account.owner)
        other = books.find(record.symbol, "", name)
        if other is not None and other is not record and other.is_open:
            raise _refused("Duplicate order sent.")
        if not amend(self._exchange, record.name, quantity):
            raise _refused("Unknown order sent.")
        record.terms = replace(record.terms, quantity=quantity)
        books.rename(record, name)
        self._note(record, old_id, old)
        self._trading.told(account.owner, record, "REPLACED")
        return record.amended()

    def _found(self, account: Account, parameters: Parameters) -> Record:
        try:
            record = self._trading.found(account.owner, parameters)
        except Refusal as refusal:
            if refusal.code == -2013:
                raise _refused("Unknown order sent.") from None
            raise
        if not record.is_open:
            raise _refused("Unknown order sent.")
        return record

    def _note(self, record: Record, old_id: str, old: int) -> None:
        record.updated_ms = self._trading.now_ms()
        number_ = record.last_execution + 1
        row = Amendment(
            number_, old_id, record.client_id, old, record.terms.quantity, record.updated_ms
        )
        record.amendments.append(row)

    async def amendments(self, account: Account, parameters: Parameters) -> Any:
        """What was amended of one order, oldest first."""
        given(parameters, "orderId")
        record = self._trading.found(account.owner, parameters)
        first = int(parameters.get("fromExecutionId") or 0)
        limit = int(parameters.get("limit") or 500)
        rows = [row.shown(record) for row in record.amendments if row.execution >= first]
        return rows[:limit]


def _refused(text: str) -> Refusal:
    return Refusal(400, REFUSED, text)
