"""What a user of Polymarket's own clients does: polymarket-client decodes what the market channel
says, py-clob-client-v2 builds and signs orders. Books are its user's: neither keeps any."""

import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from typing import Any

from betatrader.bench.result import quantile
from betatrader.model.errors import BetatraderError
from betatrader.model.secret import Secret

KEY = Secret("0x" + "4c" * 32)
TOKEN = str(3 << 240 | 7 << 50)
API_KEY = "00000000-0000-4000-8000-000000000001"
API_SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # noqa: S105  of nobody
CHAIN = 137
SIZE = 10.0
TICK, TOP = Decimal("0.01"), Decimal("0.99")
Side = dict[Decimal, Decimal]


class Official:
    """Both clients with a dictionary for each side of a book. Raises ImportError where either is
    not installed (the `dev` extra)."""

    name = "official clients"

    def __init__(self) -> None:
        from polymarket.models.clob.market_events import parse_market_event
        from py_clob_client_v2 import clob_types
        from py_clob_client_v2.headers.headers import create_level_2_headers
        from py_clob_client_v2.order_builder.builder import OrderBuilder
        from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2
        from py_clob_client_v2.signer import Signer

        self._parse: Any = parse_market_event
        self._types: Any = clob_types
        self._shown: Any = order_to_json_v2
        self._headers: Any = create_level_2_headers
        self._signer: Any = Signer(KEY.reveal(), CHAIN)
        self._builder: Any = OrderBuilder(self._signer)
        self._keys: Any = clob_types.ApiCreds(API_KEY, API_SECRET, "aa" * 32)
        self._options: Any = clob_types.CreateOrderOptions(tick_size="0.01", neg_risk=False)
        self._books: dict[str, tuple[Side, Side]] = {}
        self._token = ""

    def hear(self, message: bytes) -> None:
        """Decode, and bring the books up to date."""
        decoded = json.loads(message.decode())
        for raw in decoded if isinstance(decoded, list) else [decoded]:
            event = self._parse(raw)
            if event.type == "book":
                self._replace(event.payload)
            elif event.type == "price_change":
                self._change(event.payload)

    def _replace(self, book: Any) -> None:
        self._token = book.asset_id
        bids = {level.price: level.size for level in book.bids}
        self._books[book.asset_id] = bids, {level.price: level.size for level in book.asks}

    def _change(self, payload: Any) -> None:
        for change in payload.price_changes:
            self._token = change.asset_id
            bids, asks = self._books.setdefault(change.asset_id, ({}, {}))
            side = bids if change.side == "BUY" else asks
            if change.size:
                side[change.price] = change.size
            else:
                side.pop(change.price, None)

    def order(self) -> bytes:
        """Join the best bid of what changed last: a bid that rests."""
        types, bids = self._types, self._books[self._token][0]
        price = min(max(max(bids, default=TICK), TICK), TOP)
        asked = types.OrderArgsV2(self._token, float(price), SIZE, "BUY")
        order = self._builder.build_order(asked, self._options)
        payload = self._shown(order, API_KEY, types.OrderType.GTC, True, False)
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        request = types.RequestArgs("POST", "/order", payload, body)
        self._headers(self._signer, self._keys, request)
        return body.encode()


def signed(count: int) -> float | None:
    """Microseconds, at the median, in which py-clob-client-v2 builds and signs one order; None
    where it is not installed."""
    try:
        from py_clob_client_v2.clob_types import CreateOrderOptions, OrderArgsV2
        from py_clob_client_v2.order_builder.builder import OrderBuilder
        from py_clob_client_v2.signer import Signer
    except ImportError:
        return None
    builder: Any = OrderBuilder(Signer(KEY.reveal(), CHAIN))
    options = CreateOrderOptions(tick_size="0.01", neg_risk=False)
    spans = []
    for _ in range(count):
        began = time.perf_counter_ns()
        builder.build_order(OrderArgsV2(TOKEN, 0.56, 21.04, "BUY"), options)
        spans.append(time.perf_counter_ns() - began)
    return quantile(sorted(spans), 0.5) / 1e3


def signed_as_installed(count: int) -> float | None:
    """The same without coincurve, which that client does not bring: in a process of its own, since
    its library chooses once."""
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-P", "-c", f"from {__name__} import signed; print(signed({count}))"],
        env={**os.environ, "ECC_BACKEND_CLASS": "eth_keys.backends.NativeECCBackend"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise BetatraderError(f"wire: the official client as it installs was not measured: {why}")
    told = done.stdout.strip()
    return None if told == "None" else float(told)
