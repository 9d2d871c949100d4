"""Binance in shadow: its market, and orders built and signed with the real key, and not sent.

There is no connection to the WebSocket API here, over which orders go.
"""

import hashlib
from collections.abc import Callable

from betatrader.config.venues import Binance
from betatrader.model.command import Approved
from betatrader.model.event import Event
from betatrader.net.transport import Transport
from betatrader.venues.binance import orders, sign
from betatrader.venues.binance.public import BinanceMarket
from betatrader.venues.binance.rest import Rest
from betatrader.venues.binance.session import Access, framed
from betatrader.venues.shadow import SignedRequest


class BinanceShadow(BinanceMarket):
    """The adapter's market half and its signing half. Raises UsageError as the adapter does."""

    def __init__(
        self,
        settings: Binance,
        transport: Transport,
        market: Callable[[Event], None],
        changed: Callable[[str], None],
    ) -> None:
        key, signer = sign.checked_key(settings.key), sign.signer_of(settings.secret)
        window_ms = settings.recv_window_ms
        rest = Rest(transport, settings.rest, key, signer, window_ms)
        super().__init__(settings, transport, market, changed, rest)
        self._access = Access(key, signer, window_ms, rest.clock)
        self._number = 0

    def signed(self, command: Approved, now_ns: int) -> SignedRequest:  # noqa: ARG002  its own clock
        """The frame of `order.place`, named by its SHA-256; raises UnmappableError."""
        terms = command.terms
        parameters = orders.placing(command.order, terms, self.stp(terms.instrument))
        self._number += 1
        request = framed(self._access, self._number, "order.place", parameters)
        return SignedRequest(f"sha256:{hashlib.sha256(request).hexdigest()}", request)
