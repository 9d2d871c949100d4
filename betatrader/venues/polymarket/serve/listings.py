"""The markets: one condition and its two tokens, as the CLOB and Gamma describe them."""

from collections.abc import Collection, Iterator

import msgspec

from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract, BinaryFees
from betatrader.model.money import SCALE, Price, show
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.venues.polymarket.serve.answers import number

SLUGS = "simulated-market-"
"""How the names of all markets here begin."""

RESOLVED_KEPT = 500


def token_of(instrument: str) -> str:
    """The token id in an instrument's name."""
    return instrument.rpartition(".")[0]


class Market(msgspec.Struct):
    """One condition. `tokens` holds YES first; `winner` is a token id once it is decided."""

    condition: str
    number: int
    listed_ns: int
    neg_risk: bool
    tokens: list[BinaryContract] = []
    resolved: bool = False
    winner: str = ""
    closed_ns: int = 0


class Listings:
    """All markets, by condition and by token."""

    def __init__(
        self, exchange: SimulatedExchange, least_size: int, neg_risk: Collection[str]
    ) -> None:
        self.markets: dict[str, Market] = {}
        self.least_size = least_size
        self.enforced_tick = 0
        """The tick that orders are held to whatever is stated; 0: what is stated."""
        self._exchange = exchange
        self._neg_risk = neg_risk
        self._made = 0
        self._tokens: dict[str, tuple[Market, BinaryContract]] = {}

    def add(self, contract: BinaryContract, now_ns: int) -> Market:
        """List a token, or take its new rules."""
        market = self.markets.get(contract.event)
        if market is None:
            self._made += 1
            number_ = self._made
            self._forget_one()
            neg_risk = contract.event in self._neg_risk
            market = Market(contract.event, number_, now_ns, neg_risk)
            self.markets[contract.event] = market
        others = [token for token in market.tokens if token.id != contract.id]
        market.tokens = sorted([*others, contract], key=_yes_first)
        self._tokens[token_of(contract.id)] = (market, contract)
        return market

    def _forget_one(self) -> None:
        """Forget the oldest that is decided, where there are too many."""
        decided = [one for one in self.markets.values() if one.resolved]
        if len(decided) > RESOLVED_KEPT:
            for token in decided[0].tokens:
                self._tokens.pop(token_of(token.id), None)
            del self.markets[decided[0].condition]

    def find(self, token: str) -> tuple[Market, BinaryContract] | None:
        """A token's market and contract."""
        return self._tokens.get(token)

    def enforced(self, contract: BinaryContract) -> BinaryContract:
        """A contract with the rules that orders are held to."""
        tick = Price(self.enforced_tick)
        return msgspec.structs.replace(contract, tick=tick) if tick else contract

    def complete(self) -> Iterator[Market]:
        """The markets of which both tokens are listed, oldest first."""
        return (market for market in self.markets.values() if len(market.tokens) == 2)

    def accepts(self, market: Market) -> bool:
        """Whether orders are taken now."""
        pools = (self._exchange.pools.get(token.id) for token in market.tokens)
        return not market.resolved and any(pool is not None and pool.tradable for pool in pools)

    def opposite(self, token: str) -> str:
        """The other token of the same market."""
        found = self._tokens.get(token)
        return "" if found is None else token_of(found[1].complement)

    def top(self, instrument: InstrumentId) -> tuple[int, int]:
        """Best recorded bid and ask; 0 for what is not there."""
        pool = self._exchange.pools.get(instrument)
        if pool is None or pool.ended:
            return 0, 0
        if pool.quote is not None and pool.quote.update_id >= pool.book.update_id:
            return pool.quote.bid, pool.quote.ask
        return pool.book.best_bid, pool.book.best_ask

    def price(self, market: Market, token: BinaryContract) -> int:
        """What a token is worth by its book: the middle, or what was paid at its end."""
        if market.resolved:
            if not market.winner:
                return SCALE // 2
            return SCALE if market.winner == token_of(token.id) else 0
        bid, ask = self.top(token.id)
        return (bid + (ask or SCALE)) // 2 if bid or ask else SCALE // 2

    def clob(self, market: Market) -> dict[str, object]:
        """As `/markets/{condition}` has it."""
        first = market.tokens[0]
        return {
            "enable_order_book": True,
            "active": True,
            "closed": market.resolved,
            "archived": False,
            "accepting_orders": self.accepts(market),
            "accepting_order_timestamp": clock.iso(market.listed_ns),
            "minimum_order_size": number(self.least_size),
            "minimum_tick_size": number(first.tick),
            "condition_id": market.condition,
            "question_id": market.condition,
            "question": _question(market),
            "description": first.resolution_source,
            "market_slug": _slug(market),
            "end_date_iso": clock.iso(first.expires_ns),
            "game_start_time": None,
            "seconds_delay": 0,
            "fpmm": "",
            "maker_base_fee": 0,
            "taker_base_fee": 0,
            "notifications_enabled": True,
            "neg_risk": market.neg_risk,
            "neg_risk_market_id": "",
            "neg_risk_request_id": "",
            "icon": "",
            "image": "",
            "rewards": {"rates": None, "min_size": 0, "max_spread": 0},
            "is_50_50_outcome": False,
            "tokens": [
                {
                    "token_id": token_of(token.id),
                    "outcome": token.outcome,
                    "price": number(self.price(market, token)),
                    "winner": market.winner == token_of(token.id),
                }
                for token in market.tokens
            ],
            "tags": ["Simulated"],
        }

    def simplified(self, market: Market) -> dict[str, object]:
        """As `/simplified-markets` has it."""
        whole = self.clob(market)
        kept = ("condition_id", "rewards", "tokens", "active", "closed", "archived")
        return {name: whole[name] for name in (*kept, "accepting_orders")}

    def compact(self, market: Market) -> dict[str, object]:
        """As `/clob-markets/{condition}` has it; what is false is left out as there."""
        first = market.tokens[0]
        shown: dict[str, object] = {
            "t": [{"t": token_of(token.id), "o": token.outcome} for token in market.tokens],
            "mts": number(first.tick),
            "mos": number(self.least_size),
            "mbf": 0,
            "tbf": 0,
            "fd": {"r": number(_rate(first)), "e": 1, "to": first.fees.maker_rate == 0},
            "gst": None,
            "r": {},
            "rfqe": False,
            "ibce": False,
            "oas": 0,
        }
        if market.neg_risk:
            shown["nr"] = True
        return shown

    def gamma(self, market: Market) -> dict[str, object]:
        """As Gamma has it: camel case, and arrays as JSON text."""
        first = market.tokens[0]
        prices = [show(self.price(market, token)) for token in market.tokens]
        bid, ask = self.top(first.id)
        shown: dict[str, object] = {
            "id": str(market.number),
            "question": _question(market),
            "conditionId": market.condition,
            "version": "v1",
            "slug": _slug(market),
            "description": first.resolution_source,
            "resolutionSource": first.resolution_source,
            "active": True,
            "closed": market.resolved,
            "archived": False,
            "acceptingOrders": self.accepts(market),
            "enableOrderBook": True,
            "negRisk": market.neg_risk,
            "outcomes": _text([token.outcome for token in market.tokens]),
            "outcomePrices": _text(prices),
            "clobTokenIds": _text([token_of(token.id) for token in market.tokens]),
            "orderPriceMinTickSize": number(first.tick),
            "orderMinSize": number(self.least_size),
            "secondsDelay": 0,
            "feesEnabled": _rate(first) > 0,
            "feeType": "simulated",
            "feeSchedule": {
                "exponent": 1,
                "rate": number(_rate(first)),
                "takerOnly": first.fees.maker_rate == 0,
                "rebateRate": 0,
            },
            "bestBid": number(bid),
            "bestAsk": number(ask or SCALE),
            "lastTradePrice": number(self.price(market, first)),
            "volumeNum": 0,
            "liquidityNum": 0,
            "startDate": clock.iso(market.listed_ns),
            "endDate": clock.iso(first.expires_ns),
            "groupItemTitle": "",
            "events": [{"id": str(market.number), "slug": _slug(market)}],
        }
        if market.resolved:
            shown["closedTime"] = clock.iso(market.closed_ns)
            shown["umaResolutionStatus"] = "resolved"
        return shown

    def announcement(self, market: Market, now_ns: int) -> dict[str, object]:
        """As the market channel says that a market is new."""
        tokens = [token_of(token.id) for token in market.tokens]
        return {
            "event_type": "new_market",
            "id": str(market.number),
            "question": _question(market),
            "market": market.condition,
            "slug": _slug(market),
            "description": market.tokens[0].resolution_source,
            "assets_ids": tokens,
            "outcomes": [token.outcome for token in market.tokens],
            "event_message": {"id": str(market.number), "title": _question(market)},
            "timestamp": str(now_ns // 1_000_000),
            "tags": ["Simulated"],
            "condition_id": market.condition,
            "active": True,
            "clob_token_ids": tokens,
            "order_price_min_tick_size": show(market.tokens[0].tick),
            "group_item_title": "",
        }


def _yes_first(token: BinaryContract) -> int:
    return 0 if token.outcome.lower() == "yes" else 1


def _rate(token: BinaryContract) -> int:
    return token.fees.taker_rate if isinstance(token.fees, BinaryFees) else 0


def _question(market: Market) -> str:
    return f"Simulated market {market.number}: {market.condition[:10]}"


def _slug(market: Market) -> str:
    return f"{SLUGS}{market.number}"


def _text(items: list[str]) -> str:
    return msgspec.json.encode(items).decode()
