"""Rehearses blue/green with real processes: upgrades, broken ones, rollbacks, a step of the schema.

  scripts/rehearse [--venue sim|binance] [--json] [--picture FILE] [--keep FOLDER]

Versions of the code are built from this checkout; they share one Redis and one venue behind a
socket, and orders flow all the while. What is counted comes from the venue's ledger and from every
trader's journal. At sim each trader has a new home, as a machine at fly has; at binance two homes
take turns. Exit status 1: an order lost or doubled, books that are not equal, more than 250 ms in
which nobody might order (the median of the clean handovers; of each 1 s), or a scenario that did
not come to its end.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

import picture  # noqa: E402
from counting import (  # noqa: E402
    EACH_GAP_MS,
    GOAL_GAP_MS,
    Books,
    Outcome,
    Window,
    end,
    gap_ms,
    judge,
    read,
    sound,
    too_long,
)
from scenarios import FIRST, VENUES, Scenario  # noqa: E402
from stage import BrokenRehearsal, Stage  # noqa: E402
from trees import built  # noqa: E402

SHOWN = ("orders", "lost", "doubled", "unexplained", "gap_ms")


def main() -> int:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        "scripts/rehearse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--venue", choices=sorted(VENUES), default="sim")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--picture", type=Path, default=Path("rehearsal.html"), metavar="FILE")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="logs, homes, versions")
    asked = parser.parse_args()
    if asked.keep is not None and asked.keep.exists():
        parser.error(f"--keep {asked.keep} is there already: name a new folder")
    if not asked.picture.absolute().parent.is_dir():
        parser.error(f"--picture {asked.picture}: there is no such folder")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp")))
        try:
            books, outcomes = rehearse(asked.venue, folder, asked.picture)
        except (BrokenRehearsal, ValueError) as error:
            print(
                f"the rehearsal broke off: {error}\nLook again with --keep FOLDER.", file=sys.stderr
            )
            return 1
        finally:
            if asked.keep is not None:
                shutil.copytree(folder, asked.keep, ignore=shutil.ignore_patterns("*.sock"))
    well = sound(books, outcomes)
    if asked.json:
        print(json.dumps(document(asked.venue, books, outcomes, well=well)))
    else:
        print(table(books, outcomes))
        print(f"the timeline: {asked.picture}")
    return 0 if well else 1


def rehearse(venue: str, folder: Path, picture_file: Path) -> tuple[Books, list[Outcome]]:
    """Play every scenario on one account, and count."""
    began = time.monotonic()
    trees = built(folder / "versions")
    with Stage(venue, trees, folder, fresh=venue == "sim") as stage:
        stage.leader = stage.start(FIRST)
        stage.goes_on()
        windows = [play(stage, scenario) for scenario in VENUES[venue]]
        books, orders = end(stage, began)
        outcomes = judge(stage, windows, read(stage), orders)
        picture.write(picture_file, venue, stage, outcomes)
    return books, outcomes


def play(stage: Stage, scenario: Scenario) -> Window:
    """One of them."""
    orders, began_ns = stage.orders(), time.time_ns()
    print(f"{scenario.name} …", file=sys.stderr, flush=True)
    try:
        note = scenario.play(stage)
    except BrokenRehearsal as error:
        raise BrokenRehearsal(f"{scenario.name}: {error}") from None
    return Window(scenario, note, began_ns, time.time_ns(), orders)


def document(venue: str, books: Books, outcomes: list[Outcome], *, well: bool) -> dict[str, object]:
    """All of it as JSON."""
    told = [{name: getattr(o, name) for name in ("name", "note", *SHOWN)} for o in outcomes]
    return {
        "venue": venue,
        "sound": well,
        "gap_ms": gap_ms(outcomes),
        "scenarios": told,
        "books": books._asdict(),
    }


def table(books: Books, outcomes: list[Outcome]) -> str:
    """The same for a person."""
    lines = [f"{'':40}{'orders':>8}{'lost':>6}{'doubled':>9}{'unexplained':>13}{'gap ms':>8}"]
    for one in outcomes:
        own = "" if one.gap_ms is None else f"{one.gap_ms:.0f}"
        lines.append(
            f"{one.name:40}{one.orders:8}{one.lost:6}{one.doubled:9}{one.unexplained:13}{own:>8}"
        )
    gap = gap_ms(outcomes)
    if gap is not None:
        late = too_long(outcomes)
        verdict = f"too long: {', '.join(late)}" if late else "well"
        lines.append(
            f"clean handovers: {gap:.0f} ms at the median, of {GOAL_GAP_MS:.0f} allowed "
            f"({EACH_GAP_MS:.0f} of each): {verdict}"
        )
    unequal = ", ".join(books.unequal) or "cash, positions and all else equal"
    lines.append(
        f"at the venue: {books.orders} orders, {books.fills} fills; booked: {books.fills_booked}; "
        f"{unequal}; {books.seconds} s"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
