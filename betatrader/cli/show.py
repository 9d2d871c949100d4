"""What is and was: status, orders, fills, positions, signals, events, limits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from betatrader.cli.output import json_option, print_json, print_json_line, print_table
from betatrader.engine.state import State
from betatrader.model.account import CashFlow, Fill
from betatrader.model.command import (
    Alert,
    Approved,
    Booked,
    CancelOrder,
    Refused,
    StateChanged,
    Step,
    StrategyFailed,
)
from betatrader.model.errors import UnreachableError
from betatrader.model.market import InstrumentListed, Resolution
from betatrader.model.money import show
from betatrader.model.order import Order
from betatrader.model.signal import Forecast
from betatrader.model.summary import Summary
from betatrader.ops.clock import iso

FOLLOW_S = 0.2


class Past(NamedTuple):
    """What is known of a run: its summary, all its records, and whether it still lives."""

    summary: Summary
    records: list[Any]
    live: bool


def past() -> Past:
    """The live run that a command means, else the last one of this home."""
    from betatrader.ops import home

    try:
        url = home.redis_url()
    except UnreachableError:
        return _kept(home.default_home() / "reports")
    return asyncio.run(_read_live(url))


async def _read_live(url: str) -> Past:
    from betatrader.store import records
    from betatrader.store.connection import connected

    async with connected(url, 2.0) as redis:
        summary = await _summary(redis)
        unsealer = records.Unsealer()
        found = []
        async for _, data in records.pages(redis, summary.run):
            record = unsealer.open(data)
            if record is not None:
                found.append(record)
        return Past(summary, found, not summary.final)


async def _summary(redis: Any) -> Summary:
    from betatrader.store import keys

    run = await redis.get(keys.RUN)
    data = await redis.get(keys.summary(run.decode())) if run is not None else None
    if data is None:
        raise UnreachableError("no trader has opened an account here yet\nStart one: betatrader up")
    return msgspec.json.decode(data, type=Summary)


def _kept(reports: Path) -> Past:
    from betatrader.ops import home
    from betatrader.store import records

    runs = sorted(reports.glob("*/summary.json"))
    if not runs:
        raise UnreachableError(
            f"no run is live, and none is kept in {home.default_home()}\n"
            "Start one with `betatrader up` or `betatrader demo`."
        )
    summary = msgspec.json.decode(runs[-1].read_bytes(), type=Summary)
    unsealer = records.Unsealer()
    file = runs[-1].parent / records.FILE
    opened = (unsealer.open(data) for data in records.read_file(file)) if file.exists() else ()
    return Past(summary, [record for record in opened if record is not None], live=False)


def describe(record: Any) -> Iterator[str]:
    """A record in sentences for a person; none where it is of no interest alone."""
    if isinstance(record, Step):
        for change in record.changes:
            text = _change(change)
            if text:
                yield f"{iso(record.time_ns)[11:-1]}  {text}"
    elif isinstance(record, Resolution):
        paid = show(record.payout)
        yield f"{iso(record.time_ns)[11:-1]}  {record.instrument} resolved, pays {paid}"
    elif isinstance(record, InstrumentListed):
        yield f"{iso(record.time_ns)[11:-1]}  {record.definition.id} listed"


def _change(change: Any) -> str:
    match change:
        case Approved(terms=terms):
            return (
                f"{change.strategy}: {terms.side} {show(terms.quantity)} {terms.instrument} "
                f"at {show(terms.price)} ({change.reason})"
            )
        case CancelOrder():
            return f"cancel {change.order[-6:]} on {change.instrument} ({change.reason})"
        case Refused():
            return (
                f"denied {change.terms.side} {change.terms.instrument}: {change.check}, "
                f"limit {change.limit}, was {change.actual}"
            )
        case StateChanged():
            return f"state {change.state} {change.reason}".rstrip()
        case StrategyFailed():
            return f"strategy {change.strategy} failed: {change.error}"
        case Booked(kind="fill"):
            return f"filled: {change.text}"
        case Booked(kind="acknowledged"):
            return f"acknowledged: {change.text}"
        case Alert():
            return f"ALERT {change.level}: {change.text}"
    return ""


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Mode, roles, trading state, limits, and why nothing is traded if nothing is.

    Example: betatrader status --json
    """
    from betatrader.cli.status import gather, print_status

    found = gather()
    if as_json:
        print_json(found)
    else:
        print_status(found)


def _follow_option(command: Any) -> Any:
    return click.option("--follow", "-f", is_flag=True, help="Go on printing what comes.")(command)


@click.command()
@json_option
@_follow_option
def orders(as_json: bool, follow: bool) -> None:
    """Every order: terms, state, what was filled, why.

    Example: betatrader orders --json
    """
    if follow:
        _follow(_order_news, as_json=as_json)
        return
    state = _folded(past().records)
    orders = state.orders
    found = [*orders.closed.values(), *orders.denied.values(), *orders.open.values()]
    found.sort(key=lambda order: order.created_ns)
    _print([_order(o) for o in found], as_json=as_json, empty="no orders yet")


@click.command()
@json_option
@_follow_option
def fills(as_json: bool, follow: bool) -> None:
    """Every fill, with its fee.

    Example: betatrader fills --follow --json
    """
    if follow:
        _follow(lambda record: [_fill(record)] if isinstance(record, Fill) else [], as_json=as_json)
        return
    rows = [_fill(record) for record in past().records if isinstance(record, Fill)]
    _print(rows, as_json=as_json, empty="no fills yet")


@click.command()
@json_option
def positions(as_json: bool) -> None:
    """What is held, at which price, and what it is worth.

    Example: betatrader positions
    """
    rows = [msgspec.to_builtins(line) for line in past().summary.positions]
    _print(rows, as_json=as_json, empty="flat")


@click.command()
@json_option
@_follow_option
def signals(as_json: bool, follow: bool) -> None:
    """The forecasts that trading received.

    Example: betatrader signals --follow
    """
    if follow:
        _follow(lambda r: [_signal(r)] if isinstance(r, Forecast) else [], as_json=as_json)
        return
    rows = [_signal(record) for record in past().records if isinstance(record, Forecast)]
    _print(rows[-200:], as_json=as_json, empty="no forecasts yet")


@click.command()
@json_option
@_follow_option
def events(as_json: bool, follow: bool) -> None:
    """What happened, in sentences; with --json the records themselves.

    Example: betatrader events --follow
    """
    if follow:
        _follow(_event_news, as_json=as_json)
        return
    found = past().records
    if as_json:
        print_json([event_fields(record) for record in found])
        return
    for record in found:
        for line in describe(record):
            click.echo(line)


@click.group()
def limits() -> None:
    """The limits in force, and how much of each is used.

    Example: betatrader limits show
    """


@limits.command("show")
@json_option
def limits_show(as_json: bool) -> None:
    """Each limit and its use now."""
    rows = [msgspec.to_builtins(line) for line in past().summary.limits]
    _print(rows, as_json=as_json, empty="no limits known")


def _folded(records: list[Any]) -> State:
    """The engine's own state, folded from the records."""
    state = State()
    for record in records:
        state.fold(record)
    return state


def _print(rows: list[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    if as_json:
        print_json(rows)
        return
    heads = list(rows[0]) if rows else []
    print_table(heads, [[row[head] for head in heads] for row in rows], empty)


def _order(order: Order) -> dict[str, Any]:
    return {
        "time": iso(order.created_ns),
        "id": order.id,
        "strategy": order.strategy,
        "instrument": order.terms.instrument,
        "side": str(order.terms.side),
        "type": str(order.terms.type),
        "price": show(order.terms.price),
        "quantity": show(order.terms.quantity),
        "filled": show(order.filled),
        "state": str(order.state),
        "reason": order.reason,
    }


def _fill(fill: Fill) -> dict[str, Any]:
    return {
        "time": iso(fill.time_ns),
        "order": fill.order,
        "trade": fill.trade_id,
        "instrument": fill.instrument,
        "side": str(fill.side),
        "price": show(fill.price),
        "quantity": show(fill.quantity),
        "fee": show(fill.fee),
        "liquidity": "maker" if fill.maker else "taker",
    }


def _signal(forecast: Forecast) -> dict[str, Any]:
    return {
        "time": iso(forecast.time_ns),
        "instrument": forecast.instrument,
        "kind": forecast.kind,
        "value": round(forecast.value, 6),
        "confidence": forecast.confidence,
        "horizon_s": forecast.horizon_ns / 1e9,
        "expires": iso(forecast.expires_ns),
        "model": forecast.model,
    }


def event_fields(record: Any) -> dict[str, Any]:
    """A record as plain fields, for JSON."""
    kind = type(record).__name__
    if isinstance(record, Step):
        changes = [{"kind": type(c).__name__, **_fields(c)} for c in record.changes]
        return {
            "kind": kind,
            "sequence": record.sequence,
            "time": iso(record.time_ns),
            "changes": changes,
        }
    return {"kind": kind, "time": iso(record.time_ns), **_fields(record)}


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__ if name != "time_ns"}


def _order_news(record: Any) -> list[dict[str, Any]]:
    if not isinstance(record, Step):
        return []
    return [
        {
            "time": iso(record.time_ns),
            "id": change.order,
            "change": type(change).__name__ if not isinstance(change, Booked) else change.kind,
            "text": _change(change),
        }
        for change in record.changes
        if isinstance(change, Approved | CancelOrder | Refused)
    ]


def _event_news(record: Any) -> list[Any]:
    return [event_fields(record)] if not isinstance(record, CashFlow) else []


def _follow(news: Callable[[Any], list[Any]], *, as_json: bool) -> None:
    from betatrader.ops import home

    asyncio.run(_follow_on(home.redis_url(), news, as_json=as_json))


async def _follow_on(url: str, news: Callable[[Any], list[Any]], *, as_json: bool) -> None:
    """Print what comes until the run is over."""
    async for record in _coming(url):
        if as_json:
            for row in news(record):
                print_json_line(row)
        elif news is _event_news:
            for line in describe(record):
                click.echo(line)
        else:
            for row in news(record):
                click.echo("  ".join(str(cell) for cell in row.values()))


async def _coming(url: str) -> AsyncIterator[Any]:
    from betatrader.store import records
    from betatrader.store.connection import AWAY, connected

    async with connected(url, 2.0) as redis:
        run = (await _summary(redis)).run
        unsealer, after = records.Unsealer(), b"-"
        while True:
            try:
                async for entry, data in records.pages(redis, run, after):
                    after = entry
                    record = unsealer.open(data)
                    if record is not None:
                        yield record
                if (await _summary(redis)).final:
                    return
            except AWAY:
                return
            await asyncio.sleep(FOLLOW_S)
