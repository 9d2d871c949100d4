"""Recorded market data in our compact format: a header, then compressed blocks of events.

Layout: the 8 bytes of `MAGIC`; then blocks, each 4 bytes of length (big-endian), 4 bytes of CRC-32,
and that many bytes of zstandard-compressed msgpack. The first block is the header (a map:
schema, source, licence, instruments); each further block is an array of events. A reader holds
one block at a time.
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from betatrader.model.errors import UsageError
from betatrader.model.event import SCHEMA_VERSION, MarketInput, encode

MAGIC = b"BTSEG\x00\x01\n"
EVENTS_IN_BLOCK = 4_096
LEVEL = 19
LARGEST_BLOCK = 64 * 1024 * 1024

_decode_events = msgspec.msgpack.Decoder(list[MarketInput]).decode


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment says of itself. Times are UTC ns; `note` holds source and licence."""

    schema: int = SCHEMA_VERSION
    source: str
    note: str = ""
    first_ns: int = 0
    last_ns: int = 0
    events: int = 0
    instruments: tuple[str, ...] = ()


def write(path: Path, header: Header, events: Iterable[MarketInput]) -> Header:
    """Write a segment; it appears under its name only when it is whole. Returns its header."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    body = path.with_name(path.name + ".body")
    whole = path.with_name(path.name + ".part")
    try:
        with body.open("wb") as file:
            header = _write_blocks(file, header, events, compressor)
        with whole.open("wb") as file, body.open("rb") as blocks:
            file.write(MAGIC)
            _block(file, compressor, msgspec.msgpack.encode(header))
            while chunk := blocks.read(1 << 20):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)
    finally:
        body.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)
    return header


def _write_blocks(
    file: BinaryIO,
    header: Header,
    events: Iterable[MarketInput],
    compressor: zstandard.ZstdCompressor,
) -> Header:
    rest = iter(events)
    count, first, last, names = 0, None, 0, set[str]()
    while block := list(islice(rest, EVENTS_IN_BLOCK)):
        _block(file, compressor, encode(block))
        count += len(block)
        first = block[0].time_ns if first is None else first
        last = block[-1].time_ns
        names |= {e.instrument for e in block if hasattr(e, "instrument")}
    return msgspec.structs.replace(
        header, first_ns=first or 0, last_ns=last, events=count, instruments=tuple(sorted(names))
    )


def _block(file: BinaryIO, compressor: zstandard.ZstdCompressor, data: bytes) -> None:
    packed = compressor.compress(data)
    file.write(len(packed).to_bytes(4) + zlib.crc32(packed).to_bytes(4) + packed)


def is_segment(path: Path) -> bool:
    """Whether a file begins as a segment does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_header(path: Path) -> Header:
    """The header alone; raises UsageError where the file is none of ours or broken."""
    with path.open("rb") as file:
        return _header(path, file)


def read(path: Path) -> Iterator[MarketInput]:
    """The events, one block in memory at a time; raises UsageError where the file breaks."""
    with path.open("rb") as file:
        header = _header(path, file)
        count = 0
        while (data := _read_block(path, file)) is not None:
            events = _decode(path, data)
            count += len(events)
            yield from events
    if count != header.events:
        raise UsageError(
            f"{path} is cut short: {count} of {header.events} events\nImport the data again."
        )


def _header(path: Path, file: BinaryIO) -> Header:
    if file.read(len(MAGIC)) != MAGIC:
        raise UsageError(f"{path} is no segment of ours\nMake one with `betatrader data import`.")
    data = _read_block(path, file)
    try:
        header = msgspec.msgpack.decode(data or b"", type=Header)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: unreadable header ({error})\nImport the data again.") from error
    if header.schema > SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema {header.schema}, and this version reads up to {SCHEMA_VERSION}\n"
            "Use the betatrader that wrote it, or import the data again."
        )
    return header


def _read_block(path: Path, file: BinaryIO) -> bytes | None:
    head = file.read(8)
    if not head:
        return None
    size, crc = int.from_bytes(head[:4]), int.from_bytes(head[4:])
    packed = file.read(size) if size <= LARGEST_BLOCK else b""
    if len(head) < 8 or len(packed) < size or zlib.crc32(packed) != crc:
        raise UsageError(f"{path} breaks off or is damaged\nImport the data again.")
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 30)


def _decode(path: Path, data: bytes) -> list[MarketInput]:
    try:
        return _decode_events(data)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {error}\nImport the data again.") from error
