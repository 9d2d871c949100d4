"""The Polymarket server and clients that nobody here wrote: unchanged but for their base URL."""

import asyncio
import dataclasses
import threading
import time
from collections.abc import Iterator

import pytest
from poly_scene import CASH, CONDITION, NO, OTHER, PRIVATE, YES, YES_ID, market, server

from betatrader.model.market import PublicTrade
from betatrader.model.money import SCALE, parse
from betatrader.net.serving import serving
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.polymarket.serve.hosting import addresses, serve_polymarket
from betatrader.venues.polymarket.serve.server import PolymarketServer

official = pytest.importorskip("py_clob_client_v2", reason="py-clob-client-v2 is not installed")
unified = pytest.importorskip("polymarket", reason="polymarket-client is not installed")

from polymarket.environments import PRODUCTION, _create_environment  # noqa: E402
from polymarket.streams import MarketSpec, UserSpec  # noqa: E402
from py_clob_client_v2.exceptions import PolyApiException  # noqa: E402


class Floor:
    """The server in a thread of its own, so that clients without asyncio can be used."""

    def __init__(self) -> None:
        self.server: PolymarketServer = server()
        self.addresses: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._end = asyncio.Event()
        self._thread.start()
        assert self._ready.wait(10)

    async def _run(self) -> None:
        self.server = server()
        async with serving(self.server, "127.0.0.1", 0) as port:
            delivering = asyncio.ensure_future(self.server.deliver())
            await self.server.run(market(clock.now_ns()))
            self.addresses = addresses(port)
            self._ready.set()
            await self._end.wait()
            delivering.cancel()

    def play(self, event: object) -> None:
        """One event of the market, in the server's thread."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (self.server.play(event), done.set()))
        assert done.wait(5)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def floor() -> Iterator[Floor]:
    made = Floor()
    yield made
    made.close()


def connected(floor: Floor, private: str = PRIVATE):
    """The official client with a key that the server gave it."""
    host = floor.addresses["clob"]
    client = official.ClobClient(host=host, chain_id=137, key=private)
    client.set_api_creds(client.create_or_derive_api_key())
    return client


def place(client, price: float, size: float, side: str, kind: str = "GTC"):
    return client.create_and_post_order(
        order_args=official.OrderArgs(token_id=YES, price=price, size=size, side=side),
        order_type=getattr(official.OrderType, kind),
    )


def test_the_official_client_reads_markets_and_books(floor: Floor) -> None:
    client = official.ClobClient(host=floor.addresses["clob"], chain_id=137)
    assert client.get_ok() == "OK"
    assert client.get_version() == 2
    assert abs(int(client.get_server_time()) - clock.now_ns() // 10**9) < 5
    assert client.get_markets()["data"][0]["condition_id"] == CONDITION
    assert client.get_market(CONDITION)["tokens"][1]["token_id"] == NO
    book = client.get_order_book(YES)
    assert (book["bids"][-1], book["asks"][-1]) == (
        {"price": "0.5", "size": "30"},
        {"price": "0.52", "size": "25"},
    )
    assert client.get_midpoint(YES) == {"mid": "0.51"}
    assert client.get_price(YES, "BUY") == {"price": "0.5"}
    assert client.get_tick_size(YES) == "0.01"
    assert client.get_last_trade_price(YES) == {"price": "0.51", "side": "BUY"}


def test_the_official_client_places_queries_cancels_and_sees_a_fill(floor: Floor) -> None:
    client = connected(floor)
    rests = place(client, 0.45, 10, "BUY")
    assert (rests["success"], rests["status"]) == (True, "live")
    assert client.get_order(rests["orderID"])["status"] == "LIVE"
    assert [one["id"] for one in client.get_open_orders()] == [rests["orderID"]]
    canceled = client.cancel_order(official.OrderPayload(orderID=rests["orderID"]))
    assert canceled == {"canceled": [rests["orderID"]], "not_canceled": {}}
    assert client.get_open_orders() == []
    assert client.get_order(rests["orderID"])["status"] == "CANCELED"

    takes = place(client, 0.52, 10, "BUY")
    assert (takes["status"], takes["makingAmount"], takes["takingAmount"]) == (
        "matched",
        "5.2",
        "10",
    )
    trades = client.get_trades()
    assert [(one["price"], one["size"], one["trader_side"]) for one in trades] == [
        ("0.52", "10", "TAKER")
    ]
    ledger = floor.server.state.exchange.ledgers[client.get_address()]
    assert ledger.positions == {YES_ID: 10 * SCALE}
    balance = official.BalanceAllowanceParams(asset_type=official.AssetType.COLLATERAL)
    for _ in range(100):  # the wallet has it once it is mined
        if client.get_trades()[0]["status"] != "MATCHED":
            break
        time.sleep(0.05)
    shown = client.get_balance_allowance(balance)
    assert int(shown["balance"]) == ledger.cash // 100
    assert ledger.cash < CASH - parse("5.2"), "the taker has paid a fee"


def test_a_market_order_of_the_official_client_is_followed_to_its_transaction(
    floor: Floor,
) -> None:
    client = connected(floor)
    answer = client.create_and_post_market_order(
        order_args=official.MarketOrderArgs(token_id=YES, amount=5.0, side="BUY"),
        order_type=official.OrderType.FOK,
    )
    assert answer["status"] == "matched"
    assert len(answer["transactionsHashes"]) == 1, "the client polled until it was mined"
    sold = client.create_and_post_market_order(
        order_args=official.MarketOrderArgs(token_id=YES, amount=9.61, side="SELL"),
        order_type=official.OrderType.FAK,
    )
    assert (sold["status"], sold["makingAmount"], sold["takingAmount"]) == (
        "matched",
        "9.61",
        "4.805",
    )


def test_what_the_venue_refuses_it_refuses_in_its_own_words(floor: Floor) -> None:
    client = connected(floor)
    with pytest.raises(PolyApiException) as small:
        place(client, 0.45, 1, "BUY")
    assert small.value.status_code == 400
    assert "lower than the minimum: 5" in str(small.value)
    with pytest.raises(PolyApiException, match="not enough balance / allowance"):
        place(client, 0.5, 5_000, "BUY")
    with pytest.raises(PolyApiException, match="FOK orders are fully filled or killed"):
        place(client, 0.5, 10, "BUY", "FOK")
    args = official.OrderArgs(token_id=YES, price=0.4, size=10, side="BUY")
    signed = client.create_order(args)
    assert client.post_order(signed)["status"] == "live"
    with pytest.raises(PolyApiException, match="Duplicated"):
        client.post_order(signed)


def test_a_wrong_signature_and_a_wrong_key_are_refused(floor: Floor) -> None:
    client, other = connected(floor), connected(floor, OTHER)
    args = official.OrderArgs(token_id=YES, price=0.4, size=10, side="BUY")
    signed = dataclasses.replace(client.create_order(args), salt="1")
    with pytest.raises(PolyApiException, match="invalid signature"):
        client.post_order(signed)
    with pytest.raises(PolyApiException, match="the order signer address has to be"):
        other.post_order(client.create_order(args))
    creds = dataclasses.replace(client.creds, api_secret=other.creds.api_secret)
    client.set_api_creds(creds)
    with pytest.raises(PolyApiException) as refused:
        client.get_open_orders()
    assert refused.value.status_code == 401
    assert "Unauthorized/Invalid api key" in str(refused.value)


def environment(floor: Floor):
    """The unified client's environment, which has no public constructor."""
    where = floor.addresses
    config = dataclasses.replace(
        PRODUCTION._config,
        clob_url=where["clob"],
        gamma_url=where["gamma"],
        data_url=where["data"],
        clob_market_ws_url=where["market_socket"],
        clob_user_ws_url=where["user_socket"],
    )
    return _create_environment(name="simulated", config=config)


async def test_the_unified_client_trades_and_hears_of_it(floor: Floor) -> None:
    address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    async with await unified.AsyncSecureClient.create(
        private_key=PRIVATE, wallet=address, environment=environment(floor)
    ) as client:
        user = await client.subscribe(UserSpec())
        await asyncio.sleep(0.2)
        rests = await client.place_limit_order(token_id=YES, price="0.45", size="10", side="BUY")
        assert (rests.ok, rests.status) == (True, "live")
        placed = await anext(aiter(user))
        assert (placed.payload.order_event_type, placed.payload.id) == (
            "PLACEMENT",
            rests.order_id,
        )
        floor.play(PublicTrade(clock.now_ns(), YES_ID, parse("0.44"), parse("4"), False))
        seen = {}
        async for event in user:
            seen[event.type if event.type == "order" else event.payload.status] = event.payload
            if "CONFIRMED" in seen:
                break
        assert seen["order"].size_matched == 4
        assert {"MATCHED", "MINED", "CONFIRMED"} <= set(seen)
        assert seen["MATCHED"].trader_side == "MAKER"
        assert seen["MATCHED"].maker_orders[0].order_id == rests.order_id
        canceled = await client.cancel_order(order_id=rests.order_id)
        assert list(canceled.canceled) == [rests.order_id]
        gone = await anext(aiter(user))
        assert (gone.payload.order_event_type, gone.payload.status) == ("CANCELLATION", "CANCELED")
        await user.close()


async def test_the_unified_client_sees_the_market_move(floor: Floor) -> None:
    async with unified.AsyncPublicClient(environment=environment(floor)) as client:
        book = await client.get_order_book(token_id=YES)
        assert book.bids[-1].price * 100 == 50
        feed = await client.subscribe(MarketSpec(token_ids=[YES]))
        events = aiter(feed)
        shown = await anext(events)
        assert (shown.type, shown.payload.hash) == ("book", book.hash)
        floor.play(PublicTrade(clock.now_ns(), YES_ID, parse("0.52"), parse("3"), True))
        kinds = {(await anext(events)).type for _ in range(2)}
        assert kinds == {"last_trade_price", "book"}
        await feed.close()
        found = [one async for one in client.list_markets()]
        assert found


def test_the_official_client_finds_all_else_that_it_knows(floor: Floor) -> None:
    client = connected(floor)
    orders = [
        official.PostOrdersV2Args(
            order=client.create_order(
                official.OrderArgs(token_id=token, price=0.4, size=10, side="BUY")
            ),
            orderType=official.OrderType.GTC,
        )
        for token in (YES, YES, NO, YES)
    ]
    names = [one["orderID"] for one in client.post_orders(orders)]
    assert client.cancel_orders(names[:1])["canceled"] == names[:1]
    by_token = official.OrderMarketCancelParams(market=CONDITION, asset_id=NO)
    assert client.cancel_market_orders(by_token)["canceled"] == [names[2]]
    assert client.cancel_all()["canceled"] == [names[1], names[3]]
    beat = client.post_heartbeat()
    assert client.post_heartbeat(beat["heartbeat_id"])["error"] is None
    assert client.get_closed_only_mode() == {"closed_only": False}
    assert client.get_api_keys() == {"apiKeys": [client.creds.api_key]}
    assert client.get_notifications() == []
    assert client.get_simplified_markets()["count"] == 1
    assert client.get_clob_market_info(CONDITION)["mts"] == 0.01
    assert client.get_neg_risk(YES) is False
    assert client.get_spread(YES) == {"spread": "0.02"}
    asked = [official.BookParams(token_id=YES, side="BUY")]
    assert client.get_midpoints(asked) == {YES: "0.51"}
    assert client.get_prices(asked) == {YES: {"BUY": "0.5"}}
    assert client.get_order_books(asked)[0]["asset_id"] == YES
    assert client.get_pre_migration_orders() == []
    scoring = official.OrdersScoringParams(orderIds=names)
    assert client.are_orders_scoring(scoring) == dict.fromkeys(names, False)
    key = client.create_readonly_api_key()["apiKey"]
    assert client.delete_readonly_api_key(key) == "OK"
    assert client.delete_api_key() == "OK"
    with pytest.raises(PolyApiException):
        client.get_api_keys()


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_the_official_client_trades_for_every_kind_of_wallet(floor: Floor, kind: int) -> None:
    wallet = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    host = floor.addresses["clob"]
    client = official.ClobClient(
        host=host, chain_id=137, key=PRIVATE, signature_type=kind, funder=wallet
    )
    client.set_api_creds(client.create_or_derive_api_key())
    answer = place(client, 0.45, 10, "BUY")
    assert client.get_order(answer["orderID"])["maker_address"] == wallet


async def test_the_unified_client_finds_all_else_that_it_knows(floor: Floor) -> None:
    address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    async with await unified.AsyncSecureClient.create(
        private_key=PRIVATE, wallet=address, environment=environment(floor)
    ) as client:
        took = await client.place_market_order(token_id=YES, side="BUY", amount="5")
        assert (took.ok, took.status) == (True, "matched")
        await client.wait_for_order_fill_settlement(took)
        trades = [one async for one in client.list_account_trades().iter_items()]
        assert [one.id for one in trades] == list(took.trade_ids)
        held = [one async for one in client.list_positions(user=address).iter_items()]
        assert [(one.outcome, one.current_size) for one in held] == [("Yes", trades[0].size)]
        markets = [one async for one in client.list_markets().iter_items()]
        assert [one.condition_id for one in markets] == [CONDITION]
        assert (markets[0].outcomes.no.token_id, markets[0].trading.fee_schedule.exponent) == (
            NO,
            1,
        )
        refused = client.place_limit_order(
            token_id=YES, price="0.52", size="10", side="BUY", post_only=True
        )
        with pytest.raises(unified.RequestRejectedError, match="order crosses book"):
            await refused
        rests = await client.place_limit_order(token_id=YES, price="0.40", size="10", side="BUY")
        assert (await client.get_order(order_id=rests.order_id)).status == "LIVE"
        opened = [one async for one in client.list_open_orders().iter_items()]
        assert [one.id for one in opened] == [rests.order_id]
        beat = await client.send_order_heartbeat()
        with pytest.raises(unified.OrderHeartbeatMismatchError):
            await client.send_order_heartbeat()
        await client.send_order_heartbeat(heartbeat_id=beat.heartbeat_id)
        balance = await client.get_balance_allowance(asset_type="COLLATERAL")
        assert 0 < balance.balance < 1_000_000_000
        assert (await client.cancel_all()).canceled == (rests.order_id,)
        assert await client.get_closed_only_mode() is False


async def test_the_whole_venue_says_where_it_is_and_serves_until_it_is_ended() -> None:
    told: asyncio.Queue = asyncio.Queue()
    serving_ = asyncio.ensure_future(
        serve_polymarket(
            SimulatedExchange(),
            CASH,
            FaultyLink(Faults(), 1),
            market(clock.now_ns()),
            0,
            told.put_nowait,
        )
    )
    where = await told.get()
    assert where["venue"] == "polymarket"
    assert where["market_socket"].endswith("/ws/market")
    client = official.ClobClient(host=where["clob"], chain_id=137)
    await asyncio.sleep(0.1)
    book = await asyncio.to_thread(client.get_order_book, YES)
    assert book["market"] == CONDITION
    serving_.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving_
