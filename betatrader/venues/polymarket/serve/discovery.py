"""The Gamma and Data APIs: which markets there are, and what a wallet holds."""

from betatrader.model.account import Fill
from betatrader.model.money import SCALE, cost
from betatrader.model.order import Side
from betatrader.net.transport import Answer, Request
from betatrader.sim.ledger import Ledger
from betatrader.venues.polymarket.serve.answers import (
    RefusedRequestError,
    asked,
    asked_many,
    cursor_of,
    granted,
    number,
    offset_of,
)
from betatrader.venues.polymarket.serve.listings import Market, token_of
from betatrader.venues.polymarket.serve.state import State

MOST_GAMMA = 100
USUAL_GAMMA = 20
MOST_DATA = 1_000


class Discovery:
    """Answers what is asked of Gamma and of the Data API."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def markets(self, request: Request) -> Answer:
        """GET /markets/keyset."""
        return self._page(request, "markets", [self._gamma(one) for one in self._wanted(request)])

    async def events(self, request: Request) -> Answer:
        """GET /events/keyset: one event for each market."""
        return self._page(request, "events", [self._event(one) for one in self._wanted(request)])

    async def market(self, request: Request) -> Answer:
        """GET /markets/{id} of Gamma, whose ids are plain numbers."""
        name = request.path.rpartition("/")[2]
        for market in self._state.listings.complete():
            if str(market.number) == name:
                return granted(self._gamma(market))
        raise RefusedRequestError(404, "id not found")

    async def geoblock(self, request: Request) -> Answer:
        """GET /api/geoblock, which the venue's web site answers."""
        blocked = bool(self._state.troubles.blocked_region)
        where = {"ip": request.address, "country": "ZZ", "region": ""}
        return granted({"blocked": blocked, **where})

    async def positions(self, request: Request) -> Answer:
        """GET /v2/positions."""
        wanted = asked(request)
        user = wanted.get("user", "")
        ledger = self._state.ledger(user)
        conditions = asked_many(request, "condition_id")
        rows = []
        for instrument, quantity in ledger.positions.items():
            found = self._state.listings.find(token_of(instrument))
            if found is None or quantity <= 0:
                continue
            if not conditions or found[0].condition in conditions:
                rows.append(self._position(user, ledger, token_of(instrument), quantity))
        return granted(_data_page(rows, wanted))

    async def trades(self, request: Request) -> Answer:
        """GET /v2/trades of a wallet."""
        wanted = asked(request)
        user = wanted.get("user", "")
        fills = [fill for fill in reversed(self._state.ledger(user).fills) if fill.order]
        return granted(_data_page([self._trade(user, fill) for fill in fills], wanted))

    async def value(self, request: Request) -> Answer:
        """GET /v2/value: what a wallet's positions are worth."""
        user = asked(request).get("user", "")
        total = 0
        for instrument, quantity in self._state.ledger(user).positions.items():
            found = self._state.listings.find(token_of(instrument))
            if found is not None:
                total += quantity * self._state.listings.price(*found) // SCALE
        return granted(_data_page([{"user": user, "value": number(total)}], {}))

    def _wanted(self, request: Request) -> list[Market]:
        conditions = asked_many(request, "condition_ids")
        tokens = asked_many(request, "clob_token_ids")
        ids, slugs = asked_many(request, "id"), asked_many(request, "slug")
        closed = asked(request).get("closed", "").lower()
        found = []
        for market in self._state.listings.complete():
            own = {token_of(token.id) for token in market.tokens}
            fits = (
                (not conditions or market.condition in conditions)
                and (not tokens or tokens & own)
                and (not ids or str(market.number) in ids)
                and (not slugs or self._gamma(market)["slug"] in slugs)
                and (closed not in ("true", "false") or market.resolved is (closed == "true"))
            )
            if fits:
                found.append(market)
        newest_first = asked(request).get("ascending", "").lower() == "false"
        return found[::-1] if newest_first else found

    def _gamma(self, market: Market) -> dict[str, object]:
        return self._state.listings.gamma(market)

    def _event(self, market: Market) -> dict[str, object]:
        whole = self._gamma(market)
        kept = ("id", "slug", "description", "active", "closed", "archived", "negRisk")
        dates = ("startDate", "endDate")
        shown = {name: whole[name] for name in (*kept, *dates)}
        return {**shown, "title": whole["question"], "markets": [whole]}

    def _page(self, request: Request, name: str, items: list[dict[str, object]]) -> Answer:
        wanted = asked(request)
        limit = wanted.get("limit", "")
        size = min(int(limit) if limit.isdecimal() else USUAL_GAMMA, MOST_GAMMA)
        start = offset_of(wanted.get("after_cursor", "") or wanted.get("next_cursor", ""))
        shown: dict[str, object] = {name: items[start : start + size]}
        if start + size < len(items):
            shown["next_cursor"] = cursor_of(start + size)
        return granted(shown)

    def _position(self, user: str, ledger: Ledger, token: str, quantity: int) -> dict[str, object]:
        listings = self._state.listings
        found = listings.find(token)
        assert found is not None
        market, contract = found
        fills = [fill for fill in ledger.fills if fill.instrument == contract.id]
        paid, realized, fees = _history(fills)
        price = listings.price(market, contract)
        value = price * quantity // SCALE
        average = paid * SCALE // quantity
        other = listings.opposite(token)
        index = [token_of(one.id) for one in market.tokens].index(token)
        names = {token_of(one.id): one.outcome for one in market.tokens}
        return {
            "proxy_wallet": user,
            "token_id": token,
            "condition_id": market.condition,
            "current_size": number(quantity),
            "total_size": number(quantity),
            "avg_price": number(average),
            "entry_cost_usdc": number(paid),
            "entry_fees_usdc": number(fees),
            "total_cost_usdc": number(paid + fees),
            "current_price": number(price),
            "current_value": number(value),
            "realized_pnl": number(realized),
            "unrealized_pnl": number(value - paid),
            "total_pnl": number(realized + value - paid),
            "percent_pnl": number((value - paid) * 100 * SCALE // paid if paid else 0),
            "percent_realized_pnl": number(0),
            "status": "REDEEMABLE" if market.resolved else "OPEN",
            "redeemable": market.resolved,
            "mergeable": ledger.held(contract.complement) > 0,
            "negative_risk": market.neg_risk,
            "archived": False,
            "verified": False,
            "title": self._gamma(market)["question"],
            "slug": self._gamma(market)["slug"],
            "outcome": contract.outcome,
            "outcome_index": index,
            "opposite_outcome": names.get(other, ""),
            "opposite_token_id": other,
        }

    def _trade(self, user: str, fill: Fill) -> dict[str, object]:
        token = token_of(fill.instrument)
        found = self._state.listings.find(token)
        return {
            "proxy_wallet": user,
            "token_id": token,
            "condition_id": found[0].condition if found is not None else "",
            "side": str(fill.side),
            "size": number(fill.quantity),
            "price": number(fill.price),
            "timestamp": fill.time_ns // 1_000_000_000,
            "outcome": found[1].outcome if found is not None else "",
        }


def _history(fills: list[Fill]) -> tuple[int, int, int]:
    """What the shares that are still held cost, what was gained on those sold, and all fees."""
    held = paid = realized = fees = 0
    for fill in fills:
        fees += fill.fee
        if fill.side is Side.BUY:
            held += fill.quantity
            paid += cost(fill.price, fill.quantity)
        elif held > 0:
            sold = min(fill.quantity, held)
            share = paid * sold // held
            realized += fill.price * sold // SCALE - share
            held, paid = held - sold, paid - share
    return paid, realized, fees


def _data_page(rows: list[dict[str, object]], wanted: dict[str, str]) -> dict[str, object]:
    limit = wanted.get("limit", "")
    size = min(int(limit) if limit.isdecimal() else USUAL_GAMMA, MOST_DATA)
    start = offset_of(wanted.get("cursor", ""))
    more = start + size < len(rows)
    following = cursor_of(start + size) if more else None
    pagination = {"has_more": more, "next_cursor": following}
    return {"data": rows[start : start + size], "pagination": pagination}
