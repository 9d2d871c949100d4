"""Profit and loss of the current run, net of what running it costs, as JSON and as Markdown."""

from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from betatrader.model.summary import Summary
from betatrader.ops import clock
from betatrader.ops.files import replace_whole
from betatrader.store import keys
from betatrader.store.connection import Client

CENT = Decimal("0.01")
UNKNOWN = "unknown"
"""Whose positions and trades are no strategy's of today (`engine.holdings`)."""

MONTH_NS = 30 * 86_400 * 10**9


class Net(NamedTuple):
    """What running it has cost so far, and the profit that is left; USD."""

    running_costs: Decimal
    profit: Decimal


class StrategyNet(NamedTuple):
    """One strategy's profit, and what is left of it after its part of the running costs; USD."""

    strategy: str
    profit: str
    net: str


def strategies_net(summary: Summary, net: Net) -> list[StrategyNet]:
    """Each strategy bears as much of the running costs as any other; what none has made, none."""
    bearing = [line for line in summary.strategies if line.strategy != UNKNOWN]
    told = []
    for line in summary.strategies:
        share = net.running_costs / len(bearing) if line in bearing else Decimal(0)
        left = Decimal(line.profit) - share.quantize(CENT, rounding="ROUND_UP")
        told.append(StrategyNet(line.strategy, line.profit, str(left)))
    return told


def net_of(summary: Summary, since_ns: int, cost_usd_per_month: Decimal) -> Net:
    """Profit less what has been paid since, rounded up to the cent."""
    share = cost_usd_per_month * max(0, summary.time_ns - since_ns) / MONTH_NS
    costs = share.quantize(CENT, rounding="ROUND_UP")
    return Net(costs, Decimal(summary.pnl) - costs)


async def write(redis: Client, folder: Path, cost_usd_per_month: Decimal = Decimal(0)) -> str:
    """Write `pnl.json` and `pnl.md` of the current run into its folder under `folder`."""
    run = await redis.get(keys.RUN)
    data = await redis.get(keys.summary(run.decode())) if run is not None else None
    if data is None:
        return "no run to report on yet"
    summary = msgspec.json.decode(data, type=Summary)
    net = net_of(summary, await _since(redis, summary.started_ns), cost_usd_per_month)
    target = folder / summary.run
    target.mkdir(parents=True, exist_ok=True)
    told = msgspec.json.decode(data) | {"running_costs": str(net[0]), "net": str(net[1])}
    told["strategies"] = [line._asdict() for line in strategies_net(summary, net)]
    replace_whole(target / "pnl.json", msgspec.json.format(msgspec.json.encode(told), indent=2))
    replace_whole(target / "pnl.md", markdown(summary, net).encode())
    return (
        f"run {summary.run}: profit and loss {summary.pnl} USD, {net.profit} net of what running "
        f"it costs, in {target}"
    )


async def _since(redis: Client, started_ns: int) -> int:
    """When the first run began that was reported on here: profit goes on over runs, and so do
    costs. UTC, nanoseconds."""
    key, field = keys.job_state("pnl_report"), "paid_since_ns"
    found = (await redis.hgetall(key)).get(field.encode())
    if found is not None:
        return int(found)
    await redis.hset(key, field, started_ns)
    return started_ns


def markdown(summary: Summary, net: Net | None = None) -> str:
    """The account for a person to read."""
    lines = [
        f"# Profit and loss, run {summary.run} ({summary.mode})",
        "",
        f"From {clock.iso(summary.started_ns)} to {clock.iso(summary.time_ns)}.",
        "",
        "| | USD |",
        "|---|---|",
        f"| profit and loss, after fees | {summary.pnl} |",
        *([f"| running costs | {net.running_costs} |"] if net else []),
        *([f"| net of running costs | {net.profit} |"] if net else []),
        f"| realised, before fees | {summary.realised} |",
        f"| unrealised | {summary.unrealised} |",
        f"| fees | {summary.fees} |",
        f"| cash | {summary.cash} |",
        f"| equity | {summary.equity} |",
        "",
        f"{summary.orders} orders, {summary.fills} fills, {summary.risk_denials} denials.",
        "",
    ]
    if net and summary.strategies:
        lines += ["| strategy | profit and loss | net of its part of the costs |", "|---|---|---|"]
        lines += [
            f"| {one.strategy} | {one.profit} | {one.net} |" for one in strategies_net(summary, net)
        ]
        lines.append("")
    if summary.positions:
        lines += [
            "| position | quantity | average price | mark | unrealised |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {p.instrument} | {p.quantity} | {p.average_price} | {p.mark} | {p.unrealised} |"
            for p in summary.positions
        ]
    return "\n".join(lines) + "\n"
