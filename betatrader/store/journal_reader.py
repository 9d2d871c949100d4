"""Reads journals: every frame and the chain are checked on the way, and a crash's tail is cut off.

What a crash may leave at the end of the last file, and nothing else, counts as a torn tail: a
frame that is there in part, or, after a power cut, one whose page never reached the disk. A file
that was not closed ends in zeros, which are no record of anything.
"""

import os
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from itertools import chain as continued
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO
from zlib import crc32

import msgspec
import zstandard

from betatrader.model.errors import UsageError
from betatrader.model.event import decode_audit
from betatrader.store.journal import (
    CHAIN,
    CLOSED,
    FRAME,
    MAGIC,
    PACKED,
    SIZE_AND_CRC,
    SUFFIX,
    End,
    Head,
    Record,
    files,
    link,
)
from betatrader.store.schema import check

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGEST = 64 * 1024 * 1024
BLOCK = 256 * 1024
PAGE, SIZE = 4096, 4
_FRAME_HEAD = Struct(f"{SIZE_AND_CRC.format}{CHAIN}s")


class TornHeadError(UsageError):
    """A file that was cut before its head was whole: the machine stopped as it was opened, and all
    that it could hold is in the file before it."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record as it was read back."""

    sequence: int
    record: Record
    payload: bytes


class Reader:
    """Reads a journal record by record, and checks every frame and the chain on the way.

    After the end, `torn` tells how many bytes of a torn tail were left out (0: none), `end` how
    many of the last file's bytes are whole, and `closed` whether the run says that it ends there.
    A single file may be any of its run's, with `last` only the last.
    """

    def __init__(self, path: Path, *, last: bool = False) -> None:
        # read before the files: a run that is closed meanwhile still counts as open
        self._said = _end_of(path.parent if path.is_file() else path)
        self.any_file = path.is_file() and not last
        self.paths = files(path)
        self.torn = 0
        self.end = 0
        self.closed = False
        self.sequence = 0
        self.schema = 0
        """Of the file that is being read."""
        self._chain: bytes | None = None
        self._file, self._tip = 0, b""
        self.head = self._first_head()

    def __iter__(self) -> Iterator[Entry]:
        self._chain = None
        for path in self.paths:
            with _opened(path) as file:
                yield from self._records(path, file, last=path == self.paths[-1])
        self._compare_end()

    def _compare_end(self) -> None:
        """Raises UsageError where the run was closed, and does not end as it did then."""
        folder, number, said = self.paths[-1].parent, self._file, self._said
        if said is None or (self.any_file and number < said.file):
            return
        if (number, self.sequence, self._tip.hex()) != (said.file, said.sequence, said.chain):
            raise UsageError(
                f"{folder} was closed after record {said.sequence} in file {said.file}, and ends "
                f"after record {self.sequence} in file {number}\n"
                f"No crash cuts its end off. Put it back from a copy, or remove {CLOSED} there to "
                "go on without what is lost."
            )
        self.closed = True

    def _first_head(self) -> Head:
        with _opened(self.paths[0]) as file:
            return self._head(self.paths[0], file)[0]

    def _head(self, path: Path, file: BinaryIO) -> tuple[Head, bytes, "Iterator[Frames]"]:
        """The head, its chain, and the frames after it, block by block."""
        start = file.read(len(MAGIC))
        if start != MAGIC and MAGIC.startswith(start.rstrip(b"\0")):
            raise TornHeadError(f"{path} is cut within its first bytes\n{TORN}")
        if start != MAGIC:
            raise UsageError(f"{path} is no journal of ours\nGive a file that a trader wrote.")
        blocks = _frames(path, file)
        first: Frames = []
        while not first and (block := next(blocks, None)) is not None:
            first = block  # a head with a large snapshot fills more than one
        if not first or not first[0][0]:
            raise TornHeadError(f"{path} has no head\n{TORN}")
        (chain, payload), *others = first
        self.end = len(MAGIC) + FRAME + len(payload)
        try:
            head = msgspec.msgpack.decode(payload, type=Head)
        except msgspec.DecodeError as error:
            raise UsageError(f"{path}: unreadable head ({error})\nThe file is damaged.") from error
        check(head.schema, str(path))
        if link(head.chain, payload) != chain:
            raise UsageError(f"{path}: the head was altered (its chain does not fit)\n{DAMAGE}")
        return head, chain, continued([others], blocks)

    def _records(self, path: Path, file: BinaryIO, *, last: bool) -> Iterator[Entry]:
        head, chain, blocks = self._head(path, file)
        self.schema = head.schema
        self._file, self._tip = head.file, chain
        if self._chain is not None and head.chain != self._chain:
            raise UsageError(f"{path} does not continue the file before it\n{DAMAGE}")
        sequence = head.sequence
        self.sequence = sequence - 1
        end = self.end
        for found, payload in continued.from_iterable(blocks):
            expected = link(chain, payload)
            if found != expected:
                if not found and last:
                    self.torn = len(payload)
                    break
                if not found:
                    raise UsageError(f"{path} breaks off, and is not the last file\n{DAMAGE}")
                raise UsageError(
                    f"{path}: record {sequence} does not follow the one before it\n{DAMAGE}"
                )
            chain = expected
            end += FRAME + len(payload)
            try:
                record: Record = decode_audit(payload)
            except msgspec.DecodeError as error:
                raise UsageError(
                    f"{path}: record {sequence} cannot be read ({error})\n{DAMAGE}"
                ) from error
            yield Entry(sequence, record, payload)
            self.sequence = sequence
            sequence += 1
        self._chain = self._tip = chain
        self.end = end


def _end_of(folder: Path) -> End | None:
    """Where the run in this folder was closed; None where nothing says so."""
    path = folder / CLOSED
    try:
        return msgspec.json.decode(path.read_bytes(), type=End)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}\n{DAMAGE}") from error


TORN = "The file was cut right after its start."
DAMAGE = "It was altered or damaged; a crash alone does not do this."


def _opened(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}\nCheck the path.") from error
    if path.name.endswith(PACKED):
        return BufferedReader(_Unpacked(path, file), BLOCK)
    return file


class _Unpacked(RawIOBase):
    """A packed file's content. One that is cut, altered or followed by more raises UsageError: it
    appeared whole under its name, so that no crash leaves it so.

    The library's own stream takes a cut file for one that ends there.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._stream = zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """The next bytes; 0 at the end."""
        room = memoryview(buffer)
        while not self._ready:
            block = self._file.read(BLOCK)
            if not block and self._stream.eof:
                return 0
            if not block:
                raise self._damaged("it is cut")
            try:
                self._ready = memoryview(self._stream.decompress(block))
            except zstandard.ZstdError as error:
                raise self._damaged(str(error)) from error
            if self._stream.unused_data:
                raise self._damaged("something follows its end")
        count = min(len(room), len(self._ready))
        room[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        """Close the packed file too."""
        self._file.close()
        super().close()

    def _damaged(self, what: str) -> UsageError:
        return UsageError(
            f"{self._path}: the packed file is damaged before byte {self._file.tell()} ({what})\n"
            "No crash does this. Put it back from a copy; the run's other files read one by one."
        )


Frames = list[tuple[bytes, bytes]]
"""Chain and payload of each."""


def _frames(path: Path, file: BinaryIO) -> Iterator[Frames]:
    """The frames, block by block; a torn tail comes last, without a chain.

    Read in blocks: a read, or a turn of a generator, for each frame costs more than its check.
    """
    data, at, wanted = b"", 0, BLOCK
    position = len(MAGIC)
    unpack, frame_head, whole = _FRAME_HEAD.unpack_from, SIZE_AND_CRC.size, FRAME
    while block := file.read(wanted):
        position += at
        data, at, wanted = data[at:] + block, 0, BLOCK
        end = len(data)
        found: Frames = []
        while end - at >= whole:
            size, crc, chain = unpack(data, at)
            after = at + whole + size
            if after > end and size <= LARGEST:
                wanted = max(BLOCK, after - end)
                break
            if size > LARGEST or not size or crc32(data[at + frame_head : after]) != crc:
                yield found
                yield _tail(path, data[at:] + file.read(), position + at)
                return
            found.append((chain, data[at + whole : after]))
            at = after
        yield found
    yield _tail(path, data[at:], position + at)


def _tail(path: Path, rest: bytes, position: int) -> Frames:
    """What is left where no whole frame begins: nothing, what a crash leaves, or damage.

    `position` is where it begins in the file.
    """
    left = rest.rstrip(b"\0")
    if not left:
        return []
    size = SIZE_AND_CRC.unpack(rest[: SIZE_AND_CRC.size].ljust(SIZE_AND_CRC.size, b"\0"))[0]
    whole = FRAME + (size if size <= LARGEST else 0)
    if len(left) > whole and not _lost_page(rest, whole, position):
        raise UsageError(f"{path}: a frame's CRC does not fit, and others follow\n{DAMAGE}")
    return [(b"", left)]


def _lost_page(rest: bytes, whole: int, position: int) -> bool:
    """Whether a page that this frame lies in reads as zeros from where the frame enters it.

    Less than four bytes at the end of a page tell nothing: a frame's size may begin with zeros.
    """
    first = -position % PAGE or PAGE
    pages = (rest[a:b] for a, b in pairwise([0, *range(first, whole + PAGE, PAGE)]))
    return any(len(page) >= SIZE and not page.strip(b"\0") for page in pages)


def repair(folder: Path) -> int:
    """Cut a torn tail, and zeros, off the last file of a journal; returns how many bytes were torn.

    Nobody may be writing it: a file that is cut while it is mapped ends its writer. Raises
    UsageError where the journal is damaged in any other way, and where it may not be written.
    """
    reader = Reader(folder)
    for _ in reader:
        continue
    last = reader.paths[-1]
    if last.name.endswith(SUFFIX) and last.stat().st_size > reader.end:
        try:
            os.truncate(last, reader.end)
        except OSError as error:
            raise UsageError(
                f"{last} cannot be cut: {error.strerror}\nCheck who may write it, and the disk."
            ) from error
    return reader.torn
