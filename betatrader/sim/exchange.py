"""The simulated venue: recorded liquidity and individual orders in one book for each instrument.

The rules, which are those of design.md and of the first issue:
- Recorded levels are anonymous queues. An individual order starts behind all that is shown at its
  price, and only trades at that price shorten the queue ahead of it.
- A recorded trade beyond an order's price, or a recorded opposite quote at or through it, fills
  the order at its own price, up to the size shown.
- What was taken from a recorded level stays taken until that level's next recorded change.
- Requests arrive one latency after they were sent; reports return one latency after that.
"""

from collections.abc import Callable, Iterable
from typing import Any

from betatrader.engine.book import OrderBook
from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
    VenueAccount,
)
from betatrader.model.command import CancelOrder, SubmitOrder
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.instrument import BinaryContract, ProportionalFees
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    PublicTrade,
    Quote,
    Resolution,
)
from betatrader.model.money import SCALE, Money
from betatrader.model.order import OrderState, OrderType, Side, TimeInForce
from betatrader.sim import admission
from betatrader.sim.custody import US
from betatrader.sim.ledger import (
    Accepted,
    Ended,
    Executed,
    Ledger,
    Refused,
)
from betatrader.sim.pool import Pool, WorkingOrder, join
from betatrader.sim.transit import NEVER, Transit

PREVENTED = "it would have traded with another order of its owner"
Prevents = Callable[[WorkingOrder, WorkingOrder, int], tuple[WorkingOrder, ...]]
"""Which of a taker and a maker end rather than trade at a price; none where they may."""

GONE = "the order to replace is gone"
ENDED_KEPT = 16  # instruments that have ended and are kept, as the engine does


class SimulatedExchange(Transit):
    """One venue. `share_book` gives the engine's book of an instrument, to be read and not kept
    twice; it is allowed where feed latency is zero, and the engine then takes each event first.
    """

    def __init__(
        self,
        latency_ns: int = 0,
        share_book: Callable[[InstrumentId], OrderBook] | None = None,
    ) -> None:
        super().__init__(latency_ns)
        self.pools: dict[InstrumentId, Pool] = {}
        self.keeps_fees = False
        """Whether a buy of a pair pays its fee in what it buys: that much does not arrive."""
        self.refuses = ""
        """Why every order is refused now (a rate limit, say); empty: none is for that."""
        self.prevents: Prevents | None = None  # asked before two orders of one owner trade
        self.pairs_across = False  # whether orders of both outcomes meet
        self.pays_at_end = True  # else a contract that ends pays when its holder asks for it
        self._is_live = False
        self._share_book = share_book
        self._trades = 0
        self._owners: dict[ClientOrderId, tuple[str, WorkingOrder]] = {}
        self._market: dict[type, Callable[[Any], None]] = {
            Quote: self._on_quote,
            PublicTrade: self._on_trade,
            BookDelta: self._on_delta,
            BookSnapshot: self._on_snapshot,
            InstrumentListed: self._on_listed,
            InstrumentStatus: self._on_status,
            Resolution: self._on_resolution,
        }

    def follow_live(self) -> None:
        """The market is a live one: another snapshot of a book is the same market, seen again, and
        not a feed that begins anew. Books are kept here, since the engine's may be restored."""
        self._is_live = True
        self._share_book = None

    # Requests, from the gateway.

    def restore(self, ledger: Ledger, owner: str = US) -> None:
        """Come back with an account's books. What rested is cancelled: its market is gone."""
        self.ledgers[owner] = ledger
        self._trades = max((int(fill.trade_id[1:]) for fill in ledger.fills), default=0)
        for order in list(ledger.working):
            self.book(Ended(order, OrderState.CANCELED, "the venue restarted"), owner)

    def restart(self) -> None:
        """Stop and come back: all that was under way is lost, and what rested is cancelled without
        a report."""
        self._due.clear()
        self.next_due_ns = NEVER
        for owner, order in list(self._owners.values()):
            self._drop(self.pools[order.terms.instrument], order)
            self.book(Ended(order.id, OrderState.CANCELED, "the venue restarted"), owner)

    def account(self, asked: Iterable[ClientOrderId], owner: str = US) -> VenueAccount:
        """The venue's word on an account, and on the orders that are asked for."""
        return self.ledgers.setdefault(owner, Ledger()).account(asked)

    def resting(self, owner: str = US) -> set[str]:
        """The ids of an owner's orders that rest in the book."""
        return {order.id for order in self._working(owner)}

    def working(self, order: ClientOrderId) -> WorkingOrder | None:
        """An order that rests, or waits for its trigger; None where it does not."""
        _, found = self._owners.get(order, ("", None))
        return found

    # The recorded market.

    def on_market(self, event: object) -> None:
        """Take one market event, after the engine where the book is shared."""
        take = self._market.get(type(event))
        if take is not None:
            take(event)

    def _on_listed(self, event: InstrumentListed) -> None:
        name = event.definition.id
        if name in self.pools:
            self.pools[name].definition = event.definition
            return
        shared = self._share_book(name) if self._share_book is not None else None
        self.pools[name] = Pool(event.definition, shared)
        if self.pairs_across:
            join(self.pools, self.pools[name])
        ended = [old for old, pool in self.pools.items() if pool.ended and not pool.working]
        for old in ended[: max(0, len(ended) - ENDED_KEPT)]:
            del self.pools[old]

    def _on_status(self, event: InstrumentStatus) -> None:
        self.pools[event.instrument].tradable = event.tradable

    def _on_quote(self, event: Quote) -> None:
        pool = self.pools[event.instrument]
        if pool.taken:
            pool.take_quote(event)
        else:
            pool.quote = event
        if event.bid >= pool.lowest_sell or 0 < event.ask <= pool.highest_buy:
            self._fill_crossed(pool, event.time_ns)
        if pool.stops:
            self._wake(pool, event.time_ns)

    def _on_delta(self, event: BookDelta) -> None:
        pool = self.pools[event.instrument]
        if not pool.shared:
            pool.book.apply(event.bids, event.asks, event.update_id)
        if pool.taken:
            pool.forget(Side.BUY, event.bids)
            pool.forget(Side.SELL, event.asks)
        self._meet(pool, event.time_ns)

    def _meet(self, pool: Pool, now_ns: int) -> None:
        """Fill what rests where the recorded book has come to it."""
        book = pool.book
        if book.best_bid >= pool.lowest_sell or 0 < book.best_ask <= pool.highest_buy:
            self._fill_crossed(pool, now_ns)
        if pool.stops:
            self._wake(pool, now_ns)

    def _wake(self, pool: Pool, now_ns: int, last: int = 0) -> None:
        """Let stops enter that the last trade, or a best price, has come to."""
        bid, ask = (last, last) if last else (pool.best(Side.BUY), pool.best(Side.SELL))
        for order in pool.woken(bid, ask):
            self._enter(pool, order, now_ns)

    def _on_snapshot(self, event: BookSnapshot) -> None:
        pool = self.pools[event.instrument]
        if pool.opened and not self._is_live:
            self._end_all(pool, event.time_ns, "the feed began anew")
        pool.opened = True
        pool.quote = None
        if not pool.shared:
            pool.book.replace(event.bids, event.asks, event.update_id)
        pool.taken.clear()
        if self._is_live:
            self._meet(pool, event.time_ns)

    def _on_trade(self, event: PublicTrade) -> None:
        pool = self.pools[event.instrument]
        if pool.stops:
            self._wake(pool, event.time_ns, event.price)
        if not pool.working:
            return
        side = Side.SELL if event.buyer_is_taker else Side.BUY
        left = event.quantity
        for order in pool.by_priority(side):
            price = order.terms.price
            beyond = price < event.price if side is Side.SELL else price > event.price
            if beyond:
                left -= self._fill(pool, order, price, min(left, order.remaining), event.time_ns)
            elif price == event.price:
                passed = min(order.ahead, left)
                order.ahead -= passed
                reached = min(left - passed, order.remaining)
                if reached > 0:
                    left -= self._fill(pool, order, price, reached, event.time_ns)
            if left <= 0:
                return

    def _on_resolution(self, event: Resolution) -> None:
        pool = self.pools[event.instrument]
        pool.tradable, pool.ended = False, True
        pool.payout = event.payout
        for order in list(pool.working.values()):
            self._drop(pool, order)
            self._end(order, OrderState.EXPIRED, "resolved", event.time_ns)
        if self.pays_at_end:
            self.settle(event.instrument, event.payout)

    # Orders at the venue.

    def _arrive(self, command: SubmitOrder, now_ns: int, owner: str) -> None:
        terms = command.terms
        ledger = self.ledgers.setdefault(owner, Ledger())
        pool = self.pools.get(terms.instrument)
        refusal = self.refuses
        if command.replaces and not (refusal := refusal or self._cannot_replace(command, owner)):
            withdrawal = CancelOrder(command.replaces, terms.instrument, "replaced")
            self._arrive_cancel(withdrawal, now_ns, owner)
        ours = self._working(owner)
        refusal = refusal or admission.refusal(command, pool, ledger, ours)
        if refusal or pool is None:
            self.book(Refused(command.order, refusal), owner)
            self._report(OrderRejected(self._return_ns(now_ns), command.order, refusal), owner)
            if command.replaces in self._owners or refusal.startswith(GONE):
                kept = CancelRejected(self._return_ns(now_ns), command.replaces, refusal)
                self._report(kept, owner)
            return
        self.book(Accepted(command.order, terms), owner)
        if terms.side is Side.BUY:
            admission.watch_exposure(ledger, terms, ours, self.bid)
        order = WorkingOrder(command.order, owner, terms)
        self._report(OrderAccepted(self._return_ns(now_ns), order.id), owner)
        self._owners[order.id] = (owner, order)
        if terms.type is OrderType.STOP:
            pool.stops[order.id] = order
            return
        self._enter(pool, order, now_ns)
        if terms.side is Side.BUY and order.id in self._owners:  # what reduces may always rest
            ledger.most_open = max(ledger.most_open, len(ours) + 1)

    def _enter(self, pool: Pool, order: WorkingOrder, now_ns: int) -> None:
        """Let an order take what stands against it; what is left rests, or ends."""
        self._take(pool, order, now_ns)
        terms = order.terms
        if order.remaining == 0:
            del self._owners[order.id]
        elif terms.type is OrderType.MARKET or terms.time_in_force is not TimeInForce.GTC:
            del self._owners[order.id]
            text = f"{terms.type} {terms.time_in_force}: nothing more to take"
            self._end(order, OrderState.CANCELED, text, now_ns)
        else:
            pool.rest(order)

    def _cannot_replace(self, command: SubmitOrder, owner: str) -> str:
        found = self._owners.get(command.replaces)
        return "" if found is not None and found[0] == owner else GONE

    def bid(self, name: InstrumentId) -> int:
        """The best bid of others here, one with something left if there is one; 0 if none stood."""
        pool = self.pools.get(name)
        return pool.best_bid_left() if pool is not None else 0

    def _arrive_cancel(self, command: CancelOrder, now_ns: int, owner: str) -> None:
        found = self._owners.get(command.order)
        if found is None or found[0] != owner:
            report = CancelRejected(self._return_ns(now_ns), command.order, "no such open order")
            self._report(report, owner)
            return
        order = found[1]
        self._drop(self.pools[order.terms.instrument], order)
        self._end(order, OrderState.CANCELED, command.reason, now_ns)

    def _take(self, pool: Pool, order: WorkingOrder, now_ns: int) -> None:
        """Let an arriving order take what stands against it, best price first."""
        for price, quantity, against in pool.opposite(order.terms):
            wanted = min(order.remaining, quantity)
            if wanted <= 0:
                return
            if against is None:
                pool.take(order.terms.side, price, wanted)
            elif self._is_prevented(pool, order, against, price, now_ns):
                continue
            else:
                theirs = self.pools[against.terms.instrument]
                at = price if theirs is pool else SCALE - price
                self._fill(theirs, against, at, wanted, now_ns)
            self._execute(pool, order, price, wanted, now_ns, maker=False)

    def _is_prevented(
        self, pool: Pool, taker: WorkingOrder, maker: WorkingOrder, price: int, now_ns: int
    ) -> bool:
        """Whether the venue lets orders end rather than trade with another of their owner's."""
        ends: tuple[WorkingOrder, ...] = ()
        if self.prevents is not None and taker.owner == maker.owner:
            ends = self.prevents(taker, maker, price)
        for one in ends:
            if one is maker:
                self._drop(pool, maker)
            one.remaining = 0
            self._end(one, OrderState.EXPIRED, PREVENTED, now_ns)
        return bool(ends)

    def _fill_crossed(self, pool: Pool, now_ns: int) -> None:
        """Fill resting orders that a recorded opposite level stands at or through."""
        for side in Side:
            for order in pool.by_priority(side):
                for price, quantity in list(pool.recorded_against(order.terms)):
                    wanted = min(order.remaining, quantity)
                    if wanted <= 0:
                        break
                    pool.take(side, price, wanted)
                    self._fill(pool, order, order.terms.price, wanted, now_ns)

    def _fill(self, pool: Pool, order: WorkingOrder, price: int, quantity: int, now_ns: int) -> int:
        """Fill a resting order as maker; returns the quantity."""
        self._execute(pool, order, price, quantity, now_ns, maker=True)
        if order.remaining == 0:
            self._drop(pool, order)
        return quantity

    def _execute(
        self,
        pool: Pool,
        order: WorkingOrder,
        price: int,
        quantity: int,
        now_ns: int,
        *,
        maker: bool,
    ) -> None:
        self._trades += 1
        order.remaining -= quantity
        terms, definition = order.terms, pool.definition
        fee, kept = definition.fees.fee(price, quantity, maker=maker), 0
        fees = definition.fees
        if self.keeps_fees and terms.side is Side.BUY and isinstance(fees, ProportionalFees):
            fee, kept = Money(0), fees.kept(quantity, maker=maker)
        fill = Fill(
            self._return_ns(now_ns),
            order.id,
            terms.instrument,
            terms.side,
            price,
            quantity,
            fee,
            maker,
            f"T{self._trades}",
            kept,
        )
        nets = isinstance(definition, BinaryContract) and definition.nets
        self.book(Executed(fill, definition.complement if nets else None), order.owner)  # type: ignore[union-attr]
        self._report(fill, order.owner)

    def _end_all(self, pool: Pool, now_ns: int, reason: str) -> None:
        for order in list(pool.working.values()):
            self._drop(pool, order)
            self._end(order, OrderState.CANCELED, reason, now_ns)

    def _drop(self, pool: Pool, order: WorkingOrder) -> None:
        pool.drop(order)
        self._owners.pop(order.id, None)

    def _end(self, order: WorkingOrder, state: OrderState, reason: str, now_ns: int) -> None:
        self.book(Ended(order.id, state, reason), order.owner)
        kind = OrderExpired if state is OrderState.EXPIRED else OrderCanceled
        self._report(kind(self._return_ns(now_ns), order.id, reason), order.owner)

    def _working(self, owner: str) -> list[WorkingOrder]:
        return [order for whose, order in self._owners.values() if whose == owner]
