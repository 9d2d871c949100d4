"""Profit and loss of the current run, as JSON and as Markdown."""

from pathlib import Path

import msgspec

from betatrader.model.summary import Summary
from betatrader.ops import clock
from betatrader.ops.files import replace_whole
from betatrader.store import keys
from betatrader.store.connection import Client


async def write(redis: Client, folder: Path) -> str:
    """Write `pnl.json` and `pnl.md` of the current run into its folder under `folder`."""
    run = await redis.get(keys.RUN)
    data = await redis.get(keys.summary(run.decode())) if run is not None else None
    if data is None:
        return "no run to report on yet"
    summary = msgspec.json.decode(data, type=Summary)
    target = folder / summary.run
    target.mkdir(parents=True, exist_ok=True)
    replace_whole(target / "pnl.json", msgspec.json.format(data, indent=2))
    replace_whole(target / "pnl.md", markdown(summary).encode())
    return f"run {summary.run}: profit and loss {summary.pnl} USD, in {target}"


def markdown(summary: Summary) -> str:
    """The account for a person to read."""
    lines = [
        f"# Profit and loss, run {summary.run} ({summary.mode})",
        "",
        f"From {clock.iso(summary.started_ns)} to {clock.iso(summary.time_ns)}.",
        "",
        "| | USD |",
        "|---|---|",
        f"| profit and loss, after fees | {summary.pnl} |",
        f"| realised, before fees | {summary.realised} |",
        f"| unrealised | {summary.unrealised} |",
        f"| fees | {summary.fees} |",
        f"| cash | {summary.cash} |",
        f"| equity | {summary.equity} |",
        "",
        f"{summary.orders} orders, {summary.fills} fills, {summary.risk_denials} denials.",
        "",
    ]
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
