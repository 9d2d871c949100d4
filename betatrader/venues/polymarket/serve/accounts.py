"""What an account may ask: its orders, its trades, its balances."""

from collections.abc import Sequence

from betatrader.net.transport import Answer, Request
from betatrader.ops import clock
from betatrader.venues.polymarket.serve.answers import (
    RefusedRequestError,
    asked,
    body_of,
    granted,
    page,
)
from betatrader.venues.polymarket.serve.listings import token_of
from betatrader.venues.polymarket.serve.payload import BASE
from betatrader.venues.polymarket.serve.records import SECOND, OrderRecord, TradeRecord
from betatrader.venues.polymarket.serve.signatures import (
    NEG_RISK,
    STANDARD,
    THIRD,
    is_position_id,
)
from betatrader.venues.polymarket.serve.state import State

ALL_ALLOWED = str((1 << 256) - 1)
NEW_NS = 2 * SECOND
"""Orders of so late are what a forgetful answer does not know."""


class Accounts:
    """Answers the questions that need L2 headers."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def order(self, request: Request) -> Answer:
        """GET /data/order/{id}: also of an order that has ended."""
        key = self._state.account(request)
        name = request.path.rpartition("/")[2]
        record = self._state.desk.orders.get(name)
        if record is None or record.account != key.address or not self._remembered([record]):
            raise RefusedRequestError(404, "Order not found")
        return granted(record.document())

    async def orders(self, request: Request) -> Answer:
        """GET /data/orders: those that rest."""
        key, wanted = self._state.account(request), asked(request)
        found = [
            record.document()
            for record in self._remembered(self._state.desk.working(key.address))
            if _agrees(
                wanted, market=record.market, asset_id=token_of(record.instrument), id=record.id
            )
        ]
        return granted(page(found, wanted.get("next_cursor", "")))

    async def trades(self, request: Request) -> Answer:
        """GET /data/trades."""
        key, wanted = self._state.account(request), asked(request)
        new = self._new_ns()
        found = [
            trade.document(key.address)
            for trade in self._state.desk.settlement.of(key.address)
            if trade.time_ns < new and _wanted(trade, wanted, key.address)
        ]
        return granted(page(found, wanted.get("next_cursor", "")))

    async def no_orders(self, request: Request) -> Answer:
        """GET /data/pre-migration-orders: there are none."""
        self._state.account(request)
        return granted(page([], ""))

    async def balance(self, request: Request) -> Answer:
        """GET /balance-allowance: what is on the chain, in base units, with everything allowed."""
        key, wanted = self._state.account(request), asked(request)
        settlement = self._state.desk.settlement
        kind, units = wanted.get("asset_type", ""), 0
        if kind == "COLLATERAL":
            units = settlement.on_chain(key.address)
        elif kind in ("CONDITIONAL", "CONDITIONAL-V2"):
            token = wanted.get("token_id", "")
            found = self._state.listings.find(token)
            if found is not None and is_position_id(int(token)) is (kind == "CONDITIONAL-V2"):
                units = settlement.on_chain(key.address, found[1].id)
        else:
            raise RefusedRequestError(400, "assetType invalid")
        spenders = (STANDARD, NEG_RISK, THIRD)
        allowances = dict.fromkeys(spenders, ALL_ALLOWED)
        return granted({"balance": str(max(0, units) // BASE), "allowances": allowances})

    async def refreshed(self, request: Request) -> Answer:
        """GET /balance-allowance/update: there is no cache to refresh."""
        self._state.account(request)
        return granted({})

    async def scoring(self, request: Request) -> Answer:
        """GET /order-scoring: no order earns rewards here."""
        self._state.account(request)
        return granted({"scoring": False})

    async def scorings(self, request: Request) -> Answer:
        """POST /orders-scoring."""
        self._state.account(request)
        body = body_of(request)
        return granted({str(name): False for name in body} if isinstance(body, list) else {})

    async def notifications(self, request: Request) -> Answer:
        """GET /notifications: there are none."""
        self._state.account(request)
        return granted([])

    async def drop_notifications(self, request: Request) -> Answer:
        """DELETE /notifications."""
        self._state.account(request)
        return granted("OK")

    def _new_ns(self) -> int:
        """From which time on this answer knows nothing."""
        forgets = self._state.faults.forgets()
        return clock.now_ns() - NEW_NS if forgets else 1 << 62

    def _remembered(self, records: Sequence[OrderRecord]) -> list[OrderRecord]:
        new = self._new_ns()
        return [record for record in records if record.created_ns < new]


def _agrees(wanted: dict[str, str], **have: str) -> bool:
    return all(not wanted.get(name) or wanted[name] == value for name, value in have.items())


def _wanted(trade: TradeRecord, wanted: dict[str, str], account: str) -> bool:
    made_s = trade.time_ns // SECOND
    before, after = wanted.get("before", ""), wanted.get("after", "")
    if before.isdecimal() and made_s >= int(before):
        return False
    if after.isdecimal() and made_s <= int(after):
        return False
    maker = wanted.get("maker_address", "").lower()
    parties = (trade.taker, trade.maker)
    own = {party.address.lower() for party in parties if party.account == account}
    if maker and maker not in own:
        return False
    return _agrees(wanted, market=trade.market, asset_id=token_of(trade.instrument), id=trade.id)
