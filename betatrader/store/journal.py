"""The journal: every input event before the engine sees it, every Step before it is carried out.

A run's journal is a folder of files. A file is a head and then frames:

    head   8 bytes MAGIC, then one frame with a Head: schema, run, number, first sequence, chain
    frame  4 bytes length, 4 bytes CRC-32 of the rest, 16 bytes chain, the payload (msgpack)

The chain of a frame is BLAKE2b-128 of the chain before it and the payload, so that a record that
was altered, left out or moved shows. `append` writes inline, and what was written survives the
process; `sync` makes it survive the machine, and is called off the hot path. A torn tail (a crash
in mid-write) is cut off where the journal is opened again, and reported; anything else that does
not fit is damage, and is refused.
"""

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import BinaryIO
from zlib import crc32

import msgspec
import zstandard

from betatrader.model.command import Step
from betatrader.model.errors import BetatraderError, UsageError
from betatrader.model.event import SCHEMA_VERSION, Event, decode_audit, encode
from betatrader.ops.files import append_whole

MAGIC = b"BTJNL\x00\x01\n"
CHAIN = 16
FRAME = 8 + CHAIN
LARGEST = 64 * 1024 * 1024
BLOCK = 256 * 1024
SIZE_AND_CRC = Struct(">II")
ROTATE_BYTES = 16 * 1024 * 1024
SUFFIX, PACKED = ".btj", ".btj.zst"

Record = Event | Step


class JournalBrokenError(BetatraderError):
    """The journal cannot be written (a full or read-only disk): nothing more may be done."""


class TornHeadError(UsageError):
    """A file that was cut before its head was whole: the machine stopped as it was opened, and all
    that it could hold is in the file before it."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay needs to build the same engine: the limits, and each strategy as configured."""

    limits: msgspec.Raw
    strategies: tuple[tuple[str, dict[str, str | int | float | bool]], ...]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of a file: its first record's number, and the chain that it continues.

    `snapshot` is the engine's state before that record; empty where it is that of a new account.
    """

    schema: int = SCHEMA_VERSION
    run: str
    file: int
    sequence: int
    chain: bytes
    version: str
    setup: Setup
    snapshot: bytes = b""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record as it was read back."""

    sequence: int
    record: Record
    payload: bytes


class Journal:
    """Appends to one run's journal. `sync` may be called from another thread, the rest may not."""

    def __init__(
        self, folder: Path, run: str, version: str, setup: Setup, *, snapshot: bytes = b""
    ) -> None:
        self.folder = folder
        self.sequence = 0
        self._run = run
        self._version = version
        self._setup = setup
        self._chain = bytes(CHAIN)
        self.number = 0
        self._size = 0
        self._dirty = False
        self._file = -1
        self._closed: list[int] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open_next(snapshot)
        except OSError as error:
            raise self._broken(error) from error

    @property
    def full(self) -> bool:
        """Whether it is time to `rotate`."""
        return self._size > ROTATE_BYTES

    def append(self, record: Record) -> None:
        """Write one record; where this raises JournalBrokenError it counts as not written."""
        self.sequence += 1
        self._write(encode(record))

    def rotate(self, snapshot: bytes) -> None:
        """Go on in a new file that opens with this snapshot; `sync` closes the old one."""
        self._closed.append(self._file)
        try:
            self._open_next(snapshot)
        except OSError as error:
            raise self._broken(error) from error

    def sync(self) -> bool:
        """Make what was written survive the machine; True where a file was closed meanwhile.

        Raises JournalBrokenError.
        """
        closed, self._closed = self._closed, []
        dirty, self._dirty = self._dirty, False
        try:
            for file in closed:
                os.fdatasync(file)
                os.close(file)
            if dirty:
                os.fdatasync(self._file)
        except OSError as error:
            raise self._broken(error) from error
        return bool(closed)

    def close(self) -> None:
        """Write down what is left, and close."""
        self.sync()
        os.close(self._file)

    def _open_next(self, snapshot: bytes) -> None:
        self.number += 1
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path(self.number), flags, 0o600)
        self._size = 0
        os.write(self._file, MAGIC)
        head = Head(
            run=self._run,
            file=self.number,
            sequence=self.sequence + 1,
            chain=self._chain,
            version=self._version,
            setup=self._setup,
            snapshot=snapshot,
        )
        self._write(encode(head))

    def _write(self, payload: bytes) -> None:
        chain = blake2b(self._chain + payload, digest_size=CHAIN).digest()
        rest = chain + payload
        frame = len(payload).to_bytes(4) + crc32(rest).to_bytes(4) + rest
        try:
            append_whole(self._file, frame)
        except OSError as error:
            raise self._broken(error) from error
        self._chain = chain
        self._size += len(frame)
        self._dirty = True

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}{SUFFIX}"

    def _broken(self, error: OSError) -> JournalBrokenError:
        return JournalBrokenError(
            f"the journal in {self.folder} cannot be written: {error.strerror or error}\n"
            "Free or mend the disk, then start again; nothing was sent that is not in it."
        )


def files(path: Path) -> list[Path]:
    """The files of a journal in their order; a single file stands for itself.

    Raises UsageError where there is none.
    """
    if path.is_file():
        return [path]
    found = sorted([*path.glob(f"*{SUFFIX}"), *path.glob(f"*{PACKED}")], key=lambda p: p.name[:6])
    if not found:
        raise UsageError(
            f"no journal in {path}\nGive a folder with {SUFFIX} files, or one of them."
        )
    return found


def pack(path: Path) -> Path:
    """Compress a closed file; the packed one appears whole, and then the plain one goes."""
    packed = path.with_name(path.name.removesuffix(SUFFIX) + PACKED)
    part = packed.with_name(packed.name + ".part")
    with path.open("rb") as plain, part.open("wb") as out:
        zstandard.ZstdCompressor(level=6).copy_stream(plain, out)
        out.flush()
        os.fsync(out.fileno())
    part.replace(packed)
    path.unlink()
    return packed


def pack_closed(root: Path, run: str, number: int) -> int:
    """Compress all files up to (not with) the one that this run writes; returns how many.

    Those of earlier runs too: a run that was killed has left its last one open.
    """
    current = (run, f"{number:06d}{SUFFIX}")
    closed = [
        path
        for path in sorted(root.glob(f"*/*{SUFFIX}"))
        if (path.parent.name, path.name) < current
    ]
    for path in closed:
        pack(path)
    return len(closed)


def retain(root: Path, most_bytes: int) -> int:
    """Remove the oldest closed files below `root` until the rest fits; returns how many."""
    closed = sorted(root.glob(f"*/*{PACKED}"), key=lambda path: (path.parent.name, path.name))
    total = sum(path.stat().st_size for path in closed)
    removed = 0
    for path in closed:
        if total <= most_bytes:
            break
        total -= path.stat().st_size
        path.unlink()
        removed += 1
    return removed


class Reader:
    """Reads a journal record by record, and checks every frame and the chain on the way.

    After the end, `torn` tells how many bytes of a torn tail were left out (0: none).
    """

    def __init__(self, path: Path) -> None:
        self.paths = files(path)
        self.head = self._first_head()
        self.torn = 0
        self.sequence = 0
        self._chain: bytes | None = None

    def __iter__(self) -> Iterator[Entry]:
        self._chain = None
        for path in self.paths:
            with _opened(path) as file:
                yield from self._records(path, file, last=path == self.paths[-1])

    def _first_head(self) -> Head:
        with _opened(self.paths[0]) as file:
            return self._head(self.paths[0], file)[0]

    def _head(self, path: Path, file: BinaryIO) -> tuple[Head, bytes, "Frames"]:
        """The head, its chain, and the frames after it."""
        start = file.read(len(MAGIC))
        if start != MAGIC and MAGIC.startswith(start):
            raise TornHeadError(f"{path} is cut within its first bytes\n{TORN}")
        if start != MAGIC:
            raise UsageError(f"{path} is no journal of ours\nGive a file that a trader wrote.")
        frames = _frames(path, file)
        frame = next(frames, None)
        if frame is None or not frame[0]:
            raise TornHeadError(f"{path} has no head\n{TORN}")
        chain, payload = frame
        try:
            head = msgspec.msgpack.decode(payload, type=Head)
        except msgspec.DecodeError as error:
            raise UsageError(f"{path}: unreadable head ({error})\nThe file is damaged.") from error
        if head.schema > SCHEMA_VERSION:
            raise UsageError(
                f"{path} has schema {head.schema}, and this version reads up to {SCHEMA_VERSION}\n"
                "Use the betatrader that wrote it."
            )
        if blake2b(head.chain + payload, digest_size=CHAIN).digest() != chain:
            raise UsageError(f"{path}: the head was altered (its chain does not fit)\n{DAMAGE}")
        return head, chain, frames

    def _records(self, path: Path, file: BinaryIO, *, last: bool) -> Iterator[Entry]:
        head, chain, frames = self._head(path, file)
        if self._chain is not None and head.chain != self._chain:
            raise UsageError(f"{path} does not continue the file before it\n{DAMAGE}")
        sequence = head.sequence
        for found, payload in frames:
            expected = blake2b(chain + payload, digest_size=CHAIN).digest()
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
            try:
                record: Record = decode_audit(payload)
            except msgspec.DecodeError as error:
                raise UsageError(
                    f"{path}: record {sequence} cannot be read ({error})\n{DAMAGE}"
                ) from error
            yield Entry(sequence, record, payload)
            self.sequence = sequence
            sequence += 1
        self._chain = chain


TORN = "The file was cut right after its start."
DAMAGE = "It was altered or damaged; a crash alone does not do this."


def _opened(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}\nCheck the path.") from error
    if path.name.endswith(PACKED):
        return zstandard.ZstdDecompressor().stream_reader(file, closefd=True)
    return file


Frames = Iterator[tuple[bytes, bytes]]


def _frames(path: Path, file: BinaryIO) -> Frames:
    """Chain and payload of each frame; a torn tail comes last, without a chain.

    Read in blocks: a read for each frame costs more than all that is done with it.
    """
    data, at, wanted = b"", 0, BLOCK
    while block := file.read(wanted):
        data, at, wanted = data[at:] + block, 0, BLOCK
        end = len(data)
        while end - at >= SIZE_AND_CRC.size:
            size, crc = SIZE_AND_CRC.unpack_from(data, at)
            if size > LARGEST:
                raise UsageError(f"{path}: a frame of {size} bytes cannot be\n{DAMAGE}")
            after = at + FRAME + size
            if after > end:
                wanted = max(BLOCK, after - end)
                break
            rest = data[at + SIZE_AND_CRC.size : after]
            if crc32(rest) != crc:
                if after < end or file.read(1):
                    raise UsageError(
                        f"{path}: a frame's CRC does not fit, and others follow\n{DAMAGE}"
                    )
                break
            yield rest[:CHAIN], rest[CHAIN:]
            at = after
    if at < len(data):
        yield b"", data[at:]


def repair(folder: Path) -> int:
    """Cut a torn tail off the last file of a journal; returns how many bytes were cut.

    Raises UsageError where the journal is damaged in any other way.
    """
    reader = Reader(folder)
    for _ in reader:
        continue
    last = reader.paths[-1]
    if reader.torn and last.name.endswith(SUFFIX) and not last.name.endswith(PACKED):
        os.truncate(last, last.stat().st_size - reader.torn)
    return reader.torn
