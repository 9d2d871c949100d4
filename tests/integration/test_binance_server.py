"""The simulated Binance, by clients that nobody here wrote: ccxt, and the venue's own SDK."""

from collections.abc import Iterator
from typing import Any

import ccxt
import pytest
from binance_common.configuration import ConfigurationWebSocketAPI
from binance_common.errors import BadRequestError, UnauthorizedError
from binance_sdk_spot import Spot as SpotClient
from binance_sockets import COIN, PEM, Line, Running, ccxt_client, sdk
from running import until
from websockets.exceptions import InvalidStatus

from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    PublicTrade,
    Quote,
)
from betatrader.model.money import SCALE, parse
from betatrader.net.live import LiveTransport
from betatrader.ops import clock
from betatrader.venues.binance.serve import acts
from betatrader.venues.binance.serve.running import KEY, SECRET
from betatrader.venues.binance.serve.server import Troubles
from betatrader.venues.egress import Egress, of_binance

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def venue() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


def test_ccxt_reads_places_queries_cancels_and_sees_a_fill(venue: Running) -> None:
    client = ccxt_client(venue)
    markets = client.load_markets()
    precision = markets["BTC/USDT"]["precision"]
    assert (precision["amount"], precision["price"]) == (0.00001, 0.01)
    assert client.fetch_order_book("BTC/USDT", 5)["bids"][0][:2] == [50000.0, 1.0]
    order = client.create_order("BTC/USDT", "limit", "buy", 0.001, 49000)
    assert (order["status"], order["filled"]) == ("open", 0.0)
    assert client.fetch_order(order["id"], "BTC/USDT")["status"] == "open"
    assert [one["id"] for one in client.fetch_open_orders("BTC/USDT")] == [order["id"]]
    locked = client.fetch_balance()
    assert locked["USDT"] == {"free": 951.0, "used": 49.0, "total": 1000.0}
    assert client.cancel_order(order["id"], "BTC/USDT")["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(order["id"], "BTC/USDT")
    taken = client.create_order("BTC/USDT", "limit", "buy", 0.001, 50001)
    assert (taken["status"], taken["filled"], taken["average"]) == ("closed", 0.001, 50001.0)
    [trade] = client.fetch_my_trades("BTC/USDT")
    assert (trade["price"], trade["amount"], trade["takerOrMaker"]) == (50001.0, 0.001, "taker")
    assert trade["fee"] == {"cost": 0.000001, "currency": "BTC"}  # of what was bought
    ledger = venue.exchange.ledgers["us"]
    assert client.fetch_balance()["BTC"]["total"] == 0.000999
    assert ledger.cash == 1000 * SCALE - parse("50.001")
    sold = client.create_order("BTC/USDT", "limit", "sell", 0.0009, 50000)
    assert (sold["status"], sold["filled"]) == ("closed", 0.0009)
    assert client.fetch_my_trades("BTC/USDT")[-1]["fee"] == {"cost": 0.045, "currency": "USDT"}
    assert ledger.positions == {COIN: parse("0.000099")}


def test_ccxt_hears_the_venues_own_words_for_what_it_refuses(venue: Running) -> None:
    client = ccxt_client(venue)
    client.load_markets()

    def place(price: float, amount: float = 0.001, **more: Any) -> None:
        client.create_order("BTC/USDT", "limit", "buy", amount, price, more)

    with pytest.raises(ccxt.OrderImmediatelyFillable):
        place(50002, postOnly=True)
    with pytest.raises(ccxt.InsufficientFunds):
        place(49000, 1.0)
    place(49000, newClientOrderId="mine")
    with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
        place(49000, newClientOrderId="mine")
    client.cancel_order("", "BTC/USDT", {"clientOrderId": "mine"})
    place(49000, newClientOrderId="mine")
    assert len(client.fetch_orders("BTC/USDT")) == 2, "the id of one that has ended is free again"
    with pytest.raises(ccxt.AuthenticationError):
        ccxt_client(venue, secret="wrong").fetch_balance()
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        ccxt_client(venue, key="x" * 64).fetch_balance()


def test_ccxt_places_a_stop_that_waits_and_sells_as_the_market_falls(venue: Running) -> None:
    client = ccxt_client(venue)
    assert "STOP_LOSS_LIMIT" in client.load_markets()["BTC/USDT"]["info"]["orderTypes"]
    client.create_order("BTC/USDT", "limit", "buy", 0.001, 50001)
    with pytest.raises(ccxt.OrderImmediatelyFillable, match="would trigger immediately"):
        client.create_order("BTC/USDT", "limit", "sell", 0.0009, 45000, {"stopPrice": 50500})
    stop = client.create_order("BTC/USDT", "limit", "sell", 0.0009, 45000, {"stopPrice": 48000})
    shown = client.fetch_order(stop["id"], "BTC/USDT")
    assert (shown["status"], shown["stopPrice"]) == ("open", 48000.0)
    assert shown["info"]["isWorking"] is False
    assert client.fetch_balance()["BTC"]["used"] == 0.0009, "it is locked"
    venue.play(Quote(1, COIN, parse("47999"), SCALE, parse("48001"), SCALE, 9))
    until(lambda: client.fetch_order(stop["id"], "BTC/USDT")["status"] == "closed", 10)
    sold = client.fetch_order(stop["id"], "BTC/USDT")
    assert (sold["status"], sold["filled"], sold["average"]) == ("closed", 0.0009, 47999.0)


def test_the_official_sdk_reads_places_queries_cancels_and_sees_a_fill(venue: Running) -> None:
    client = sdk(venue)
    assert client.time().data().server_time > 0
    assert client.depth("BTCUSDT", limit=5).data().asks[0] == ["50001.00000000", "1.00000000"]
    placed = client.new_order(
        "BTCUSDT",
        "BUY",
        "LIMIT",
        time_in_force="GTC",
        quantity="0.001",
        price="49000",
        new_client_order_id="bt-1",
    ).data()
    assert (placed.status, placed.client_order_id) == ("NEW", "bt-1")
    found = client.get_order("BTCUSDT", orig_client_order_id="bt-1").data()
    assert (found.order_id, found.status) == (placed.order_id, "NEW")
    amended = client.order_amend_keep_priority(
        "BTCUSDT", "0.0005", order_id=placed.order_id, new_client_order_id="bt-1"
    ).data()
    assert (amended.amended_order.qty, amended.amended_order.status) == ("0.00050000", "NEW")
    cancelled = client.delete_order("BTCUSDT", order_id=placed.order_id).data()
    assert (cancelled.status, cancelled.orig_client_order_id) == ("CANCELED", "bt-1")
    taken = client.new_order("BTCUSDT", "BUY", "MARKET", quote_order_qty="100").data()
    assert taken.status == "FILLED"
    assert [fill.price for fill in taken.fills] == ["50001.00000000"]
    trades = client.my_trades("BTCUSDT").data()
    assert [(t.order_id, t.is_maker) for t in trades] == [(taken.order_id, False)]
    account = client.get_account().data()
    assert {b.asset for b in account.balances} == {"BTC", "USDT"}


def test_the_official_sdk_hears_of_wrong_signatures_prices_and_rights(venue: Running) -> None:
    with pytest.raises(BadRequestError, match="Signature for this request is not valid"):
        sdk(venue, secret="wrong").get_account()
    order = {"time_in_force": "GTC", "quantity": "0.001", "price": "49000.001"}
    with pytest.raises(BadRequestError, match="Filter failure: PRICE_FILTER"):
        sdk(venue).new_order("BTCUSDT", "BUY", "LIMIT", **order)
    with pytest.raises(UnauthorizedError, match="permissions"):
        sdk(venue, key="r" * 64, secret="read only").new_order(
            "BTCUSDT", "BUY", "LIMIT", **{**order, "price": "49000"}
        )


async def test_the_official_sdk_logs_on_by_ed25519_and_orders_over_the_websocket(
    venue: Running,
) -> None:
    settings = ConfigurationWebSocketAPI(
        api_key="e" * 64, private_key=PEM, stream_url=f"ws://{venue.base}/ws-api/v3"
    )
    client = SpotClient(config_ws_api=settings)
    line = await client.websocket_api.create_connection()
    try:
        await line.session_logon()
        status = (await line.session_status()).data()
        assert status.result.api_key == "e" * 64
        placed = await line.order_place(
            "BTCUSDT",
            "BUY",
            "LIMIT",
            time_in_force="GTC",
            price="49000",
            quantity="0.001",
            new_client_order_id="ws-1",
        )
        assert placed.data().result.status == "NEW"
        gone = await line.order_cancel("BTCUSDT", orig_client_order_id="ws-1")
        assert gone.data().result.status == "CANCELED"
    finally:
        await line.close_connection()


def test_a_book_rebuilt_from_the_stream_is_the_exchanges_own(venue: Running) -> None:
    line = Line(f"ws://{venue.base}/stream?streams=btcusdt@depth@100ms/btcusdt@trade")
    snapshot = venue.do(lambda: venue.server.market.depth("BTCUSDT", 10))
    venue.play(BookDelta(0, COIN, ((parse("50000"), 0), (parse("49998"), SCALE)), ()))
    venue.play(PublicTrade(0, COIN, parse("50001"), SCALE, True))
    again = BookSnapshot(0, COIN, ((parse("49990"), SCALE),), ((parse("49995"), SCALE),))
    venue.play(again)
    book = {"b": dict(map(tuple, snapshot["bids"])), "a": dict(map(tuple, snapshot["asks"]))}
    last = snapshot["lastUpdateId"]
    first, trade, second = line.hear(), line.hear(), line.hear()
    assert trade["stream"] == "btcusdt@trade"
    assert (trade["data"]["p"], trade["data"]["m"]) == ("50001.00000000", False)
    for message in (first, second):
        data = message["data"]
        assert data["U"] == last + 1
        last = data["u"]
        for side in ("b", "a"):
            book[side].update(map(tuple, data[side]))
    empty = "0.00000000"
    assert {s: {p for p, q in book[s].items() if q != empty} for s in "ba"} == {
        "b": {"49990.00000000"},
        "a": {"49995.00000000"},
    }
    line.ask(id=1, method="LIST_SUBSCRIPTIONS")
    assert line.hear() == {"result": ["btcusdt@depth@100ms", "btcusdt@trade"], "id": 1}
    line.close()


def test_reports_come_for_every_change_of_an_order(venue: Running) -> None:
    import hashlib
    import hmac

    line = Line(f"ws://{venue.base}/ws-api/v3")
    params: dict[str, Any] = {"apiKey": KEY, "timestamp": clock.now_ns() // 1_000_000}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    params["signature"] = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    line.ask(id=1, method="userDataStream.subscribe.signature", params=params)
    assert line.hear()["result"] == {"subscriptionId": 0}
    client = ccxt_client(venue)
    client.load_markets()
    order = client.create_order("BTC/USDT", "limit", "buy", 0.001, 49000)
    report = line.hear()["event"]
    assert (report["x"], report["X"], report["i"]) == ("NEW", "NEW", int(order["id"]))
    client.cancel_order(order["id"], "BTC/USDT")
    report = line.hear()["event"]
    assert (report["x"], report["C"]) == ("CANCELED", order["clientOrderId"])
    client.create_order("BTC/USDT", "limit", "buy", 1.5 / 100, 50001, {"timeInForce": "IOC"})
    kinds = [line.hear()["event"] for _ in range(3)]
    assert [one.get("x", one["e"]) for one in kinds] == ["NEW", "TRADE", "outboundAccountPosition"]
    assert (kinds[1]["l"], kinds[1]["N"], kinds[1]["m"]) == ("0.01500000", "BTC", False)
    line.close()


def test_a_venue_in_trouble_answers_as_the_real_one(venue: Running) -> None:
    client = ccxt_client(venue)
    client.load_markets()
    venue.server.troubles = Troubles(unclear=True)
    with pytest.raises(ccxt.RequestTimeout):
        client.create_order("BTC/USDT", "limit", "buy", 0.001, 49000)
    venue.server.troubles = Troubles()
    assert len(client.fetch_open_orders("BTC/USDT")) == 1, "it was placed nevertheless"
    venue.server.troubles = Troubles(html=True)
    with pytest.raises(ccxt.ExchangeNotAvailable):
        client.fetch_balance()
    venue.server.troubles = Troubles()
    venue.server.weights.orders_in_10_s = 1
    with pytest.raises(ccxt.DDoSProtection, match="-1015"):  # noqa: PT012
        for _ in range(3):
            client.create_order("BTC/USDT", "limit", "buy", 0.001, 49000)


async def test_where_binance_serves_nobody_it_answers_451(venue: Running) -> None:
    """The adapter's question hears of it; ccxt is refused everything, streams too."""
    client, transport = ccxt_client(venue), LiveTransport()
    client.load_markets()
    rest = f"http://{venue.base}"
    assert await of_binance(transport, rest) == Egress(False, "Binance answers this address")
    act = acts.of(venue.server)["region"]
    venue.do(lambda: act({"served": "false"}))
    told = "Binance does not serve this address (HTTP 451)"
    assert await of_binance(transport, rest) == Egress(True, told)
    with pytest.raises(ccxt.ExchangeNotAvailable, match="restricted location"):
        client.fetch_balance()
    with pytest.raises(InvalidStatus):
        Line(f"ws://{venue.base}/ws/btcusdt@trade")
    venue.do(lambda: act({"served": "true"}))
    client.fetch_balance()
    await transport.aclose()


def test_ccxt_sees_which_order_ended_rather_than_trade_with_its_own(venue: Running) -> None:
    client = ccxt_client(venue)
    client.load_markets()
    client.create_order("BTC/USDT", "limit", "buy", 0.01, 50001)
    rests = client.create_order("BTC/USDT", "limit", "buy", 0.002, 50000.5)

    def sell(mode: str) -> Any:
        given = {"selfTradePrevention": mode}
        return client.create_order("BTC/USDT", "limit", "sell", 0.003, 50000.5, given)

    with pytest.raises(ccxt.BadRequest, match="does not allow the specified self-trade"):
        sell("NONE")
    taker = sell("EXPIRE_TAKER")
    assert (taker["info"]["status"], taker["filled"]) == ("EXPIRED_IN_MATCH", 0.0)
    assert client.fetch_order(rests["id"], "BTC/USDT")["status"] == "open"
    assert sell("EXPIRE_MAKER")["info"]["status"] == "NEW"
    gone = client.fetch_order(rests["id"], "BTC/USDT")["info"]
    assert (gone["status"], gone["preventedMatchId"]) == ("EXPIRED_IN_MATCH", 1)
