"""The timeline as one HTML file: who led when, each order a dot, what was done to whom."""

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

from counting import Outcome, Record
from stage import Stage, Trader

WIDTH, LEFT, ROW, TOP = 1100, 190, 34, 44
COLOURS = {
    "this": "#2f6fb0",
    "patch": "#3a9188",
    "next": "#2e8b57",
    "later": "#8a63b8",
    "crashes": "#b04a3a",
    "never ready": "#b07a2f",
}
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
h2 { margin: 1.6em 0 0; font-size: 16px } p { margin: 0 0 .4em; color: #555 }
text { font: 12px system-ui, sans-serif; fill: #444 } .what { fill: #a02020 }
"""


def write(path: Path, venue: str, stage: Stage, outcomes: list[Outcome]) -> None:
    """One drawing a scenario, since a handover is short and the whole long."""
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Rehearsal at {venue}</title>",
        f"<style>{STYLE}</style><h1>Blue/green rehearsed at {venue}</h1>",
        "<p>A pale bar is a process, a strong one is its time as leader: until it was told to end, "
        "or died. A dot is an order, black where the venue took it; a tick marks when "
        "its books were found equal to the venue's.</p>",
    ]
    for one in outcomes:
        gap = "" if one.gap_ms is None else f", gap {one.gap_ms:.0f} ms"
        parts.append(
            f"<h2>{escape(one.name)}</h2><p>{escape(one.note)}. {one.orders} orders, {one.lost} "
            f"lost, {one.doubled} doubled{gap}.</p>{_drawing(stage, one)}"
        )
    path.write_text("\n".join(parts))


def _drawing(stage: Stage, one: Outcome) -> str:
    began, ended = one.window.began_ns, one.window.ended_ns
    shown = [t for t in stage.traders if t.began_ns < ended and (t.ended_ns or ended) > began]
    height = TOP + ROW * len(shown) + 22

    def x(at_ns: int) -> float:
        return LEFT + (min(max(at_ns, began), ended) - began) / (ended - began) * (WIDTH - LEFT - 8)

    svg = [f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">']
    for number, trader in enumerate(shown):
        told = min((m.at_ns for m in one.moments if m.trader == trader.name), default=ended)
        own = [r for r in one.records if r.trader == trader.name]
        svg += _row(trader, TOP + number * ROW, (own, told), x)
    for number, moment in enumerate(one.moments):
        at, y = x(moment.at_ns), 12 + 13 * (number % 2)
        anchor = "end" if at > WIDTH * 0.8 else "start"
        svg.append(
            f'<path d="M{at:.1f} {y}V{height - 20}" stroke="#a02020" stroke-dasharray="3 3"/>'
        )
        what = f"{moment.what} {moment.trader}".strip()
        svg.append(
            f'<text class=what x="{at:.1f}" y="{y}" text-anchor="{anchor}">{escape(what)}</text>'
        )
    for second in range(int((ended - began) / 1e9) + 1):
        at = x(began + second * 10**9)
        svg.append(f'<text x="{at:.1f}" y="{height - 4}">{second} s</text>')
        svg.append(f'<path d="M{at:.1f} {height - 20}v4" stroke="#999"/>')
    return "\n".join([*svg, "</svg>"])


def _row(
    trader: Trader, y: int, what: tuple[list[Record], int], x: Callable[[int], float]
) -> Iterator[str]:
    """One process: its records, and when it was told to end; it led from its epoch in this window,
    or from before it."""
    records, told_ns = what
    end_ns = trader.ended_ns or 1 << 62
    colour = COLOURS[trader.tree.name]
    yield f'<text x="4" y="{y + 16}">{escape(trader.name)}</text>'
    yield _bar(x(trader.began_ns), x(end_ns), y, f'{colour}" opacity=".2')
    led = [r.at_ns for r in records if r.kind == "started"]
    orders = [r.at_ns for r in records if r.kind == "approved"]
    if led or orders:
        last = max(min(told_ns, end_ns), *orders, *led)
        yield _bar(x(min(led, default=0)), x(last), y, f'{colour}" opacity=".7')
    taken = {r.text for r in records if r.kind == "accepted"}
    for record in records:
        at = x(record.at_ns)
        if record.kind == "approved":
            fill = "#111" if record.text in taken else "#fff"
            yield f'<circle cx="{at:.1f}" cy="{y + 11}" r="2.6" fill="{fill}" stroke="#111"/>'
        elif record.kind == "reconciled":
            yield f'<path d="M{at:.1f} {y - 2}v26" stroke="#111" stroke-width="2"/>'


def _bar(start: float, end: float, y: int, fill: str) -> str:
    return f'<rect x="{start:.1f}" y="{y}" width="{end - start:.1f}" height="22" fill="{fill}"/>'
