"""What each request does, whichever way it came: one table for REST and the WebSocket API."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from betatrader.model.instrument import ProportionalFees, Spot
from betatrader.sim.exchange import SimulatedExchange
from betatrader.venues.binance.serve import books, prevention
from betatrader.venues.binance.serve.amending import MOST_AMENDS, Amending
from betatrader.venues.binance.serve.books import Record, text
from betatrader.venues.binance.serve.market import Market, symbol_of
from betatrader.venues.binance.serve.requests import Account, Parameters, Refusal
from betatrader.venues.binance.serve.trading import KINDS, Trading
from betatrader.venues.binance.serve.weights import Weights

MOST_LEVELS, MOST_ROWS = 5_000, 1_000
FRESH_MS, FRESH_TRADES_MS = 9_000, 2_000
"""Orders of so late are what a forgetful answer does not know, and executions of such orders."""

Handler = Callable[[Account, Parameters], Awaitable[Any]]


class Operation(NamedTuple):
    """A request: its handler, its weight, and whether it is signed, and places an order."""

    handle: Handler
    weight: int
    signed: bool = True
    places: bool = False
    trades: bool = False


class Operations:
    """All requests by their WebSocket names; REST's are `PATHS`. `forgets` says whether an answer
    does not know what is new."""

    def __init__(
        self,
        exchange: SimulatedExchange,
        market: Market,
        trading: Trading,
        weights: Weights,
        now_ms: Callable[[], int],
    ) -> None:
        self.forgets: Callable[[], bool] = lambda: False
        self._exchange = exchange
        self._market = market
        self._trading = trading
        self._weights = weights
        self._now_ms = now_ms
        amending = Amending(exchange, trading)
        self.by_name: dict[str, Operation] = {
            "ping": Operation(self._ping, 1, signed=False),
            "time": Operation(self._time, 1, signed=False),
            "exchangeInfo": Operation(self._exchange_info, 20, signed=False),
            "depth": Operation(self._depth, 5, signed=False),
            "trades.recent": Operation(self._trades, 25, signed=False),
            "trades.aggregate": Operation(self._aggregate, 4, signed=False),
            "klines": Operation(self._klines, 2, signed=False),
            "ticker.book": Operation(self._ticker, 2, signed=False),
            "order.place": Operation(self._place, 1, places=True, trades=True),
            "order.test": Operation(self._test, 1, trades=True),
            "order.status": Operation(self._status, 4),
            "order.cancel": Operation(self._cancel, 1, trades=True),
            "order.cancelReplace": Operation(self._replace, 1, places=True, trades=True),
            "order.amend.keepPriority": Operation(amending.amend, 4, trades=True),
            "order.amendments": Operation(amending.amendments, 4),
            "openOrders.status": Operation(self._open, 6),
            "openOrders.cancelAll": Operation(self._cancel_all, 1, trades=True),
            "allOrders": Operation(self._all, 20),
            "myTrades": Operation(self._my_trades, 20),
            "account.status": Operation(self._account, 20),
            "account.commission": Operation(self._commission, 20),
            "account.rateLimits.orders": Operation(self._limits, 40),
            "apiRestrictions": Operation(self._restrictions, 1),
            "tradeFee": Operation(self._trade_fee, 1),
        }

    # The market.

    async def _ping(self, _account: Account, _parameters: Parameters) -> Any:
        return {}

    async def _time(self, _account: Account, _parameters: Parameters) -> Any:
        return {"serverTime": self._now_ms()}

    async def _exchange_info(self, _account: Account, parameters: Parameters) -> Any:
        wanted = parameters.get("symbols") or parameters.get("symbol", "")
        names = [name.strip('" ') for name in wanted.strip("[]").split(",") if name]
        for name in names:
            self._market.pool(name)
        spots = [s for s in self._market.spots() if not names or symbol_of(s.id) in names]
        return {
            "timezone": "UTC",
            "serverTime": self._now_ms(),
            "rateLimits": self._weights.stated(),
            "exchangeFilters": [],
            "symbols": [self._symbol(spot) for spot in spots],
        }

    def _symbol(self, spot: Spot) -> dict[str, Any]:
        tradable = self._exchange.pools[spot.id].tradable
        only = "CANCEL_ONLY" if self._trading.cancel_only else "TRADING"
        filters = [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": text(spot.tick),
                "maxPrice": "1000000.00000000",
                "tickSize": text(spot.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": text(spot.lot),
                "maxQty": "9000.00000000",
                "stepSize": text(spot.lot),
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": "100.00000000",
                "stepSize": "0.00000000",
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": text(spot.min_notional),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": MOST_AMENDS},
        ]
        return {
            "symbol": symbol_of(spot.id),
            "status": only if tradable else "HALT",
            "baseAsset": spot.base,
            "baseAssetPrecision": 8,
            "quoteAsset": spot.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": list(KINDS),
            "icebergAllowed": False,
            "ocoAllowed": False,
            "otoAllowed": False,
            "opoAllowed": False,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": False,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "pegInstructionsAllowed": False,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": filters,
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": prevention.DEFAULT,
            "allowedSelfTradePreventionModes": list(prevention.ALLOWED),
        }

    async def _depth(self, _account: Account, parameters: Parameters) -> Any:
        return self._market.depth(parameters.get("symbol", ""), _limit(parameters, MOST_LEVELS))

    async def _trades(self, _account: Account, parameters: Parameters) -> Any:
        return self._market.trades(parameters.get("symbol", ""), _limit(parameters, MOST_ROWS))

    async def _aggregate(self, account: Account, parameters: Parameters) -> Any:
        return [
            {
                "a": one["id"],
                "p": one["price"],
                "q": one["qty"],
                "f": one["id"],
                "l": one["id"],
                "T": one["time"],
                "m": one["isBuyerMaker"],
                "M": True,
            }
            for one in await self._trades(account, parameters)
        ]

    async def _klines(self, _account: Account, parameters: Parameters) -> Any:
        self._market.pool(parameters.get("symbol", ""))
        return []

    async def _ticker(self, _account: Account, parameters: Parameters) -> Any:
        symbol = parameters.get("symbol", "")
        if symbol:
            return self._market.ticker(symbol)
        return [self._market.ticker(symbol_of(spot.id)) for spot in self._market.spots()]

    # Orders.

    async def _test(self, account: Account, parameters: Parameters) -> Any:
        self._trading.checked(account.owner, parameters)
        return {}

    async def _place(self, account: Account, parameters: Parameters) -> Any:
        record = self._trading.checked(account.owner, parameters)
        return self._worded(await self._trading.place(account.owner, record), parameters)

    def _worded(self, record: Record, parameters: Parameters) -> dict[str, Any]:
        usual = "ACK" if record.kind == "LIMIT_MAKER" else "FULL"
        match parameters.get("newOrderRespType", usual):
            case "ACK":
                return record.acknowledged()
            case "RESULT":
                return record.result()
        return record.full(self._market.pool(record.symbol)[0])

    async def _status(self, account: Account, parameters: Parameters) -> Any:
        record = self._trading.found(account.owner, parameters)
        if not self._known(record, forgets=self.forgets()):
            raise Refusal(400, -2013, "Order does not exist.")
        return record.queried()

    def _known(self, record: Record, *, forgets: bool, fresh_ms: int = FRESH_MS) -> bool:
        return not forgets or self._now_ms() - record.time_ms >= fresh_ms

    async def _cancel(self, account: Account, parameters: Parameters) -> Any:
        return (await self._trading.cancel(account.owner, parameters)).canceled()

    async def _cancel_all(self, account: Account, parameters: Parameters) -> Any:
        symbol = parameters.get("symbol", "")
        self._market.pool(symbol)
        open_ = self._trading.of(account.owner).open(symbol)
        if not open_:
            raise Refusal(400, -2011, "Unknown order sent.")
        return [
            (
                await self._trading.cancel(
                    account.owner, {"symbol": symbol, "orderId": str(record.number)}
                )
            ).canceled()
            for record in open_
        ]

    async def _replace(self, account: Account, parameters: Parameters) -> Any:
        """A cancel and an order; where the cancel fails, the order follows only if asked for."""
        mode = parameters.get("cancelReplaceMode", "")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise Refusal(400, -1102, "Mandatory parameter 'cancelReplaceMode' was not sent.")
        cancels = {n: v for n, v in parameters.items() if n != "newClientOrderId"}
        if "cancelNewClientOrderId" in parameters:
            cancels["newClientOrderId"] = parameters["cancelNewClientOrderId"]
        answer: dict[str, Any] = {
            "cancelResult": "SUCCESS",
            "newOrderResult": "NOT_ATTEMPTED",
            "cancelResponse": None,
            "newOrderResponse": None,
        }
        try:
            answer["cancelResponse"] = await self._cancel(account, cancels)
        except Refusal as refusal:
            answer["cancelResult"], answer["cancelResponse"] = "FAILURE", refusal.body()
            if mode == "STOP_ON_FAILURE":
                raise Refusal(400, -2022, "Order cancel-replace failed.", answer) from None
        try:
            answer["newOrderResponse"] = await self._place(account, parameters)
            answer["newOrderResult"] = "SUCCESS"
        except Refusal as refusal:
            answer["newOrderResult"], answer["newOrderResponse"] = "FAILURE", refusal.body()
        failed = [answer[n] == "FAILURE" for n in ("cancelResult", "newOrderResult")]
        if all(failed):
            raise Refusal(400, -2022, "Order cancel-replace failed.", answer)
        if any(failed):
            raise Refusal(409, -2021, "Order cancel-replace partially failed.", answer)
        return answer

    async def _open(self, account: Account, parameters: Parameters) -> Any:
        forgets = self.forgets()
        open_ = self._trading.of(account.owner).open(parameters.get("symbol", ""))
        return [one.queried() for one in open_ if self._known(one, forgets=forgets)]

    async def _all(self, account: Account, parameters: Parameters) -> Any:
        symbol = parameters.get("symbol", "")
        self._market.pool(symbol)
        first = int(parameters.get("orderId") or 0)
        found = [
            record.queried()
            for record in self._trading.of(account.owner).orders.values()
            if record.symbol == symbol and record.number >= first
        ]
        limit = _limit(parameters, MOST_ROWS)
        return found[:limit] if first else found[-limit:]

    async def _my_trades(self, account: Account, parameters: Parameters) -> Any:
        symbol = parameters.get("symbol", "")
        spot, forgets = self._market.pool(symbol)[0], self.forgets()
        since, after = int(parameters.get("startTime") or 0), parameters.get("fromId", "")
        rows = [
            books.trade(record, one, spot)
            for record in self._trading.of(account.owner).orders.values()
            if record.symbol == symbol
            and parameters.get("orderId", str(record.number)) == str(record.number)
            and self._known(record, forgets=forgets, fresh_ms=FRESH_TRADES_MS)
            for one in record.executions
            if one.time_ms >= since and one.number >= int(after or 0)
        ]
        rows.sort(key=lambda row: row["id"])
        limit = _limit(parameters, MOST_ROWS)
        return rows[:limit] if since or after else rows[-limit:]

    # The account.

    async def _account(self, account: Account, parameters: Parameters) -> Any:
        stated = self._exchange.account((), account.owner)
        open_ = self._trading.of(account.owner).open()
        held = {str(name): quantity for name, quantity in stated.positions.items()}
        found = books.balances(self._market.spots(), stated.cash, held, open_)
        if parameters.get("omitZeroBalances") == "true":
            found = [one for one in found if (one["free"], one["locked"]) != (text(0), text(0))]
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": self._rates(None),
            "canTrade": account.can_trade,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self._now_ms(),
            "accountType": "SPOT",
            "balances": found,
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def _rates(self, spot: Spot | None) -> dict[str, str]:
        chosen = spot or next(iter(self._market.spots()), None)
        fees = chosen.fees if chosen is not None else None
        maker, taker = (
            (fees.maker_rate, fees.taker_rate) if isinstance(fees, ProportionalFees) else (0, 0)
        )
        none = text(0)
        return {"maker": text(maker), "taker": text(taker), "buyer": none, "seller": none}

    async def _commission(self, _account: Account, parameters: Parameters) -> Any:
        spot, _ = self._market.pool(parameters.get("symbol", ""))
        none = {name: text(0) for name in ("maker", "taker", "buyer", "seller")}
        return {
            "symbol": symbol_of(spot.id),
            "standardCommission": self._rates(spot),
            "specialCommission": none,
            "taxCommission": none,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": "0.75000000",
            },
        }

    async def _trade_fee(self, _account: Account, parameters: Parameters) -> Any:
        wanted = parameters.get("symbol", "")
        return [
            {
                "symbol": symbol_of(spot.id),
                "makerCommission": self._rates(spot)["maker"],
                "takerCommission": self._rates(spot)["taker"],
            }
            for spot in self._market.spots()
            if wanted in ("", symbol_of(spot.id))
        ]

    async def _limits(self, account: Account, _parameters: Parameters) -> Any:
        return self._weights.stated(account.owner, counts=True)[1:]

    async def _restrictions(self, account: Account, _parameters: Parameters) -> Any:
        return {
            "ipRestrict": False,
            "createTime": 0,
            "enableReading": True,
            "enableSpotAndMarginTrading": account.can_trade,
            "enableWithdrawals": account.can_withdraw,
            "enableInternalTransfer": False,
            "permitsUniversalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
            "enableVanillaOptions": False,
            "enablePortfolioMarginTrading": False,
        }


def _limit(parameters: Parameters, most: int) -> int:
    stated = parameters.get("limit", "")
    return max(1, min(int(stated), most)) if stated.isdigit() else min(500, most)
