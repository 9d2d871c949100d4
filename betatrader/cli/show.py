"""What is and was: status, orders, fills, positions, signals, events, limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import click
import msgspec

from betatrader.cli.control import limits_confirm
from betatrader.cli.output import Group, json_option, print_json, print_json_line, print_table
from betatrader.cli.past import Past, past, read_summary
from betatrader.cli.sentences import describe, event_fields, sentence
from betatrader.engine.state import State
from betatrader.model.account import CashFlow, Fill
from betatrader.model.command import (
    Approved,
    Booked,
    CancelOrder,
    Refused,
    Step,
)
from betatrader.model.money import show
from betatrader.model.order import Order
from betatrader.model.signal import Forecast
from betatrader.model.summary import Summary
from betatrader.ops.clock import iso

FOLLOW_S = 0.2


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
    known = past()
    orders = _folded(known.records).orders
    found = [*orders.closed.values(), *orders.denied.values(), *orders.open.values()]
    found.sort(key=lambda order: order.created_ns)
    _print(known, [_order(o) for o in found], as_json=as_json, empty="no orders yet")


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
    known = past()
    rows = [_fill(record) for record in known.records if isinstance(record, Fill)]
    _print(known, rows, as_json=as_json, empty="no fills yet")


@click.command()
@json_option
@_follow_option
def positions(as_json: bool, follow: bool) -> None:
    """What is held, at which price, and what it is worth.

    Example: betatrader positions --follow
    """
    if follow:
        asyncio.run(_follow_positions(as_json=as_json))
        return
    known = past()
    rows = [msgspec.to_builtins(line) for line in known.summary.positions]
    _print(known, rows, as_json=as_json, empty="flat")


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
    known = past()
    rows = [_signal(record) for record in known.records if isinstance(record, Forecast)]
    _print(known, rows[-200:], as_json=as_json, empty="no forecasts yet")


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
    known = past()
    if as_json:
        print_json([event_fields(record) for record in known.records])
        return
    _print_mode(known.summary)
    for record in known.records:
        for line in describe(record):
            click.echo(line)


@click.group(cls=Group)
def limits() -> None:
    """The limits in force, and how much of each is used.

    Example: betatrader limits show
    """


@limits.command("show")
@json_option
def limits_show(as_json: bool) -> None:
    """Each limit and its use now."""
    known = past()
    rows = [msgspec.to_builtins(line) for line in known.summary.limits]
    _print(known, rows, as_json=as_json, empty="no limits known")


@limits.command("shares")
@click.option("--give-back", type=int, metavar="N", help="Free that of database N, for good.")
@json_option
def limits_shares(give_back: int | None, as_json: bool) -> None:
    """Which share of the account's limits each of its traders has (docs/scaling.md).

    \b
    Examples:
      betatrader limits shares
      betatrader limits shares --give-back 1
    """
    from betatrader.cli.sharing import shares

    rows = asyncio.run(shares(give_back))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("account", "database", "share", "trades"),
        [
            (r["account"], str(r["database"]), r["share"], ", ".join(r["trades"]) or "-")
            for r in rows
        ],
        "no trader has led yet",
    )


limits.add_command(limits_confirm)


def _folded(records: list[Any]) -> State:
    """The engine's own state, folded from the records."""
    state = State()
    for record in records:
        state.fold(record)
    return state


def _print_mode(summary: Summary) -> None:
    """PAPER, SHADOW or LIVE stands over all that a person is shown."""
    click.echo(f"{summary.mode}   run {summary.run}")


def _print(known: Past, rows: list[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    if as_json:
        print_json(rows)
        return
    _print_mode(known.summary)
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


def _order_news(record: Any) -> list[dict[str, Any]]:
    if not isinstance(record, Step):
        return []
    return [
        {
            "time": iso(record.time_ns),
            "id": change.order,
            "change": type(change).__name__ if not isinstance(change, Booked) else change.kind,
            "text": sentence(change),
        }
        for change in record.changes
        if isinstance(change, Approved | CancelOrder | Refused)
    ]


def _event_news(record: Any) -> list[Any]:
    return [event_fields(record)] if not isinstance(record, CashFlow) else []


def _follow(news: Callable[[Any], list[Any]], *, as_json: bool) -> None:
    from betatrader.ops import home

    asyncio.run(_follow_on(home.redis_url(), news, as_json=as_json))


async def _follow_positions(*, as_json: bool) -> None:
    """Print what is held whenever it has changed, until the run is over."""
    from betatrader.ops import home
    from betatrader.store.connection import AWAY, connected

    shown: Any = None
    async with connected(home.redis_url(), 2.0) as redis:
        while True:
            try:
                summary = await read_summary(redis)
            except AWAY:
                return
            held = [(line.instrument, line.quantity) for line in summary.positions]
            if held != shown:
                shown = held
                rows = [msgspec.to_builtins(line) for line in summary.positions]
                if as_json:
                    print_json_line(rows)
                else:
                    _print(Past(summary, [], live=True), rows, as_json=False, empty="flat")
            if summary.final:
                return
            await asyncio.sleep(FOLLOW_S)


async def _follow_on(url: str, news: Callable[[Any], list[Any]], *, as_json: bool) -> None:
    """Print what comes until the run is over."""
    from betatrader.store.connection import connected

    if not as_json:
        async with connected(url, 2.0) as redis:
            _print_mode(await read_summary(redis))
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
        run = (await read_summary(redis)).run
        unsealer, after = records.Unsealer(), b"-"
        while True:
            try:
                async for entry, data in records.pages(redis, run, after):
                    after = entry
                    record = unsealer.open(data)
                    if record is not None:
                        yield record
                if (await read_summary(redis)).final:
                    return
            except AWAY:
                return
            await asyncio.sleep(FOLLOW_S)
