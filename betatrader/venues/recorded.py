"""What a venue has said, recorded: a line each, receive time in ns, a space, the venue's JSON."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from betatrader.model.errors import UsageError
from betatrader.model.event import MarketInput

LONGEST_LINE = 4_000_000
UNREADABLE = (msgspec.MsgspecError, ValueError, IndexError, RecursionError)
"""What a reader raises where a line is none of its venue's."""

Take = Callable[[bytes], Iterator[MarketInput]]


def first_message(path: Path) -> bytes:
    """The first line's JSON; empty where the file is no such recording."""
    try:
        with _open(path) as lines:
            first = lines.readline(LONGEST_LINE)
    except (OSError, EOFError, zlib.error):
        return b""
    stamp, _, rest = first.partition(b" ")
    is_one = stamp.isdigit() and len(stamp) == 19 and rest.startswith(b"{")
    return rest if is_one else b""


def read(path: Path, venue: str, take: Take) -> Iterator[MarketInput]:
    """The events that `take` makes of a file's lines, line by line, never the whole of it.

    Raises UsageError, naming file and line, where the file breaks off or a line cannot be read.
    """
    number = 1
    try:
        with _open(path) as lines:
            for line in lines:
                yield from take(line)
                number += 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(
            f"{path} breaks off in line {number}: {error}\n"
            "The events before that were used; download or record the file again."
        ) from error
    except UNREADABLE as error:
        raise UsageError(
            f"{path}, line {number}: no {venue} message ({error})\n"
            "Each line is a receive time in ns, a space, and the venue's JSON."
        ) from error


def _open(path: Path) -> "gzip.GzipFile":
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")  # type: ignore[return-value]
