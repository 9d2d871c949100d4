"""What anyone may ask of the CLOB: markets, books, prices."""

from collections.abc import Callable

from betatrader.model.instrument import BinaryContract
from betatrader.model.money import parse, show
from betatrader.net.transport import Answer, Request
from betatrader.ops import clock
from betatrader.venues.polymarket.serve.answers import (
    RefusedRequestError,
    asked,
    body_of,
    granted,
    number,
    page,
)
from betatrader.venues.polymarket.serve.books import View
from betatrader.venues.polymarket.serve.listings import Market, token_of
from betatrader.venues.polymarket.serve.state import State

NO_BOOK = "No orderbook exists for the requested token id"
MOST_ASKED = 500
SPANS_S = {"max": 1 << 40, "1w": 604_800, "1d": 86_400, "6h": 21_600, "1h": 3_600}


class Reading:
    """Answers the CLOB's public questions."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def ok(self, request: Request) -> Answer:  # noqa: ARG002
        """GET /ok."""
        return granted("OK")

    async def time(self, request: Request) -> Answer:  # noqa: ARG002
        """GET /time: Unix seconds."""
        return granted(clock.now_ns() // 1_000_000_000)

    async def version(self, request: Request) -> Answer:  # noqa: ARG002
        """GET /version."""
        return granted({"version": 2})

    async def markets(self, request: Request) -> Answer:
        """GET /markets, and /sampling-markets."""
        listings = self._state.listings
        shown = [listings.clob(market) for market in listings.complete()]
        return granted(page(shown, asked(request).get("next_cursor", "")))

    async def simplified(self, request: Request) -> Answer:
        """GET /simplified-markets, and /sampling-simplified-markets."""
        listings = self._state.listings
        shown = [listings.simplified(market) for market in listings.complete()]
        return granted(page(shown, asked(request).get("next_cursor", "")))

    async def market(self, request: Request) -> Answer:
        """GET /markets/{condition}."""
        return granted(self._state.listings.clob(self._market(request)))

    async def compact(self, request: Request) -> Answer:
        """GET /clob-markets/{condition}."""
        return granted(self._state.listings.compact(self._market(request)))

    async def by_token(self, request: Request) -> Answer:
        """GET /markets-by-token/{token}."""
        found = self._state.listings.find(request.path.rpartition("/")[2])
        if found is None:
            raise RefusedRequestError(404, "market not found")
        tokens = [token_of(token.id) for token in found[0].tokens]
        return granted(
            {
                "condition_id": found[0].condition,
                "primary_token_id": tokens[0],
                "secondary_token_id": tokens[-1],
            }
        )

    async def book(self, request: Request) -> Answer:
        """GET /book."""
        market, contract, _ = self._asked(request)
        return granted(self._state.books.document(market, contract, clock.now_ns()))

    async def books(self, request: Request) -> Answer:
        """POST /books: those that are known."""
        now_ns = clock.now_ns()
        found = [self._token(token) for token, _ in self._named(request)]
        books = self._state.books
        return granted([books.document(one[0], one[1], now_ns) for one in found if one])

    async def price(self, request: Request) -> Answer:
        """GET /price: the best level of the side that is asked for."""
        side = asked(request).get("side", "").upper()
        if side not in ("BUY", "SELL"):
            raise RefusedRequestError(400, "Invalid side")
        _, _, view = self._asked(request)
        return granted({"price": _price(view, side)})

    async def midpoint(self, request: Request) -> Answer:
        """GET /midpoint."""
        return granted({"mid": _middle(self._asked(request)[2])})

    async def spread(self, request: Request) -> Answer:
        """GET /spread."""
        return granted({"spread": _spread(self._asked(request)[2])})

    async def last_trade(self, request: Request) -> Answer:
        """GET /last-trade-price."""
        view = self._asked(request)[2]
        return granted({"price": view.last_price or "0.5", "side": view.last_side})

    async def prices(self, request: Request) -> Answer:
        """POST /prices."""
        shown: dict[str, dict[str, str]] = {}
        for token, side in self._named(request):
            found = self._token(token)
            if found is not None:
                for one in [side] if side in ("BUY", "SELL") else ["BUY", "SELL"]:
                    shown.setdefault(token, {})[one] = _price(found[2], one)
        return granted(shown)

    async def midpoints(self, request: Request) -> Answer:
        """POST /midpoints."""
        return self._each(request, _middle)

    async def spreads(self, request: Request) -> Answer:
        """POST /spreads."""
        return self._each(request, _spread)

    async def last_trades(self, request: Request) -> Answer:
        """POST /last-trades-prices."""
        shown = []
        for token, _ in self._named(request):
            found = self._token(token)
            if found is not None and found[2].last_side:
                view = found[2]
                last = {"price": view.last_price, "side": view.last_side}
                shown.append({"token_id": token, **last})
        return granted(shown)

    async def tick_size(self, request: Request) -> Answer:
        """GET /tick-size."""
        return granted({"minimum_tick_size": number(self._asked(request)[1].tick)})

    async def neg_risk(self, request: Request) -> Answer:
        """GET /neg-risk."""
        return granted({"neg_risk": self._asked(request)[0].neg_risk})

    async def fee_rate(self, request: Request) -> Answer:
        """GET /fee-rate: what remains of V1; fees are in the compact parameters."""
        self._asked(request)
        return granted({"base_fee": 0})

    async def history(self, request: Request) -> Answer:
        """GET /prices-history: the last trades of a token."""
        wanted = asked(request)
        found = self._token(wanted.get("market", ""))
        if found is None:
            raise RefusedRequestError(400, "Invalid market")
        now_s = clock.now_ns() // 1_000_000_000
        span_s = SPANS_S.get(wanted.get("interval", "max"), SPANS_S["max"])
        start = int(wanted["startTs"]) if wanted.get("startTs", "").isdecimal() else now_s - span_s
        end = int(wanted["endTs"]) if wanted.get("endTs", "").isdecimal() else now_s
        points = [(at, price) for at, price in found[2].history if start <= at <= end]
        return granted({"history": [{"t": at, "p": number(parse(price))} for at, price in points]})

    def _market(self, request: Request) -> Market:
        market = self._state.listings.markets.get(request.path.rpartition("/")[2])
        if market is None or len(market.tokens) < 2:
            raise RefusedRequestError(404, "market not found")
        return market

    def _asked(self, request: Request) -> tuple[Market, BinaryContract, View]:
        token = asked(request).get("token_id", "")
        if not token.isdecimal():
            raise RefusedRequestError(400, "Invalid token id")
        found = self._token(token)
        if found is None:
            raise RefusedRequestError(404, NO_BOOK)
        return found

    def _token(self, token: str) -> tuple[Market, BinaryContract, View] | None:
        found, now_ns = self._state.listings.find(token), clock.now_ns()
        if found is None or found[0].resolved:
            return None
        self._state.news.refresh(found[1].id, now_ns)
        return (*found, self._state.books.view(token, now_ns))

    def _named(self, request: Request) -> list[tuple[str, str]]:
        """The tokens in a body, each with a side or without."""
        body = body_of(request)
        if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
            raise RefusedRequestError(400, "Invalid payload")
        if len(body) > MOST_ASKED:
            raise RefusedRequestError(400, "Payload exceeds the limit")
        return [(str(one.get("token_id", "")), str(one.get("side", "")).upper()) for one in body]

    def _each(self, request: Request, shown: Callable[[View], str]) -> Answer:
        found = {token: self._token(token) for token, _ in self._named(request)}
        return granted({token: shown(one[2]) for token, one in found.items() if one is not None})


def _price(view: View, side: str) -> str:
    return show(view.best_bid if side == "BUY" else view.best_ask)


def _middle(view: View) -> str:
    if not view.bids and not view.asks:
        return "0.5"
    return show((view.best_bid + (view.best_ask or 100_000_000)) // 2)


def _spread(view: View) -> str:
    return show((view.best_ask or 100_000_000) - view.best_bid)
