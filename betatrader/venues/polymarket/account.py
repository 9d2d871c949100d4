"""What the venue says of our orders and trades, as account events, each fill once. Pure.

A trade is told once for each step of its settlement, over the channel and in lists: its first word
is the fill, its failure undoes it. An order's end waits until the fills before it are told.
"""

from collections.abc import Callable
from typing import NamedTuple

import structlog

from betatrader.model.account import (
    CashFlow,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderEvent,
    OrderExpired,
    OrderRejected,
    PositionTransfer,
    VenueOrder,
)
from betatrader.model.ids import ClientOrderId
from betatrader.model.money import SCALE, cost, proceeds
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side
from betatrader.venues.polymarket.amounts import units
from betatrader.venues.polymarket.forms import FORCES, VENUE, instrument_id, token_of
from betatrader.venues.polymarket.ids import Ids
from betatrader.venues.polymarket.listing import FeeCurve
from betatrader.venues.polymarket.settling import Settling
from betatrader.venues.polymarket.wire import SECOND, OpenOrder, Trade

KEPT = 50_000
"""Trades and orders that are remembered."""

FAILED = "FAILED"
REST_KILLED = "what was not filled at once has ended"
EXPIRED = ("CANCELED_EXPIRED_ORDER", "CANCELED_ORDER_TIMED_OUT", "CANCELED_MARKET_RESOLVED")

Happening = OrderEvent | CashFlow | PositionTransfer


class Leg(NamedTuple):
    """Our part of a trade: an order's fill at one price."""

    order_id: str
    token: str
    side: str
    price: int
    quantity: int
    maker: bool
    mark: str = ""
    """Tells apart the prices of one trade."""


class Ending(NamedTuple):
    """An order's end that waits for its fills."""

    event: OrderEvent
    matched: int
    since_s: float


def legs_of(trade: Trade, key: str) -> list[Leg]:
    """The parts of a trade that are of this API key.

    As maker it is our entries of `maker_orders`, whatever stands at the top. As taker it is what
    the makers gave, price by price: one of the other token gave ours at 1 less its own.
    """
    found = [
        Leg(m.order_id, m.asset_id, m.side, units(m.price), units(m.matched_amount), maker=True)
        for m in trade.maker_orders
        if m.owner == key and m.order_id
    ]
    if trade.owner != key or trade.trader_side == "MAKER" or not trade.taker_order_id:
        return found
    return found + _taken(trade)


def _taken(trade: Trade) -> list[Leg]:
    by_price: dict[int, int] = {}
    for maker in trade.maker_orders:
        price = units(maker.price)
        ours = price if maker.asset_id == trade.asset_id else SCALE - price
        by_price[ours] = by_price.get(ours, 0) + units(maker.matched_amount)
    size = units(trade.size)
    if sum(by_price.values()) != size:  # it names no makers, or not all
        by_price = {units(trade.price): size}
    order, token, side = trade.taker_order_id, trade.asset_id, trade.side
    many = len(by_price) > 1
    return [
        Leg(order, token, side, price, quantity, maker=False, mark=f"@{price}" if many else "")
        for price, quantity in sorted(by_price.items())
        if quantity
    ]


class Accounts:
    """Remembers what was told, so that it is told once. `curve` gives a token's fees."""

    def __init__(self, ids: Ids, curve: Callable[[str], FeeCurve]) -> None:
        self.key = ""
        """Our API key: what others do with the same wallet is known by its effect on balances."""
        self.traded: set[str] = set()
        """Tokens with fills since they were last taken."""
        self._ids = ids
        self._curve = curve
        self._told: dict[str, tuple[Fill, ...]] = {}
        self._streamed: dict[str, None] = {}
        self.untold: dict[str, float] = {}
        """Trades, and orders that have ended, of which REST was first to tell, and when it did."""
        self._listed: dict[ClientOrderId, list[tuple[str, Fill]]] = {}
        self._failed: dict[str, None] = {}
        self.settling = Settling()
        self._filled: dict[ClientOrderId, int] = {}
        self._accepted: dict[ClientOrderId, None] = {}
        self._ended: dict[ClientOrderId, None] = {}
        self._endings: dict[ClientOrderId, Ending] = {}
        self._log = structlog.get_logger()

    def begin_anew(self) -> None:
        """More orders are known now than when messages were heard: what those were about is asked
        for again."""
        for heard in (self._told, self._streamed, self._filled, self._accepted, self._ended):
            heard.clear()
        self._listed.clear()
        self._endings.clear()
        self.untold.clear()

    # Trades.

    def trade(self, now_ns: int, trade: Trade) -> list[Happening]:
        """What a trade means for us, where that is news; raises ValueError where it cannot be
        read."""
        self.settling.heard(now_ns, trade)
        if trade.state == FAILED:
            return self._undo(now_ns, trade)
        if trade.id in self._streamed:
            return []
        return self._stream(trade.id, self.fills(now_ns, trade))

    def _stream(self, trade_id: str, fills: tuple[Fill, ...]) -> list[Happening]:
        """Fills, also those that a list has told (whoever asked for it may have given up), and the
        ends that waited for them."""
        self.untold.pop(trade_id, None)
        if fills:
            self._streamed[trade_id] = None
            _trim(self._streamed)
        events: list[Happening] = list(fills)
        for fill in fills:
            ending = self._endings.get(fill.order)
            if ending is not None and self._filled.get(fill.order, 0) >= ending.matched:
                del self._endings[fill.order]
                self._note_end(fill.order)
                events += [*self._untold(fill.order), ending.event]
        return events

    def fills(self, now_ns: int, trade: Trade) -> tuple[Fill, ...]:
        """A trade's fills of ours; an end need wait for them no longer. None of a trade that has
        failed, or of an order that ended long before we began to remember."""
        self.settling.heard(now_ns, trade)
        if trade.state == FAILED or trade.id in self._failed:
            return ()
        known = self._told.get(trade.id)
        if known is not None:
            self.settling.note(now_ns, trade, known)
            return known
        fills = tuple(
            self._fill(now_ns, trade, leg)
            for leg in legs_of(trade, self.key)
            if self._ids.is_known(leg.order_id) or trade.time_ns + SECOND > self._ids.oldest_ns
        )
        if not fills:
            return ()
        self.settling.note(now_ns, trade, fills)
        self._told[trade.id] = fills
        for fill in fills:
            self._filled[fill.order] = self._filled.get(fill.order, 0) + fill.quantity
            self._listed.setdefault(fill.order, []).append((trade.id, fill))
            self.traded.add(fill.instrument.rpartition(".")[0])
        for kept in (self._told, self._filled, self._listed):
            _trim(kept)
        return fills

    def _fill(self, now_ns: int, trade: Trade, leg: Leg) -> Fill:
        self._ids.confirm(leg.order_id)
        order = self._ids.ours(leg.order_id)
        terms = self._ids.terms(order)
        if terms is not None:  # what a row leaves out, our own order says
            token = leg.token or token_of(terms.instrument)
            leg = leg._replace(token=token, side=leg.side or str(terms.side))
        if not leg.token:
            raise ValueError(f"trade {trade.id} names no token")
        return Fill(
            now_ns,
            order,
            instrument_id(leg.token),
            Side(leg.side),
            leg.price,
            leg.quantity,
            self._curve(leg.token).fee(leg.price, leg.quantity, maker=leg.maker),
            leg.maker,
            trade.id + leg.mark,
        )

    def _undo(self, now_ns: int, trade: Trade) -> list[Happening]:
        """A trade that was told has failed: what it moved is moved back, to the last unit. One that
        was never told has moved nothing in our books, or is found in the balances. One that a list
        alone has told is told now, since that look may have come to nothing."""
        fills = self._told.get(trade.id, ())
        if trade.id in self._failed:
            return []
        self._failed[trade.id] = None
        _trim(self._failed)
        if not fills:
            return []
        events = [] if trade.id in self._streamed else self._stream(trade.id, fills)
        text = f"trade {trade.id} has failed at the venue"
        for fill in fills:
            self._log.critical(
                "trade_failed",
                venue=VENUE,
                trade=trade.id,
                order=fill.order,
                instrument=fill.instrument,
                side=str(fill.side),
            )
            self.traded.add(fill.instrument.rpartition(".")[0])
            if fill.side is Side.BUY:
                moved = cost(fill.price, fill.quantity) + fill.fee
                quantity = fill.kept - fill.quantity
            else:
                moved = fill.fee - proceeds(fill.price, fill.quantity)
                quantity = fill.quantity
            events.append(PositionTransfer(now_ns, fill.instrument, quantity, fill.price, text))
            events.append(CashFlow(now_ns, VENUE, moved, text))
        return events

    # Orders.

    def order(self, now_ns: int, now_s: float, told: OpenOrder) -> list[Happening]:
        """What an order's message means, where that is news; raises ValueError where it cannot be
        read. Orders of other keys, and those that we do not know, are left to the comparison."""
        if told.owner != self.key or not self._ids.is_known(told.id):
            return []
        self._ids.confirm(told.id)
        order = self._ids.ours(told.id)
        if told.type == "CANCELLATION" or told.status.startswith("CANCEL"):
            ending = _ending(now_ns, order, told.status)
            return self.end(now_s, ending, units(told.size_matched))
        if told.status == "INVALID":
            text = "the venue says that it is invalid"
            if order in self._accepted:  # what was accepted once may only end
                return self.end(now_s, OrderCanceled(now_ns, order, text), 0)
            return [OrderRejected(now_ns, order, text)]
        return self.accepted(now_ns, order)

    def accepted(self, now_ns: int, order: ClientOrderId) -> list[Happening]:
        """The venue has taken an order: told once."""
        if order in self._accepted:
            return []
        self._accepted[order] = None
        _trim(self._accepted)
        return [OrderAccepted(now_ns, order)]

    def end(self, now_s: float, event: OrderEvent, matched: int) -> list[Happening]:
        """An order has ended with so much filled: told at once where all of that was told, else
        after it."""
        if event.order in self._ended:
            return []
        if self._filled.get(event.order, 0) >= matched:
            self._endings.pop(event.order, None)
            self._note_end(event.order)
            return [*self._untold(event.order), event]
        self._endings[event.order] = Ending(event, matched, now_s)
        return []

    def _untold(self, order: ClientOrderId) -> list[Fill]:
        """Fills that only a look has told, if it came to its end: they come before the end."""
        listed = self._listed.pop(order, [])
        return [fill for trade_id, fill in listed if trade_id not in self._streamed]

    def is_ending(self, order: ClientOrderId) -> bool:
        """Whether its end was told, or waits for its fills."""
        return order in self._ended or order in self._endings

    def settled(self, now_ns: int, now_s: float, found: OpenOrder) -> list[Happening]:
        """What was asked of one order that takes at once, after its good answer."""
        order = self._ids.ours(found.id)
        there = self.known(found)
        if there.state is OrderState.CANCELED:
            event = OrderCanceled(now_ns, order, there.reason)
            return self.end(now_s, event, there.filled)
        return []

    def overdue(self, now_s: float, longest_s: float) -> list[Ending]:
        """Ends that have waited so long for their fills; they wait on."""
        return [one for one in self._endings.values() if now_s - one.since_s > longest_s]

    def give_up(self, ending: Ending) -> list[Happening]:
        """The fills were asked for, and are not there: tell the end. They are booked when they
        come."""
        if self._endings.get(ending.event.order) is not ending:
            return []
        del self._endings[ending.event.order]
        self._note_end(ending.event.order)
        return [*self._untold(ending.event.order), ending.event]

    def has_ended(self, order: ClientOrderId) -> bool:
        """Whether its end was told."""
        return order in self._ended

    def missed_trade(self, now_s: float, trade: Trade) -> None:
        """REST tells of a trade that the channel should have told."""
        if trade.id in self._told and trade.id not in self._streamed:
            self.untold.setdefault(trade.id, now_s)
            _trim(self.untold)

    def missed_end(self, now_s: float, order: ClientOrderId) -> None:
        """REST tells of an end that the channel should have told."""
        if not self.is_ending(order):
            self.untold.setdefault(order, now_s)
            _trim(self.untold)

    def _note_end(self, order: ClientOrderId) -> None:
        self.untold.pop(order, None)
        self._ended[order] = None
        _trim(self._ended)

    def unread(self, their_id: str) -> VenueOrder | None:
        """An order of ours of which the venue says what cannot be read: it goes on as far as we
        know. None for one that is not ours."""
        order = self._ids.ours(their_id) if self._ids.is_known(their_id) else ClientOrderId("")
        terms = self._ids.terms(order)
        if terms is None:
            return None
        filled = self._filled.get(order, 0)
        return VenueOrder(order, terms, filled, OrderState.ACCEPTED, "", their_id.lower())

    def known(self, found: OpenOrder) -> VenueOrder:
        """An order as the venue knows it; raises ValueError where it cannot be read."""
        self._ids.confirm(found.id)
        order = self._ids.ours(found.id)
        matched = units(found.size_matched)
        terms = self._ids.terms(order) or _terms(found)
        state, reason = _state(found, matched, terms)
        return VenueOrder(order, terms, matched, state, reason, found.id.lower())


def _state(found: OpenOrder, matched: int, terms: OrderTerms) -> tuple[OrderState, str]:
    status = found.status.removeprefix("ORDER_STATUS_")
    if status == "MATCHED":
        if matched >= terms.quantity:
            return OrderState.FILLED, ""
        return OrderState.CANCELED, REST_KILLED
    if status in EXPIRED:
        return OrderState.EXPIRED, status
    if status == "INVALID":
        return OrderState.REJECTED, status
    if status.startswith("CANCEL"):
        return OrderState.CANCELED, status
    return OrderState.ACCEPTED, ""  # a status that is new to us ends nothing


def _ending(now_ns: int, order: ClientOrderId, status: str) -> OrderEvent:
    if status in EXPIRED:
        return OrderExpired(now_ns, order, status)
    return OrderCanceled(now_ns, order, "" if status in ("CANCELED", "LIVE", "MATCHED") else status)


def _terms(found: OpenOrder) -> OrderTerms:
    return OrderTerms(
        instrument_id(found.asset_id),
        Side(found.side),
        OrderType.LIMIT,
        units(found.price),
        units(found.original_size),
        FORCES.get(found.order_type, FORCES["GTC"]),
    )


def _trim(kept: dict) -> None:  # type: ignore[type-arg]
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
