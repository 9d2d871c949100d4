"""Orders and cancels as requests, and the dead-man switch."""

import uuid
from collections.abc import Mapping

from betatrader.model.money import show
from betatrader.model.order import Side
from betatrader.net.transport import Answer, Request
from betatrader.ops import clock
from betatrader.venues.polymarket.serve import records
from betatrader.venues.polymarket.serve.answers import RefusedRequestError, body_of, granted
from betatrader.venues.polymarket.serve.authentication import ApiKey
from betatrader.venues.polymarket.serve.desk import Placing
from betatrader.venues.polymarket.serve.listings import token_of
from betatrader.venues.polymarket.serve.payload import (
    Sent,
    check_owner,
    draft,
    read_many,
    read_one,
)
from betatrader.venues.polymarket.serve.records import SECOND, OrderRecord
from betatrader.venues.polymarket.serve.state import State

MOST_ORDERS = 15
MOST_CANCELS = 1_000
BEAT_NS, CHECK_NS = 10 * SECOND, 5 * SECOND
"""So long after a heartbeat, at the next check, whatever rests is cancelled."""


class Trading:
    """Answers the requests that change something."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._beats: dict[str, str] = {}

    async def place(self, request: Request) -> Answer:
        """POST /order."""
        key, now_ns = self._admitted(request)
        sent = read_one(request.body)
        self._state.troubles.check_post_only(now_ns, post_only=sent.post_only)
        headers = self._state.limits.signer(key.address, now_ns, orders=1)
        placed = self._submit(sent, key, now_ns)
        self._state.advance(now_ns)
        return granted(self._shown(await placed.record()), headers)

    async def place_many(self, request: Request) -> Answer:
        """POST /orders: each order is taken or refused by itself."""
        key, now_ns = self._admitted(request)
        sent = read_many(request.body)
        if not sent or len(sent) > MOST_ORDERS:
            text = f"Too many orders in payload: {len(sent)}, max allowed: {MOST_ORDERS}"
            raise RefusedRequestError(400, text if sent else "Invalid order payload")
        headers = self._state.limits.signer(key.address, now_ns, orders=len(sent))
        outcomes: list[Placing | str] = []
        for one in sent:
            try:
                self._state.troubles.check_post_only(now_ns, post_only=one.post_only)
                outcomes.append(self._submit(one, key, now_ns))
            except RefusedRequestError as refused:
                outcomes.append(refused.text)
        self._state.advance(now_ns)
        return granted([await self._outcome(one) for one in outcomes], headers)

    async def cancel(self, request: Request) -> Answer:
        """DELETE /order."""
        body = body_of(request)
        name = body.get("orderID") if isinstance(body, dict) else None
        if not isinstance(name, str) or not name.startswith("0x"):
            self._state.trader(request)
            raise RefusedRequestError(400, "Invalid orderID")
        return await self._cancel(request, [name], 1)

    async def cancel_many(self, request: Request) -> Answer:
        """DELETE /orders."""
        body = body_of(request)
        if not isinstance(body, list) or not all(isinstance(name, str) for name in body):
            self._state.trader(request)
            raise RefusedRequestError(400, "Invalid order payload")
        if len(body) > MOST_CANCELS:
            text = f"Too many orders in payload: {len(body)}, max allowed: {MOST_CANCELS}"
            raise RefusedRequestError(400, text)
        return await self._cancel(request, body, max(1, len(body)))

    async def cancel_all(self, request: Request) -> Answer:
        """DELETE /cancel-all."""
        key = self._state.trader(request)
        names = [record.id for record in self._state.desk.working(key.address)]
        return await self._cancel(request, list(names), 1 + len(names))

    async def cancel_market(self, request: Request) -> Answer:
        """DELETE /cancel-market-orders: of a market, of a token, or of both."""
        key, body = self._state.trader(request), body_of(request)
        if not isinstance(body, dict):
            raise RefusedRequestError(400, "Invalid payload")
        market, token = body.get("market"), body.get("asset_id")
        names = [
            record.id
            for record in self._state.desk.working(key.address)
            if (not market or record.market == market)
            and (not token or token_of(record.instrument) == token)
        ]
        return await self._cancel(request, list(names), 1 + len(names))

    async def heartbeat(self, request: Request) -> Answer:
        """POST /v1/heartbeats: arms the switch anew, with the id of the next."""
        key, body = self._state.trader(request), body_of(request)
        given = body.get("heartbeat_id") if isinstance(body, dict) else None
        expected = self._beats.get(key.key, "")
        if (given or "") != expected:
            text = "Invalid Heartbeat ID"
            raise RefusedRequestError(400, text, error_msg=text, heartbeat_id=expected)
        following = str(uuid.uuid5(uuid.UUID(key.key), f"beat {clock.now_ns()} {expected}"))
        self._beats[key.key] = following
        due_ns = -(-(clock.now_ns() + BEAT_NS) // CHECK_NS) * CHECK_NS
        self._state.agenda.at(due_ns, lambda: self._missed(key.key, following, due_ns))
        self._state.wake.set()
        return granted({"heartbeat_id": following, "error": None})

    def _missed(self, key: str, last: str, now_ns: int) -> None:
        if self._beats.get(key) == last:
            del self._beats[key]  # it is armed again by a first heartbeat
            self._state.desk.cancel_of_key(key, now_ns)

    def _admitted(self, request: Request) -> tuple[ApiKey, int]:
        """Who sends an order, where the venue takes any at all."""
        state = self._state
        state.troubles.check_region()
        key, now_ns = state.trader(request), clock.now_ns()
        state.troubles.check(now_ns)
        state.troubles.check_orders()
        if key.address in state.troubles.banned:
            raise RefusedRequestError(400, f"'{key.address}' address banned")
        return key, now_ns

    def _submit(self, sent: Sent, key: ApiKey, now_ns: int) -> Placing:
        check_owner(sent, key)
        state = self._state
        made = draft(sent, key, state.listings, now_ns)
        if key.address in state.troubles.closed_only and made.terms.side is Side.BUY:
            raise RefusedRequestError(400, f"'{key.address}' address in closed only mode")
        state.wallets.setdefault(made.record.maker, key.address)
        return state.desk.submit(made, now_ns, state.rules.taker_delay_ns)

    async def _outcome(self, outcome: Placing | str) -> dict[str, object]:
        if isinstance(outcome, Placing):
            try:
                return self._shown(await outcome.record())
            except RefusedRequestError as refused:
                outcome = refused.text
        return _answer("", "", error=outcome)

    def _shown(self, record: OrderRecord) -> dict[str, object]:
        if record.status == "DELAYED":
            return _answer(record.id, "delayed")
        if not record.matched:
            return _answer(record.id, "live")
        spent, matched = show(record.spent), show(record.matched)
        making, taking = (spent, matched) if record.side is Side.BUY else (matched, spent)
        shown = _answer(record.id, "matched")
        shown |= {"makingAmount": making, "takingAmount": taking, "tradeIDs": list(record.trades)}
        if record.order_type in ("GTC", "GTD"):
            trades = self._state.desk.settlement.trades
            numbers = [trades[name].number for name in record.trades if name in trades]
            shown["transactionsHashes"] = [records.transaction(number) for number in numbers]
        return shown

    async def _cancel(self, request: Request, names: list[str], cost: int) -> Answer:
        state = self._state
        key, now_ns = state.trader(request), clock.now_ns()
        state.troubles.check(now_ns)
        headers = state.limits.signer(key.address, now_ns, cancels=cost)
        waits = {name: state.desk.withdraw(name, key.address, now_ns) for name in names}
        state.advance(now_ns)
        for wait in waits.values():
            await wait.done.wait()
        refusals = {name: wait.refusal for name, wait in waits.items()}
        return granted(_canceled(refusals), headers)


def _canceled(refusals: Mapping[str, str]) -> dict[str, object]:
    return {
        "canceled": [name for name, refusal in refusals.items() if not refusal],
        "not_canceled": {name: refusal for name, refusal in refusals.items() if refusal},
    }


def _answer(order: str, status: str, *, error: str = "") -> dict[str, object]:
    return {
        "success": True,
        "errorMsg": error,
        "orderID": order,
        "status": status,
        "makingAmount": "",
        "takingAmount": "",
        "transactionsHashes": [],
        "tradeIDs": [],
    }
