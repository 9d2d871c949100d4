"""Planted bugs: each is one that a trader has had, and that the simulation must see.

A bug is a patch, applied in memory, in a process that is thrown away. `betatrader simulate --bugs`
plants them one after the other and says which seed caught each. One counts as caught only by a
complaint that is of what it does (`Bug.shows`), in a run that traded and in which nobody fell over:
a patch that no longer fits the product would break it too, in ways that show nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from betatrader.chaos.seams import put
from betatrader.engine import risk
from betatrader.engine.checks import CHECKS, UNANSWERED
from betatrader.engine.engine import Engine
from betatrader.engine.orders import Orders
from betatrader.engine.state import State
from betatrader.model.account import Fill, OrderRejected, Reconciled
from betatrader.model.command import Approved, Step
from betatrader.model.instruction import Started, TradingState
from betatrader.model.order import CLOSED
from betatrader.ops import clock
from betatrader.roles import following, leading, reconciling, trader
from betatrader.roles.reconciling import Reconciler
from betatrader.store import lease
from betatrader.store.journal import Journal
from betatrader.venues import gateway, reconcile
from betatrader.venues.in_flight import InFlight
from betatrader.venues.link import wire
from betatrader.venues.link.client import LinkVenue

ACTIVE = TradingState.ACTIVE


class Bug(NamedTuple):
    """What is wrong, the patch, and words of the complaints that it leads to (any of them)."""

    tells: str
    plant: Callable[[], None]
    shows: tuple[str, ...]


def _timeout_is_rejection() -> None:
    def doubt(self: InFlight, number: int, reason: str) -> None:
        order = self.answered(number)
        if order is not None:
            self._take(OrderRejected(clock.now_ns(), order, reason))

    put(InFlight, "doubt", doubt)


def _trades_on() -> None:
    _orders_do_not_wait_for_shipping()
    put(lease.Lease, "may_order", lambda _self: True)
    put(lease.Lease, "may_cancel", lambda _self: True)


def _no_reconciliation_at_start() -> None:
    async def at_start(self: Reconciler, *_: Any) -> tuple[str, ...]:
        self._take(Reconciled(clock.now_ns(), "SIM"))
        return ()

    put(Reconciler, "at_start", at_start)


def _fills_counted_twice() -> None:
    def is_new(self: Orders, fill: Fill) -> bool:
        self.seen_fills.setdefault(fill.order, []).append(fill.trade_id)
        self.fills += 1
        return True

    put(Orders, "is_new_fill", is_new)


def _orders_not_journaled() -> None:
    append = Journal.append

    def skip(self: Journal, record: Any) -> None:
        if isinstance(record, Step) and any(isinstance(c, Approved) for c in record.changes):
            return
        append(self, record)

    put(Journal, "append", skip)


def _orders_do_not_wait_for_shipping() -> None:
    ship = trader.Trader.ship
    put(trader.Trader, "ship", lambda self, shipper, **_: ship(self, shipper, hold=False))


def _epoch_does_not_grow() -> None:
    acquire = lease.Lease.acquire

    async def same(self: lease.Lease) -> Any:
        held = await acquire(self)
        if held is None:
            self.epoch = 7
        return held

    put(lease.Lease, "acquire", same)
    put(lease.Lease, "renew", _always_held)


async def _always_held(self: lease.Lease) -> str:
    self._end = self._clock() + self.ttl_s
    return "held"


def _takeover_forgets_steps() -> None:
    follow = following.Follower._follow

    def skip(self: following.Follower, shipped: Any) -> None:
        if shipped.whole or shipped.number % 3:
            follow(self, shipped)

    put(following.Follower, "_follow", skip)


def _snapshot_without(part: str) -> None:
    snapshot = Engine.snapshot

    def incomplete(self: Engine, *schema: int) -> bytes:
        kept = getattr(self.state.orders, part)
        put(self.state.orders, part, {})
        try:
            return snapshot(self, *schema)
        finally:
            put(self.state.orders, part, kept)

    put(Engine, "snapshot", incomplete)


def _snapshot_without_open_orders() -> None:
    _snapshot_without("open")


def _missed_fills_stay_missed() -> None:
    put(reconciling, "missing_fills", lambda *_: [])


def _late_fills_dropped() -> None:
    take = Orders.is_new_fill

    def only_open(self: Orders, fill: Fill) -> bool:
        order = self.find(fill.order)
        return (order is None or order.state not in CLOSED) and take(self, fill)

    put(Orders, "is_new_fill", only_open)


def _never_taken_at_once() -> None:
    reports = reconcile.order_reports

    def at_once(state: State, account: Any, venue: str, now_ns: int, *_: int, **age: Any) -> Any:
        return reports(state, account, venue, now_ns, 0, **age)

    put(reconciling, "order_reports", at_once)


def _trade_ids_forgotten_at_a_restart() -> None:
    _snapshot_without("seen_fills")


def _doubtful_orders_sent_again() -> None:
    doubt, submit = InFlight.doubt, LinkVenue.submit
    sent: dict[int, tuple[LinkVenue, Approved]] = {}

    def remember(self: LinkVenue, command: Approved, now_ns: int) -> None:
        submit(self, command, now_ns)
        sent[id(self._in_flight)] = (self, command)

    def again(self: InFlight, number: int, reason: str) -> None:
        doubt(self, number, reason)
        venue, command = sent[id(self)]
        submit(venue, command, clock.now_ns())

    put(LinkVenue, "submit", remember)
    put(InFlight, "doubt", again)


def _no_reconnect() -> None:
    async def once(self: LinkVenue) -> None:
        await self._connect()
        while True:
            await self._lost.wait()
            self._lost = type(self._lost)()

    put(LinkVenue, "_stay_connected", once)


def _held_orders_for_ever() -> None:
    shipped = gateway.Gateway.shipped

    def in_time_alone(self: gateway.Gateway, ticket: int, now_ns: int, *rest: Any) -> None:
        if not self._held or now_ns - self._held[0].time_ns < trader.HOLD_NS:
            shipped(self, ticket, now_ns, *rest)

    put(gateway.Gateway, "give_up_held", lambda *_a, **_k: 0)
    put(gateway.Gateway, "shipped", in_time_alone)


def _positions_forgotten() -> None:
    restore = Engine.restore

    def forget(self: Engine, data: bytes) -> None:
        restore(self, data)
        self.state.orders.closed.clear()
        self.state.portfolio.positions.clear()

    put(Engine, "restore", forget)


def _unanswered_orders_count_nothing() -> None:
    judge = risk.Judge.judge

    def forgetful(self: risk.Judge, state: State, *rest: Any) -> Any:
        kept = state.orders.open
        put(state.orders, "open", {n: o for n, o in kept.items() if o.state not in UNANSWERED})
        try:
            return judge(self, state, *rest)
        finally:
            put(state.orders, "open", kept)

    put(risk.Judge, "judge", forgetful)


def _halt_forgotten_at_a_restart() -> None:
    on_started = Engine._on_started

    def active(self: Engine, event: Started, seen: object) -> None:
        on_started(self, msgspec.structs.replace(event, trading_state=ACTIVE, reason=""), seen)

    put(Engine, "_on_started", active)


def _halt_lets_buys_through() -> None:
    put(risk, "far_from_limits", lambda *_: False)
    _without("trading_state")


def _losses_never_halt() -> None:
    put(risk, "breached", lambda *_: "")
    _without("daily_loss", "drawdown")


def _without(*names: str) -> None:
    """Risk without some of its checks."""
    put(risk, "CHECKS", tuple(check for check in CHECKS if check.__name__ not in names))


def _venues_clock_believed() -> None:
    async def account(self: LinkVenue, orders: Any) -> Any:
        return (await self._ask(lambda number: wire.AskAccount(number, orders))).account

    put(LinkVenue, "account", account)


def _unfenced_at_once() -> None:
    put(lease.Lease, "orders_in_s", lambda _self: 0.0)


def _overtaken_goes_on() -> None:
    put(leading.Leadership, "overtaken", lambda *_: False)


FILLS = ("at the end: fills_equal", "at the end: fees_equal")
"""Of a fill that is in one side's books alone."""

BUGS: dict[str, Bug] = {
    "timeout-is-rejection": Bug(
        "no answer counts as a refusal", _timeout_is_rejection, ("counts as refused",)
    ),
    "trades-on": Bug(
        "an old leader trades on: neither its lease nor shipping holds it back",
        _trades_on,
        ("had begun",),
    ),
    "no-reconciliation": Bug(
        "the start asks the venue nothing",
        _no_reconciliation_at_start,
        ("before the venue was asked",),
    ),
    "fills-twice": Bug("a fill told twice counts twice", _fills_counted_twice, FILLS),
    "not-journaled": Bug(
        "orders leave without a record of them", _orders_not_journaled, ("was in no journal",)
    ),
    "not-shipped": Bug(
        "orders do not wait until Redis has their record",
        _orders_do_not_wait_for_shipping,
        ("was in no journal",),
    ),
    "same-epoch": Bug(
        "each leader has the same token", _epoch_does_not_grow, ("was in no journal", "sent twice")
    ),
    "takeover-skips": Bug(
        "a standby misses some of what was shipped",
        _takeover_forgets_steps,
        ("was in no journal", *FILLS),
    ),
    "snapshot-without-orders": Bug(
        "a snapshot leaves out open orders",
        _snapshot_without_open_orders,
        ("was in no journal", *FILLS),
    ),
    "missed-fills": Bug(
        "fills that no report told are never asked for", _missed_fills_stay_missed, FILLS
    ),
    "late-fills-dropped": Bug(
        "a fill after the order's end is dropped", _late_fills_dropped, FILLS
    ),
    "never-taken-at-once": Bug(
        "an order that the venue does not know yet counts as never taken",
        _never_taken_at_once,
        ("counts as refused", "was in no journal"),
    ),
    "trade-ids-forgotten": Bug(
        "after a restart a fill may count again", _trade_ids_forgotten_at_a_restart, FILLS
    ),
    "sent-again": Bug(
        "an order in doubt is sent again", _doubtful_orders_sent_again, ("was sent twice",)
    ),
    "no-reconnect": Bug("a broken connection stays broken", _no_reconnect, ("no order for long",)),
    "held-for-ever": Bug(
        "orders that were held for too long are never let go",
        _held_orders_for_ever,
        ("no order for long",),
    ),
    "positions-forgotten": Bug(
        "a restart forgets what is held",
        _positions_forgotten,
        ("cash_conserved", "positions_equal"),
    ),
    "unanswered-uncounted": Bug(
        "unanswered orders count nothing against limits",
        _unanswered_orders_count_nothing,
        ("at stake",),
    ),
    "halt-forgotten": Bug(
        "a restart forgets that the trader was halted",
        _halt_forgotten_at_a_restart,
        (" buys, and ",),
    ),
    "halt-buys": Bug("a halted trader still buys", _halt_lets_buys_through, (" buys, and ",)),
    "losses-never-halt": Bug(
        "a loss limit that is reached stops nothing", _losses_never_halt, ("bought, with",)
    ),
    "venues-clock": Bug(
        "fills that the venue is asked for set our clock to its own",
        _venues_clock_believed,
        ("ahead of our clock",),
    ),
    "unfenced-at-once": Bug(
        "who takes a lease that nothing fences does not wait for the former holder",
        _unfenced_at_once,
        ("had begun",),
    ),
    "overtaken-goes-on": Bug(
        "a leader that sees a later one's orders repairs them",
        _overtaken_goes_on,
        ("was in no journal",),
    ),
}
"""Every planted bug by name."""
