"""The report of a run: as JSON by the contract of the command line, and as text for a person."""

import textwrap
from pathlib import Path

import msgspec

from betatrader import __version__
from betatrader.jobs.pnl_report import markdown
from betatrader.model.money import parse, show_usd
from betatrader.model.summary import PositionLine, Quantiles, Summary


class RoleLine(msgspec.Struct, frozen=True, kw_only=True):
    """One role's process at the end of the run."""

    pid: int
    restarts: int
    rss_mb: float
    ready_ms: int
    health: str
    port: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies in microseconds."""

    event_to_command: Quantiles
    data_to_signal: Quantiles


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. Money is in decimal strings; `invariants` are computed from the run.

    Events, orders, fills, denials, profit and fees count from the opening of the account, which a
    restart on the same home goes on with; forecasts and latencies are of the last process.
    """

    run: str
    mode: str
    version: str
    seconds: float
    trading_state: str
    events: int
    signals: int
    orders: int
    fills: int
    risk_denials: int
    denials: dict[str, int]
    positions: tuple[PositionLine, ...]
    pnl: str
    fees: str
    equity: str
    why_not: str
    failed: tuple[str, ...]
    recoveries: int
    """How often the trader died in this run, and took its account up again."""
    roles: dict[str, RoleLine]
    latency_us: Latency
    invariants: dict[str, bool]
    error: str = ""


INDENT = "    "
NOT_MET = "no order met the market"


def make(summary: Summary, roles: dict[str, RoleLine], seconds: float) -> Report:
    """The report from the trader's final summary and the processes."""
    return Report(
        run=summary.run,
        mode=summary.mode,
        version=__version__,
        seconds=round(seconds, 2),
        trading_state=summary.trading_state,
        events=summary.events,
        signals=summary.signals,
        orders=summary.orders,
        fills=summary.fills,
        risk_denials=summary.risk_denials,
        denials=summary.denials,
        positions=summary.positions,
        pnl=summary.pnl,
        fees=summary.fees,
        equity=summary.equity,
        why_not=(summary.why_not or NOT_MET) if not summary.fills else "",
        failed=summary.failed,
        recoveries=roles["trading"].restarts,
        roles=roles,
        latency_us=Latency(
            event_to_command=summary.event_to_command_us, data_to_signal=summary.data_to_signal_us
        ),
        invariants=summary.invariants,
        error=summary.error,
    )


def encode(report: Report) -> bytes:
    """The report as one indented JSON document."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)


def text(report: Report) -> str:
    """The report for a person, without colour."""
    lines = [
        f"{report.mode} run {report.run}, {report.seconds:.0f} s, version {report.version}, "
        f"state {report.trading_state}",
        f"  events {report.events:,}   forecasts {report.signals}   orders {report.orders}   "
        f"fills {report.fills}   denials {report.risk_denials}",
        f"  profit and loss {show_usd(parse(report.pnl))} after fees {show_usd(parse(report.fees))}"
        f"   equity {show_usd(parse(report.equity))}",
    ]
    if report.why_not:
        lines.append(f"  nothing was filled: {report.why_not}")
    lines += [f"  strategy {name} FAILED: see `betatrader events`" for name in report.failed]
    if report.recoveries:
        lines.append(f"  the trader died and recovered its account: {report.recoveries} times")
    lines += [f"  denied by {name}: {count}" for name, count in sorted(report.denials.items())]
    lines += [
        f"  holds {p.quantity} {p.instrument} at {p.average_price}, unrealised "
        f"{show_usd(parse(p.unrealised))}"
        for p in report.positions
    ]
    command, signal = report.latency_us.event_to_command, report.latency_us.data_to_signal
    if command.p50 is not None and command.p99 is not None:
        lines.append(f"  event to command p50 {command.p50:.0f} us, p99 {command.p99:.0f} us")
    if signal.p50 is not None and signal.p99 is not None:
        p50, p99 = signal.p50 / 1000, signal.p99 / 1000
        lines.append(f"  data to forecast p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    lines += [
        f"  {name:8} pid {role.pid}, restarts {role.restarts}, {role.rss_mb:.0f} MB, "
        f"ready in {role.ready_ms} ms, {role.health}"
        for name, role in report.roles.items()
    ]
    broken = [name for name, holds in report.invariants.items() if not holds]
    if broken:
        lines.append(f"  BROKEN invariants: {', '.join(broken)}")
    elif report.invariants:
        lines.append(f"  all {len(report.invariants)} invariants hold:")
        lines += textwrap.wrap(
            ", ".join(report.invariants), 94, initial_indent=INDENT, subsequent_indent=INDENT
        )
    else:
        lines.append("  no invariants: the trader did not end by itself")
    if report.error:
        lines.append(f"  ended early: {report.error.splitlines()[0]}")
    return "\n".join(lines)


def last_on_disk(reports: Path) -> Summary | None:
    """What the last run in a folder of reports wrote there itself; None where nothing stands."""
    runs = sorted(reports.glob("*/summary.json"))
    return msgspec.json.decode(runs[-1].read_bytes(), type=Summary) if runs else None


def keep(report: Report, summary: Summary, folder: Path) -> Path:
    """Write report.json, report.txt and pnl.md; returns the run's folder."""
    target = folder / report.run
    target.mkdir(parents=True, exist_ok=True)
    (target / "report.json").write_bytes(encode(report) + b"\n")
    (target / "report.txt").write_text(text(report) + "\n")
    (target / "summary.json").write_bytes(msgspec.json.encode(summary))
    (target / "pnl.md").write_text(markdown(summary))
    return target
