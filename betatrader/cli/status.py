"""What `betatrader status` gathers and shows."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from betatrader.cli.past import past, without_redis
from betatrader.model.errors import UnreachableError
from betatrader.model.money import parse, show_usd
from betatrader.model.summary import Summary
from betatrader.ops.clock import iso, now_ns

STALE_MS = 3_000


def gather() -> dict[str, Any]:
    """The run's summary, its roles by their heartbeats, and the lag of each stream. Where Redis is
    away, or takes nothing more: what a live run of this machine wrote to its disk, and its roles as
    they answer."""
    from betatrader.ops import home

    try:
        found = past()
    except UnreachableError as error:
        run = home.find_run()
        summary = without_redis(Path(run.home)) if run is not None else None
        if run is None or summary is None:
            raise
        return {
            **_facts(summary, live=True),
            "roles": asyncio.run(_asked(run.roles, run.ports)),
            "redis": str(error).partition("\n")[0],
        }
    summary, trouble = newer(found.summary, _on_disk(found.summary))
    if trouble:
        return {
            **_facts(summary, live=not summary.final),
            "roles": asyncio.run(_roles_here()),
            "redis": trouble,
        }
    roles: dict[str, Any] = {}
    streams: dict[str, Any] = {}
    if found.live:
        try:
            url = home.redis_url()
        except UnreachableError:
            url = ""
        if url:
            roles, streams = asyncio.run(roles_and_streams(url, found.summary.run))
    return {**_facts(summary, live=found.live), "roles": roles, "streams": streams}


def newer(told: Summary, kept: Summary | None) -> tuple[Summary, str]:
    """Of what Redis tells and what the same run's disk keeps, the newer; and, where Redis is far
    behind, why it is not to be believed. The trader writes both twice a second."""
    if kept is None or kept.run != told.run or kept.time_ns <= told.time_ns:
        return told, ""
    behind_s = (kept.time_ns - told.time_ns) / 1e9
    if behind_s * 1000 <= STALE_MS:
        return kept, ""
    return kept, f"it takes nothing, and is {behind_s:.1f} s behind: full, or read-only"


def _on_disk(told: Summary) -> Summary | None:
    """What the disk of the run's home holds, where that home is on this machine."""
    from betatrader.model.errors import RefusedError
    from betatrader.ops import home

    homes = [home.default_home()]
    with suppress(RefusedError):
        run = home.find_run()
        homes += [Path(run.home)] if run is not None else []
    for folder in homes:
        with suppress(OSError, msgspec.DecodeError):
            kept = without_redis(folder)
            if kept is not None and kept.run == told.run:
                return kept
    return None


async def _roles_here() -> dict[str, Any]:
    from betatrader.model.errors import RefusedError
    from betatrader.ops import home

    with suppress(RefusedError):
        run = home.find_run()
        if run is not None:
            return await _asked(run.roles, run.ports)
    return {}


def _facts(summary: Summary, *, live: bool) -> dict[str, Any]:
    return {
        "live": live,
        "age_ms": (now_ns() - summary.time_ns) // 1_000_000,
        "redis": "ok",
        "roles": {},
        "streams": {},
        **msgspec.to_builtins(summary),
    }


async def _asked(pids: dict[str, int], ports: dict[str, int]) -> dict[str, Any]:
    """The roles of this machine by what they answer themselves."""
    from betatrader.ops.probe import readiness

    return {
        role: {"pid": pids.get(role, 0), "port": port, "health": await readiness(port)}
        for role, port in ports.items()
    }


async def roles_and_streams(url: str, run: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each role by its heartbeat, and the lag of each stream. Raises UnreachableError."""
    from redis.exceptions import ResponseError

    from betatrader.ops.probe import readiness
    from betatrader.roles import ROLES
    from betatrader.store import keys
    from betatrader.store.connection import connected

    roles: dict[str, Any] = {}
    streams: dict[str, Any] = {}
    async with connected(url, 2.0) as redis:
        for role in ROLES:
            beat = {
                k.decode(): v.decode() for k, v in (await redis.hgetall(keys.beat(role))).items()
            }
            if not beat:
                roles[role] = {"health": "away"}
                continue
            # on another machine its port may be out of reach: the beat is seconds old at most
            here = beat.get("host", "") in ("", socket.gethostname())
            health = beat["not_ready"] or (await readiness(int(beat["port"])) if here else "ok")
            roles[role] = {
                "health": health,
                "pid": int(beat["pid"]),
                "port": int(beat["port"]),
                "version": beat["version"],
                "revision": beat.get("revision", "unknown"),
                "host": beat.get("host", ""),
                "instance": beat["instance"],
                "ready_ms": int(beat["ready_ms"]),
            }
        for stream in (keys.REQUESTS, keys.signals(run), keys.instructions(run)):
            try:
                groups = await redis.xinfo_groups(stream)
            except ResponseError:
                continue
            for group in groups:
                streams[stream] = {"waiting": group["lag"], "unacknowledged": group["pending"]}
    return roles, streams


def accounts(summary: Summary) -> list[str]:
    """A line for each account, where there are several or where one is not traded now."""
    shut = any(one.away or not one.compared or one.barred for one in summary.accounts)
    if len(summary.accounts) < 2 and not shut:
        return []
    return [
        f"  {one.venue:12} cash {show_usd(parse(one.cash))}"
        + ("   AWAY" if one.away else "" if one.compared else "   not compared yet")
        + (f"   NO NEW ORDERS: {one.barred}" if one.barred else "")
        for one in summary.accounts
    ]


def print_status(found: dict[str, Any]) -> None:
    """The same for a person."""
    summary = msgspec.convert(
        {name: found[name] for name in Summary.__struct_fields__}, type=Summary
    )
    because = f" ({summary.reason})" if summary.reason else ""
    live = "live" if found["live"] else f"ended {iso(summary.time_ns)}"
    click.echo(
        f"{summary.mode}   {summary.trading_state}{because}   run {summary.run}, {live}, "
        f"epoch {summary.epoch}"
    )
    if found["redis"] != "ok":
        click.echo(f"REDIS IS AWAY ({found['redis']}): what follows is from the trader's own disk")
    stale = found["age_ms"] > STALE_MS
    if found["live"] and stale:
        click.echo(f"STALE: the trader has not told anything for {found['age_ms'] / 1000:.1f} s")
    click.echo(
        f"equity {show_usd(parse(summary.equity))}   profit and loss {show_usd(parse(summary.pnl))}"
        f" after fees {show_usd(parse(summary.fees))}   cash {show_usd(parse(summary.cash))}"
    )
    for account in accounts(summary):
        click.echo(account)
    click.echo(
        f"events {summary.events:,}   forecasts {summary.signals}   orders {summary.orders}   "
        f"fills {summary.fills}   denials {summary.risk_denials}   open {summary.open_orders}"
    )
    for name, role in found["roles"].items():
        version = role.get("version", "")
        click.echo(f"  {name:8} {role['health']:10} pid {role.get('pid', '-'):<8} {version}")
    for stream, lag in found["streams"].items():
        name = stream.rpartition(":")[2]
        click.echo(f"  lag of {name}: {lag['waiting']} unread, {lag['unacknowledged']} under way")
    for line in summary.markets:
        click.echo(f"  {line.instrument:20} {line.bid} / {line.ask}, {line.age_ms} ms old")
    if found["live"]:
        click.echo(flow(summary, stale=stale))


def flow(summary: Summary, *, stale: bool) -> str:
    """Whether orders are flowing, as far as the summary can tell."""
    if summary.why_not:
        return f"no new order: {summary.why_not}"
    return "not known whether orders are flowing" if stale else "orders are flowing"
