"""The simulated venue: recorded liquidity and individual orders in one book for each instrument.

The rules, which are those of design.md and of the first issue:
- Recorded levels are anonymous queues. An individual order starts behind all that is shown at its
  price, and only trades at that price shorten the queue ahead of it.
- A recorded trade beyond an order's price, or a recorded opposite quote at or through it, fills
  the order at its own price, up to the size shown.
- What was taken from a recorded level stays taken until that level's next recorded change.
- Requests arrive one latency after they were sent; reports return one latency after that.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from betatrader.engine.book import OrderBook
from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderEvent,
    OrderExpired,
    OrderRejected,
)
from betatrader.model.command import CancelOrder, SubmitOrder
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.instrument import BinaryContract, Instrument
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    PublicTrade,
    Quote,
    Resolution,
)
from betatrader.model.money import SCALE, cost
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.sim.ledger import Ledger
from betatrader.sim.pool import Pool, WorkingOrder

NEVER = 1 << 62
"""A time that does not come."""

ENDED_KEPT = 16
"""Instruments that have ended and are kept, as the engine does."""

US = "us"
"""The owner of our own orders."""


class SimulatedExchange:
    """One venue. `share_book` gives the engine's book of an instrument, to be read and not kept
    twice; it is allowed where feed latency is zero, and the engine then takes each event first.
    """

    def __init__(
        self,
        latency_ns: int = 0,
        share_book: Callable[[InstrumentId], OrderBook] | None = None,
    ) -> None:
        self.latency_ns = latency_ns
        self.next_due_ns = NEVER
        self.pools: dict[InstrumentId, Pool] = {}
        self.ledgers: dict[str, Ledger] = {US: Ledger()}
        self._share_book = share_book
        self._due: list[tuple[int, int, str, Any]] = []
        self._outbox: dict[str, list[OrderEvent]] = {}
        self._sequence = 0
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

    # Requests, from the gateway.

    def deposit(self, amount: int, owner: str = US) -> None:
        """Put cash into an account."""
        ledger = self.ledgers.setdefault(owner, Ledger())
        ledger.cash += amount
        ledger.deposits += amount

    def submit(self, command: SubmitOrder, now_ns: int, owner: str = US) -> None:
        """Take an order under way; it arrives one latency later."""
        self._later(now_ns + self.latency_ns, owner, command)

    def cancel(self, command: CancelOrder, now_ns: int, owner: str = US) -> None:
        """Take a cancel under way; it arrives one latency later."""
        self._later(now_ns + self.latency_ns, owner, command)

    def advance(self, now_ns: int, owner: str = US) -> list[OrderEvent]:
        """Let time pass: requests that are due arrive, an owner's reports that are due return.

        Reports to others wait until they ask.
        """
        reports = self._outbox.pop(owner, [])
        while self._due and self._due[0][0] <= now_ns:
            due, _, whose, item = heappop(self._due)
            if isinstance(item, SubmitOrder):
                self._arrive(item, due, whose)
            elif isinstance(item, CancelOrder):
                self._arrive_cancel(item, due, whose)
            elif whose == owner:
                reports.append(item)
            else:
                self._outbox.setdefault(whose, []).append(item)
        self.next_due_ns = self._due[0][0] if self._due else NEVER
        return reports

    def resting(self, owner: str = US) -> set[str]:
        """The ids of an owner's orders that rest in the book."""
        return {name for name, (whose, _) in self._owners.items() if whose == owner}

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

    def _on_delta(self, event: BookDelta) -> None:
        pool = self.pools[event.instrument]
        if not pool.shared:
            pool.book.apply(event.bids, event.asks, event.update_id)
        if pool.taken:
            pool.forget(Side.BUY, event.bids)
            pool.forget(Side.SELL, event.asks)
        book = pool.book
        if book.best_bid >= pool.lowest_sell or 0 < book.best_ask <= pool.highest_buy:
            self._fill_crossed(pool, event.time_ns)

    def _on_snapshot(self, event: BookSnapshot) -> None:
        pool = self.pools[event.instrument]
        if pool.opened:
            self._end_all(pool, event.time_ns, "the feed began anew")
        pool.opened = True
        pool.quote = None
        if not pool.shared:
            pool.book.replace(event.bids, event.asks, event.update_id)
        pool.taken.clear()

    def _on_trade(self, event: PublicTrade) -> None:
        pool = self.pools[event.instrument]
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
        pool.tradable = False
        pool.ended = True
        for order in list(pool.working.values()):
            self._drop(pool, order)
            report = OrderExpired(self._return_ns(event.time_ns), order.id, "resolved")
            self._report(report, order.owner)
        for ledger in self.ledgers.values():
            ledger.settle(event.instrument, event.payout)

    # Orders at the venue.

    def _arrive(self, command: SubmitOrder, now_ns: int, owner: str) -> None:
        terms = command.terms
        ledger = self.ledgers.setdefault(owner, Ledger())
        pool = self.pools.get(terms.instrument)
        refusal = self._refusal(command, pool, ledger)
        if refusal or pool is None:
            ledger.refused += 1
            self._report(OrderRejected(self._return_ns(now_ns), command.order, refusal), owner)
            return
        ledger.accept(command.order, terms)
        if terms.side is Side.BUY:
            self._watch_exposure(ledger, terms)
        order = WorkingOrder(command.order, owner, terms)
        self._report(OrderAccepted(self._return_ns(now_ns), order.id), owner)
        self._owners[order.id] = (owner, order)
        self._take(pool, order, now_ns)
        if order.remaining == 0:
            del self._owners[order.id]
        elif terms.type is OrderType.MARKET or terms.time_in_force is not TimeInForce.GTC:
            del self._owners[order.id]
            text = f"{terms.type} {terms.time_in_force}: nothing more to take"
            self._report(OrderCanceled(self._return_ns(now_ns), order.id, text), owner)
        else:
            pool.rest(order)
            resting = sum(order.owner == owner for _, order in self._owners.values())
            ledger.most_open = max(ledger.most_open, resting)

    def _refusal(self, command: SubmitOrder, pool: Pool | None, ledger: Ledger) -> str:
        """Why the venue does not take this order; empty where it does."""
        terms = command.terms
        if pool is None or not pool.tradable:
            return "the instrument is not trading"
        if command.order in ledger.orders:
            return "duplicate client order id"
        definition = pool.definition
        if terms.quantity <= 0 or terms.quantity % definition.lot:
            return "the quantity is no multiple of the lot"
        if terms.price <= 0 or terms.price % definition.tick:
            return "the price is no multiple of the tick"
        if isinstance(definition, BinaryContract) and terms.price >= SCALE:
            return "a contract's price is below 1"
        if not self._covered(terms, definition, ledger):
            return "insufficient balance"
        available = pool.available(terms)
        if terms.post_only and available:
            return "post-only, and it would take"
        if terms.time_in_force is TimeInForce.FOK and available < terms.quantity:
            return "fill or kill, and not all can be filled"
        return ""

    def _watch_exposure(self, ledger: Ledger, terms: OrderTerms) -> None:
        """Note how much an account has at stake as it buys: what it holds at this venue's own
        bids, and all its open buys at their limits, the arriving one included."""
        stakes = {
            name: quantity * self._bid(name) // SCALE
            for name, quantity in ledger.positions.items()
            if quantity
        }
        buys = [
            order.terms
            for _, order in self._owners.values()
            if self.ledgers[order.owner] is ledger and order.terms.side is Side.BUY
        ]
        for bought in (*buys, terms):
            notional = cost(bought.price, bought.quantity)
            stakes[bought.instrument] = stakes.get(bought.instrument, 0) + notional
        ledger.largest_stake = max(ledger.largest_stake, *stakes.values())
        ledger.largest_total = max(ledger.largest_total, sum(stakes.values()))
        ledger.most_positions = max(ledger.most_positions, len(stakes))

    def _bid(self, name: InstrumentId) -> int:
        pool = self.pools.get(name)
        if pool is None:
            return 0
        return pool.book.best_bid or (pool.quote.bid if pool.quote is not None else 0)

    def _covered(self, terms: OrderTerms, definition: Instrument, ledger: Ledger) -> bool:
        """Whether the account holds what this order and its other open orders may take."""
        if terms.side is Side.SELL:
            offered = sum(
                order.remaining
                for _, order in self._owners.values()
                if self.ledgers[order.owner] is ledger
                and order.terms.side is Side.SELL
                and order.terms.instrument == terms.instrument
            )
            return terms.quantity <= ledger.held(terms.instrument) - offered
        bound = sum(
            cost(order.terms.price, order.remaining)
            for _, order in self._owners.values()
            if self.ledgers[order.owner] is ledger and order.terms.side is Side.BUY
        )
        fee = definition.fees.fee(terms.price, terms.quantity, maker=False)
        return cost(terms.price, terms.quantity) + fee <= ledger.cash - bound

    def _arrive_cancel(self, command: CancelOrder, now_ns: int, owner: str) -> None:
        found = self._owners.get(command.order)
        if found is None or found[0] != owner:
            report = CancelRejected(self._return_ns(now_ns), command.order, "no such open order")
            self._report(report, owner)
            return
        order = found[1]
        self._drop(self.pools[order.terms.instrument], order)
        self._report(OrderCanceled(self._return_ns(now_ns), order.id, command.reason), owner)

    def _take(self, pool: Pool, order: WorkingOrder, now_ns: int) -> None:
        """Let an arriving order take what stands against it, best price first."""
        for price, quantity, against in pool.opposite(order.terms):
            wanted = min(order.remaining, quantity)
            if wanted <= 0:
                return
            if against is None:
                pool.take(order.terms.side, price, wanted)
            else:
                self._fill(pool, against, price, wanted, now_ns)
            self._execute(pool, order, price, wanted, now_ns, maker=False)

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
        terms = order.terms
        fill = Fill(
            self._return_ns(now_ns),
            order.id,
            terms.instrument,
            terms.side,
            price,
            quantity,
            pool.definition.fees.fee(price, quantity, maker=maker),
            maker,
            f"T{self._trades}",
        )
        self.ledgers[order.owner].record(fill, pool.definition)
        self._report(fill, order.owner)

    def _end_all(self, pool: Pool, now_ns: int, reason: str) -> None:
        for order in list(pool.working.values()):
            self._drop(pool, order)
            self._report(OrderCanceled(self._return_ns(now_ns), order.id, reason), order.owner)

    def _drop(self, pool: Pool, order: WorkingOrder) -> None:
        pool.drop(order)
        self._owners.pop(order.id, None)

    def _return_ns(self, now_ns: int) -> int:
        return now_ns + self.latency_ns

    def _report(self, report: OrderEvent, owner: str) -> None:
        self._later(report.time_ns, owner, report)

    def _later(self, due_ns: int, owner: str, item: object) -> None:
        self._sequence += 1
        heappush(self._due, (due_ns, self._sequence, owner, item))
        if due_ns < self.next_due_ns:
            self.next_due_ns = due_ns
