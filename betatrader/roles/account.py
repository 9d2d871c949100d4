"""The trader's Summary, made from the engine's state."""

from collections.abc import Iterator

from betatrader import __version__
from betatrader.engine.closing import beyond_dust
from betatrader.engine.exposure import event_loss, venue_notional
from betatrader.engine.market import Market
from betatrader.engine.proposal import CLOSING, reserve
from betatrader.engine.state import State
from betatrader.model.ids import venue_of
from betatrader.model.instruction import TradingState
from betatrader.model.instrument import BinaryContract
from betatrader.model.limits import UNBOUND, Limits
from betatrader.model.money import SCALE, cost, proceeds, show
from betatrader.model.order import Side
from betatrader.model.summary import (
    AccountLine,
    LimitLine,
    MarketLine,
    PositionLine,
    Quantiles,
    StrategyLine,
    Summary,
)
from betatrader.roles.trader import Trader

MARKETS_SHOWN = 12
QUIET_NS = 10_000_000_000
"""Without an order for so long, a person wants to know why."""


def summarise(
    trader: Trader,
    *,
    mode: str,
    started_ns: int,
    now_ns: int,
    invariants: dict[str, bool] | None = None,
    error: str = "",
) -> Summary:
    """The account as it stands; `invariants` are given at the end, and make the summary final."""
    state = trader.engine.state
    limits = trader.engine.limits
    equity = state.equity()
    return Summary(
        run=trader.run,
        mode=mode.upper(),
        version=__version__,
        started_ns=started_ns,
        time_ns=now_ns,
        trading_state=state.trading_state,
        reason=state.halt_reason,
        events=state.event_sequence,
        signals=trader.signals,
        orders=state.orders.submitted,
        fills=state.orders.fills,
        risk_denials=sum(state.denials.values()),
        denials=dict(state.denials),
        cash=show(state.portfolio.cash),
        accounts=_accounts(state),
        equity=show(equity),
        pnl=show(equity - state.portfolio.deposits),
        realised=show(state.portfolio.realised),
        unrealised=show(state.unrealised()),
        fees=show(state.portfolio.fees),
        strategies=_strategies(state),
        positions=_positions(state),
        markets=_markets(state, now_ns, started_ns),
        limits=_limits(state, limits, equity),
        open_orders=len(state.orders.open),
        to_sell=len(beyond_dust(state)),
        epoch=state.epoch,
        failed=tuple(state.failed),
        why_not=_why_not(trader, now_ns),
        event_to_command_us=_quantiles(list(trader.event_to_command_ns)),
        data_to_signal_us=_quantiles(list(trader.data_to_signal_ns)),
        invariants=invariants or {},
        final=invariants is not None,
        error=error,
    )


def _accounts(state: State) -> tuple[AccountLine, ...]:
    return tuple(
        AccountLine(
            venue=name,
            cash=show(state.cash_at(name)),
            away=name in state.away,
            compared=name not in state.uncompared,
            barred=state.barred.get(name, ""),
        )
        for name in state.accounts
    )


def _strategies(state: State) -> tuple[StrategyLine, ...]:
    earned = dict(state.holdings.cash)
    for name, shares in state.holdings.shares.items():
        for strategy, quantity in shares.items():
            worth = proceeds(state.mark(name), quantity)
            earned[strategy] = earned.get(strategy, 0) + worth
    return tuple(
        StrategyLine(strategy=name, profit=show(profit))
        for name, profit in sorted(earned.items())
        if profit or name not in CLOSING  # whose closes are their owners' gain
    )


def _positions(state: State) -> tuple[PositionLine, ...]:
    return tuple(
        PositionLine(
            instrument=name,
            quantity=show(held.quantity),
            average_price=show(held.average_price),
            mark=show(state.mark(name)),
            unrealised=show(proceeds(state.mark(name), held.quantity) - held.cost),
        )
        for name, held in state.portfolio.open_positions()
    )


def _markets(state: State, now_ns: int, started_ns: int) -> tuple[MarketLine, ...]:
    live = [seen for seen in state.markets.values() if not seen.resolved]
    return tuple(_market(seen, now_ns, started_ns) for seen in live[:MARKETS_SHOWN])


def _market(seen: Market, now_ns: int, started_ns: int) -> MarketLine:
    forecast = seen.forecast
    seen_ns = seen.updated_ns or started_ns  # 0: nothing came yet, or since the venue was away
    left_ns = max(0, forecast.expires_ns - now_ns) if forecast is not None else 0
    return MarketLine(
        instrument=seen.id,
        bid=show(seen.bid),
        bid_size=show(seen.bid_size),
        ask=show(seen.ask),
        ask_size=show(seen.ask_size),
        age_ms=max(0, now_ns - seen_ns) // 1_000_000,
        forecast=forecast.value if forecast is not None else None,
        forecast_kind=forecast.kind if forecast is not None else "",
        forecast_left_ms=left_ns // 1_000_000,
    )


def _limits(state: State, limits: Limits, equity: int) -> tuple[LimitLine, ...]:
    held = state.portfolio.open_positions()
    worth = {name: cost(state.mark(name), position.quantity) for name, position in held}
    bound = sum(reserve(state, o) for o in state.orders.open.values() if o.terms.side is Side.BUY)
    fall = state.equity_high - equity
    largest = max(worth.values(), default=0)
    markets = state.markets.values()
    contracts = [m.definition for m in markets if isinstance(m.definition, BinaryContract)]
    venues = {venue_of(name) for name in state.markets}
    lines = (
        ("order_notional_usd", show(limits.order_notional), ""),
        (
            "position_notional_usd",
            show(limits.position_notional),
            show(largest),
        ),
        (
            "position_event_usd",
            show(limits.position_event),
            show(max((event_loss(state, contract) for contract in contracts), default=0)),
        ),
        (
            "position_venue_usd",
            show(limits.position_venue),
            show(max((venue_notional(state, venue) for venue in venues), default=0)),
        ),
        ("total_notional_usd", show(limits.total_notional), show(sum(worth.values()) + bound)),
        ("open_positions", str(limits.open_positions), str(len(held))),
        ("open_orders", str(limits.open_orders), str(len(state.orders.open))),
        (
            "orders_per_minute",
            str(limits.orders_per_minute),
            str(state.orders.sent - state.rate_from),
        ),
        ("daily_loss_usd", show(limits.daily_loss), show(max(0, state.day_equity - equity))),
        (
            "drawdown",
            show(limits.drawdown),
            show(fall * SCALE // state.equity_high if state.equity_high > 0 else 0),
        ),
        ("order_quantity", show(limits.order_quantity), ""),
        ("collar", show(limits.collar), ""),
        ("collar_ticks", str(limits.collar_ticks), ""),
        ("stale_data_seconds", show(limits.stale_data_ns // 10), ""),
        *_ceilings(state, limits),
        *((f"venues of {name}", ", ".join(where), "") for name, where in limits.venues.items()),
    )
    return tuple(LimitLine(name=name, limit=limit, used=used) for name, limit, used in lines)


def _ceilings(state: State, limits: Limits) -> Iterator[tuple[str, str, str]]:
    """Those of live trading, where they bind."""
    bought, buys = state.orders.today.at(state.now_ns)
    if limits.daily_bought < UNBOUND:
        yield "daily_usd", show(limits.daily_bought), show(bought)
    if limits.daily_orders < UNBOUND:
        yield "micro_orders_a_day", str(limits.daily_orders), str(buys)
    if limits.minimum_times < UNBOUND:
        yield "size", "the venue's minimum", ""


def _why_not(trader: Trader, now_ns: int) -> str:
    """Why no order has left for a while, as one sentence; "" where one has."""
    state = trader.engine.state
    if state.trading_state is not TradingState.ACTIVE:
        return f"{state.trading_state}: {state.halt_reason or 'by the operator'}"
    if state.failed:
        return f"strategy {', '.join(state.failed)} failed: see `betatrader events`"
    if state.barred and not state.may_add_risk:
        return "; ".join(f"no new orders at {name}: {told}" for name, told in state.barred.items())
    if trader.last_order_ns and now_ns - trader.last_order_ns < QUIET_NS:
        return ""
    live = [seen for seen in state.markets.values() if not seen.resolved and seen.tradable]
    if not live:
        return "no instrument is listed"
    if all(now_ns - seen.updated_ns > trader.engine.limits.stale_data_ns for seen in live):
        return "no market data arrives"
    if state.orders.open:
        return "orders rest and wait to be filled"
    forecasts = [seen.forecast for seen in live if seen.forecast is not None]
    if not any(forecast.expires_ns > now_ns for forecast in forecasts):
        return "no fresh forecast: intel is away, or windows of market data are still filling"
    if state.denials:
        check = max(state.denials, key=lambda name: state.denials[name])
        return f"no edge beats costs now; most denials so far: {check} ({state.denials[check]})"
    return "forecasts arrive, and no edge beats costs and thresholds"


def _quantiles(spans_ns: list[int]) -> Quantiles:
    if not spans_ns:
        return Quantiles()
    spans_ns.sort()
    last = len(spans_ns) - 1
    p50, p99 = spans_ns[int(0.5 * last)], spans_ns[int(0.99 * last)]
    return Quantiles(p50=round(p50 / 1000, 1), p99=round(p99 / 1000, 1))
