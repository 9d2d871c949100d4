"""The view of a run in the terminal: one screen, drawn anew about twice a second.

With `rich` (the `cli` extra) it is drawn in place; without, as plain text.
"""

import contextlib
import sys
from collections import deque
from typing import Any

import click

from betatrader.cli.sentences import describe
from betatrader.cli.status import accounts
from betatrader.model.money import parse, show_usd
from betatrader.model.summary import MarketLine, Summary
from betatrader.roles.local import Watch

NEWS_SHOWN = 10


class LiveView:
    """Draws what `Watch` tells."""

    def __init__(self) -> None:
        self._news: deque[str] = deque(maxlen=NEWS_SHOWN)
        self._live: Any = None
        with contextlib.suppress(ImportError):
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=True)
            self._live.start()

    def show(self, watch: Watch) -> None:
        """Draw one screen."""
        for record in watch.records:
            for line in describe(record):
                self._news.append(line)
        text = "\n".join(self._lines(watch))
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text), refresh=True)
        else:
            click.clear()
            click.echo(text)
            sys.stdout.flush()

    def close(self) -> None:
        """Give the screen back."""
        if self._live is not None:
            self._live.stop()

    def _lines(self, watch: Watch) -> list[str]:
        summary = watch.summary
        if summary is None:
            return ["starting…"]
        lines = [
            f"betatrader {summary.version}   {summary.mode}   {summary.trading_state}   "
            f"{watch.seconds:.0f} s   run {summary.run}",
            f"equity {show_usd(parse(summary.equity))}   profit and loss "
            f"{show_usd(parse(summary.pnl))}   fees {show_usd(parse(summary.fees))}   "
            f"cash {show_usd(parse(summary.cash))}",
            *accounts(summary),
            f"events {summary.events:,}   forecasts {summary.signals}   orders {summary.orders}   "
            f"fills {summary.fills}   denials {summary.risk_denials}   open {summary.open_orders}",
            "",
        ]
        lines += [_market(market) for market in summary.markets]
        lines += _holdings(summary)
        lines.append("")
        lines += [
            f"  {name:8} {role.health:8} pid {role.pid}  {role.rss_mb:.0f} MB  "
            f"restarts {role.restarts}"
            for name, role in watch.roles.items()
        ]
        if summary.why_not:
            lines += ["", f"no new order: {summary.why_not}"]
        return [*lines, "", *self._news, "", "Ctrl-C ends the run with its report"]


def _market(market: MarketLine) -> str:
    forecast = "no forecast"
    if market.forecast is not None:
        value = (
            f"{market.forecast:.3f}"
            if market.forecast_kind == "probability"
            else f"{market.forecast * 1e4:+.2f} bp"
        )
        fresh = "" if market.forecast_left_ms else " (stale)"
        forecast = f"forecast {value}{fresh}"
    return f"  {market.instrument:20} {market.bid:>10} / {market.ask:<10} {forecast}"


def _holdings(summary: Summary) -> list[str]:
    return [
        f"  holds {p.quantity} {p.instrument} at {p.average_price}, "
        f"unrealised {show_usd(parse(p.unrealised))}"
        for p in summary.positions
    ]
