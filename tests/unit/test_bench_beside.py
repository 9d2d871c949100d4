"""What ours is compared with: the libraries really decode, keep a book, and sign an order of it."""

import hashlib
import hmac
import json
from decimal import ROUND_HALF_EVEN, getcontext, localcontext
from urllib.parse import parse_qs

import msgspec
import pytest

from betatrader.bench import wire, wire_ccxt, wire_official
from betatrader.bench.beside import Beside, beside
from betatrader.bench.wire_ccxt import Ccxt
from betatrader.bench.wire_official import KEY, TOKEN, Official
from betatrader.model.errors import BetatraderError
from betatrader.net.transport import Request
from betatrader.venues.binance.serve.running import SECRET
from betatrader.venues.polymarket.eip712 import Terms, exchange_of
from betatrader.venues.polymarket.sign import Signer

BOOK = {
    "lastUpdateId": 10,
    "bids": [["61000.00", "1"], ["60990.00", "2"]],
    "asks": [["61010.00", "1"], ["61020.00", "2"]],
}


class Noted:
    """A library that notes what it is asked."""

    name = "noted"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def hear(self, message: bytes) -> None:
        self.asked.append(message.decode())

    def order(self) -> bytes:
        self.asked.append("order")
        return b""


def depth(first: int, last: int, bids: list, asks: list) -> bytes:
    data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}).encode()


def test_all_is_heard_and_what_ours_answered_with_an_order_is_measured() -> None:
    library = Noted()
    others = Beside(library)
    others.play([b"a", b"b", b"c"], {1})
    others.play([b"d"], {0})
    assert library.asked == ["a", "b", "order", "c", "d", "order"]
    assert len(others.spans) == 2
    others.spans = [4_000, 2_000]
    median, *rest = others.results("x", [1_000, 500])
    assert (median.name, median.value, median.baseline) == ("wire_x_order_p50_us", 1.0, 4.0)
    assert median.ratio == 0.25
    assert "2 messages" in median.note
    assert [one.name for one in rest] == ["wire_x_order_p99_us", "wire_x_order_p999_us"]


def test_without_the_library_one_line_says_so_and_ours_is_measured() -> None:
    told: list[str] = []

    def missing() -> Noted:
        raise ModuleNotFoundError("No module named 'ccxt'")

    others = beside(missing, "ccxt", told.append)
    (line,) = told
    assert "ccxt cannot be loaded" in line
    assert "betatrader[dev]" in line
    others.play([b"a"], {0})
    results = others.results("x", [1_000])
    assert [(one.value, one.baseline, one.ratio) for one in results] == [(1.0, None, None)] * 3


async def test_ccxt_keeps_the_book_and_signs_an_order_of_it() -> None:
    asked = Request("GET", "/api/v3/exchangeInfo", "symbol=BTCUSDT", {}, b"")
    rules = (await wire._served().answer(asked)).body
    others = beside(lambda: Ccxt(rules, msgspec.json.encode(BOOK)), "ccxt", print)
    library = others.library
    assert library is not None

    def price() -> float:
        with localcontext():
            query, _, signature = library.order().decode().rpartition("&signature=")
        wanted = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
        assert signature == wanted
        fields = parse_qs(query)
        assert (fields["symbol"], fields["type"]) == (["BTCUSDT"], ["LIMIT_MAKER"])
        return float(fields["price"][0])

    library.hear(depth(11, 12, [["61000.00", "0"]], [["61008.00", "1"]]))
    assert price() == (60_990 + 61_008) / 2 - wire_ccxt.TICK
    ticker = {"u": 13, "s": "BTCUSDT", "b": "61002.00", "B": "1", "a": "61004.00", "A": "1"}
    library.hear(json.dumps({"stream": "btcusdt@bookTicker", "data": ticker}).encode())
    assert price() == 61_003 - wire_ccxt.TICK
    others.play([depth(14, 15, [], [])], {0})
    assert len(others.spans) == 1
    assert getcontext().rounding == ROUND_HALF_EVEN, "it has set another, and ours is as it was"


def test_the_official_clients_decode_and_sign_an_order_of_the_users_book() -> None:
    library = Official()
    level = {"price": "0.50", "size": "30"}
    book = {
        "event_type": "book", "market": "0x" + "bd" * 32, "asset_id": TOKEN, "hash": "",
        "timestamp": "1700000000000", "bids": [level], "asks": [{**level, "price": "0.60"}],
    }  # fmt: skip
    change = {"asset_id": TOKEN, "price": "0.52", "size": "5", "side": "BUY", "hash": ""}
    changed = {
        "event_type": "price_change", "market": "0x" + "bd" * 32, "timestamp": "1700000000001",
        "price_changes": [change],
    }  # fmt: skip

    def spent() -> int:
        order = json.loads(library.order())["order"]
        terms = Terms(
            int(order["tokenId"]),
            False,
            int(order["makerAmount"]),
            int(order["takerAmount"]),
            order["salt"],
            int(order["timestamp"]),
        )
        exchange = exchange_of(terms.token, 137, neg_risk=False)
        ours = Signer(KEY, 137, 0).order(terms, exchange)
        assert json.loads(ours.json) == order, "the same order, signed alike"
        return terms.maker_amount

    library.hear(json.dumps([book]).encode())
    assert spent() == 5_000_000
    library.hear(json.dumps(changed).encode())
    assert spent() == 5_200_000
    changed["price_changes"] = [{**change, "size": "0"}]
    library.hear(json.dumps(changed).encode())
    assert spent() == 5_000_000


def test_what_cannot_be_measured_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_official, "__name__", "betatrader.bench.nothing")
    with pytest.raises(BetatraderError, match="No module named 'betatrader"):
        wire_official.signed_as_installed(1)
