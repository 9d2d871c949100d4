"""The versions that a rehearsal runs: this checkout, and copies of it with something changed.

`next` has a schema of its own, 2: a Step says how many orders the account has made, and the
engine's state which Step it told last. Both are written only once a release has confirmed schema 2.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
COUNTED, MARK = "orders_so_far", "last_told"
"""The fields that schema 2 adds: to a Step, and to the state."""

Change = tuple[str, str, str]
"""A file below the package, what stands in it, and what is to stand there."""

NEXT: tuple[Change, ...] = (
    ("model/event.py", "SCHEMA_VERSION = 1\n", "SCHEMA_VERSION = 2\n"),
    (
        "model/event.py",
        "ADDED: dict[str, tuple[str, ...]] = {}",
        "ADDED: dict[str, tuple[str, ...]] = {\n"
        f'    "betatrader.model.command.Step": ("{COUNTED}",),\n'
        f'    "betatrader.engine.state.State": ("{MARK}",),\n'
        "}",
    ),
    (
        "model/command.py",
        "    changes: tuple[Change, ...]\n",
        f"    changes: tuple[Change, ...]\n    {COUNTED}: int = 0\n",
    ),
    (
        "engine/state.py",
        "    denials: dict[str, int] = field(default_factory=dict)\n",
        f"    denials: dict[str, int] = field(default_factory=dict)\n    {MARK}: int = 0\n",
    ),
    (
        "engine/engine.py",
        "        return Step(state.step_sequence, state.event_sequence, state.now_ns, "
        "tuple(changes))\n",
        f"        state.{MARK} = state.step_sequence\n"
        "        return Step(\n"
        "            state.step_sequence,\n"
        "            state.event_sequence,\n"
        "            state.now_ns,\n"
        "            tuple(changes),\n"
        "            state.order_counter,\n"
        "        )\n",
    ),
)
SERVE = "    await permit(service)\n"
OTHER_FUNCTIONS: Change = (
    "store/functions.lua",
    "local function lease_renew(keys, args)\n",
    "local function lease_renew(keys, args)\n  if true then return 0 end\n",
)
"""With which no lease lasts: what a broken build leaves at the server is its own alone."""

CRASHES: Change = ("roles/trading.py", SERVE, f"    raise ValueError('a broken build')\n{SERVE}")
NEVER_READY: Change = ("roles/trading.py", SERVE, f"    await anyio.sleep_forever()\n{SERVE}")


class Tree(NamedTuple):
    """One version of the code: its name, the folder that holds the package, its schema."""

    name: str
    folder: Path
    schema: int


def built(folder: Path) -> dict[str, Tree]:
    """Build every version; raises ValueError where this checkout is not as it is changed here."""
    return {
        "this": Tree("this", PROJECT, 1),
        "patch": _copy(folder, "patch", 1, ()),
        "next": _copy(folder, "next", 2, NEXT),
        "later": _copy(folder, "later", 2, NEXT),
        "crashes": _copy(folder, "crashes", 2, (*NEXT, OTHER_FUNCTIONS, CRASHES)),
        "never ready": _copy(folder, "never ready", 2, (*NEXT, OTHER_FUNCTIONS, NEVER_READY)),
    }


def _copy(folder: Path, name: str, schema: int, changes: tuple[Change, ...]) -> Tree:
    root = folder / name.replace(" ", "-")
    shutil.copytree(PROJECT / "betatrader", root / "betatrader")
    number = ("__init__.py", '__version__ = "', f'__version__ = "{name.replace(" ", "-")} after ')
    for path, old, new in (number, *changes):
        file = root / "betatrader" / path
        text = file.read_text()
        if text.count(old) != 1:
            raise ValueError(f"{path} does not hold what {name} changes: {old.strip()!r}")
        file.write_text(text.replace(old, new))
    return Tree(name, root, schema)
