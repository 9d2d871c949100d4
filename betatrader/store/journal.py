"""The journal: every input event before the engine sees it, every Step before it is carried out.

A run's journal is a folder of files. A file is a head and then frames:

    head   8 bytes MAGIC, then one frame with a Head: schema, run, number, first sequence, chain
    frame  4 bytes length, 4 bytes CRC-32 of the rest, 16 bytes chain, the payload (msgpack)

The chain of a frame is BLAKE2b-128 of the chain before it and the payload, so that a record that
was altered, left out or moved shows. `append` writes inline, and what was written survives the
process; `sync` makes it survive the machine, and is called off the hot path. A torn tail (a crash
in mid-write) is cut off where the journal is opened again, and reported; anything else that does
not fit is damage, and is refused. `CLOSED` beside the files says where a run that was closed ends.
"""

import os
import re
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from zlib import crc32

import msgspec
import zstandard

from betatrader.model.command import Step
from betatrader.model.errors import BetatraderError, UsageError
from betatrader.model.event import SCHEMA_VERSION, Event, encode, encode_as
from betatrader.ops.files import replace_whole, sync_folder
from betatrader.ops.mapped_file import MappedFile
from betatrader.store.schema import Schema

MAGIC = b"BTJNL\x00\x01\n"
CHAIN = 16
FRAME = 8 + CHAIN
SIZE_AND_CRC = Struct(">II")
_pack = SIZE_AND_CRC.pack
_fresh = blake2b(digest_size=CHAIN).copy  # to copy one takes half as long as to make one

ROTATE_BYTES = 16 * 1024 * 1024
SUFFIX, PACKED = ".btj", ".btj.zst"
CLOSED = "closed.json"
"""In a run's folder: its `End`. A file of its own, so that a version without it reads the rest."""

RUN_DIGITS = 11
"""Of a run's id, with zeros before it where a clock begins in 1970; enough until the year 2527."""
_RUN = re.compile(rf"[0-9a-f]{{{RUN_DIGITS},}}")

Record = Event | Step


class JournalBrokenError(BetatraderError):
    """The journal cannot be written (a full or read-only disk): nothing more may be done."""


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


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run that was closed ends: its last file, last record, and that one's chain in hex."""

    run: str
    file: int
    sequence: int
    chain: str


class Journal:
    """Appends to one run's journal. `sync` may be called from another thread, the rest may not.

    `schema` says what is written; a file has one all through. The snapshot is of that schema.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        version: str,
        setup: Setup,
        *,
        snapshot: bytes = b"",
        schema: Schema | None = None,
    ) -> None:
        self.folder = folder
        self._frames = 0
        self.schema = schema or Schema()
        self._run = run
        self._version = version
        self._setup = setup
        self._chain = bytes(CHAIN)
        self.number = 0
        self._dirty = self._failed = False
        self._new_names = {folder.parent}
        """Folders where a name may not survive the machine yet."""
        self._closed: list[MappedFile] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open_next(snapshot)
        except OSError as error:
            raise self._broken(error) from error

    @property
    def full(self) -> bool:
        """Whether it is time to `rotate`: where the schema was raised, too."""
        return self._file.begins > ROTATE_BYTES or self.schema.writes != self._of_file

    @property
    def sequence(self) -> int:
        """The number of the last record: each file's first frame is its head."""
        return self._frames - self.number

    def append(self, record: Record | Head) -> None:
        """Write one record; where this raises JournalBrokenError it counts as not written."""
        self._frames += 1
        payload = self._encode(record)
        linked = _fresh()  # `link`, written out: a call less on the hottest path
        linked.update(self._chain)
        linked.update(payload)
        chain = linked.digest()
        rest = chain + payload
        try:
            self._file.append(_pack(len(payload), crc32(rest)) + rest)
        except OSError as error:
            raise self._broken(error) from error
        self._chain = chain
        self._dirty = True

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
        open_ = self._file  # before what was closed: a rotation meanwhile is the next sync's
        closed, self._closed = self._closed, []
        dirty, self._dirty = self._dirty, False
        names, self._new_names = self._new_names, set()
        try:
            for file in closed:
                file.close()
            if open_ in closed:
                self._dirty = dirty or self._dirty
            elif dirty:
                open_.sync()
            for named in names:
                sync_folder(named)
        except OSError as error:
            raise self._broken(error) from error
        return bool(closed)

    def close(self) -> None:
        """Write down what is left, close, and say where it ends."""
        self.sync()
        try:
            self._file.close()
        except OSError as error:
            raise self._broken(error) from error
        if self._failed:
            return
        end = End(run=self._run, file=self.number, sequence=self.sequence, chain=self._chain.hex())
        with suppress(OSError):  # a full disk: all records are kept, and it counts as not closed
            replace_whole(self.folder / CLOSED, msgspec.json.encode(end), sync=True)

    def _open_next(self, snapshot: bytes) -> None:
        before = self.sequence
        self.number += 1
        written = self._of_file = self.schema.writes
        self._encode = encode if written == SCHEMA_VERSION else partial(encode_as, schema=written)
        self._file = MappedFile(self._path(self.number))
        self._new_names.add(self.folder)
        self._file.append(MAGIC)
        head = Head(
            schema=written,
            run=self._run,
            file=self.number,
            sequence=before + 1,
            chain=self._chain,
            version=self._version,
            setup=self._setup,
            snapshot=snapshot,
        )
        self.append(head)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}{SUFFIX}"

    def _broken(self, error: OSError) -> JournalBrokenError:
        self._failed = True
        return JournalBrokenError(
            f"the journal in {self.folder} cannot be written: {error.strerror or error}\n"
            "Free or mend the disk, then start again; nothing was sent that is not in it."
        )


def link(chain: bytes, payload: bytes) -> bytes:
    """The chain of a frame: of the one before it, and of what it holds."""
    linked = _fresh()
    linked.update(chain)
    linked.update(payload)
    return linked.digest()


def is_run(folder: Path) -> bool:
    """Whether a folder beside others is a run's. One whose name is no run's id is somebody's own, a
    copy of a journal for instance: it is neither recovered from, nor packed, nor removed."""
    return bool(_RUN.fullmatch(folder.name))


def files(path: Path) -> list[Path]:
    """The files of a journal in their order; a single file stands for itself.

    Raises UsageError where there is none.
    """
    if path.is_file():
        return [path]
    packed = {one.name[:6]: one for one in path.glob(f"*{PACKED}")}
    plain = {one.name[:6]: one for one in path.glob(f"*{SUFFIX}")}
    # a plain file beside its packed one is what a kill has left of `pack`: both hold the same
    found = [one for _, one in sorted((plain | packed).items())]
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
        zstandard.ZstdCompressor(level=6, write_checksum=True).copy_stream(plain, out)
        out.flush()
        os.fsync(out.fileno())
    part.replace(packed)
    sync_folder(path.parent)
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
        if is_run(path.parent) and (path.parent.name, path.name) < current
    ]
    for path in closed:
        pack(path)
    return len(closed)


def retain(root: Path, most_bytes: int) -> int:
    """Remove the oldest closed files below `root` until the rest fits; returns how many."""
    found = (path for path in root.glob(f"*/*{PACKED}") if is_run(path.parent))
    closed = sorted(found, key=lambda path: (path.parent.name, path.name))
    total = sum(path.stat().st_size for path in closed)
    removed = 0
    for path in closed:
        if total <= most_bytes:
            break
        total -= path.stat().st_size
        path.unlink()
        removed += 1
        if not any(path.parent.glob(f"*{SUFFIX}*")):
            (path.parent / CLOSED).unlink(missing_ok=True)
    return removed
