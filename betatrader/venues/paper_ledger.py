"""The paper venue's books on disk: each entry is written before the venue answers.

The file is 8 bytes MAGIC and then frames of 4 bytes length, 4 bytes CRC-32 and msgpack: first the
whole ledger as it stood at the last start, then its entries since. A torn tail (a crash in
mid-write: nothing was answered yet) is cut off at the next start. Nothing in here comes from the
trader's journal: reconciliation compares the two.
"""

import os
import zlib
from pathlib import Path

import msgspec

from betatrader.model.errors import BetatraderError, UsageError
from betatrader.ops.files import append_whole, replace_whole, sync_data
from betatrader.sim.custody import US
from betatrader.sim.ledger import Entry, Ledger

MAGIC = b"BTLDG\x00\x01\n"

_decode_entry = msgspec.msgpack.Decoder(Entry).decode
_decode_ledger = msgspec.msgpack.Decoder(Ledger).decode
_encode = msgspec.msgpack.Encoder().encode


class LedgerBrokenError(BetatraderError):
    """The paper venue cannot write its books, and so answers nothing more."""


class LedgerFile:
    """Appends entries; `ledger` is what the file held when it was opened, None where it was new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0
        """Bytes of a torn tail that were cut off."""
        self.ledger = self._read() if path.exists() else None
        try:
            self._write_anew(self.ledger or Ledger())
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise self._broken(error) from error

    def keep(self, owner: str, entry: Entry) -> None:
        """Write one entry of our own account; raises LedgerBrokenError."""
        if owner != US:
            return
        try:
            append_whole(self._file, _framed(_encode(entry)))
        except OSError as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Make all of it survive the machine, and close."""
        sync_data(self._file)
        os.close(self._file)

    def _write_anew(self, ledger: Ledger) -> None:
        """Start with the whole ledger; the new file appears at once or not at all."""
        replace_whole(self.path, MAGIC + _framed(_encode(ledger)), sync=True)

    def _read(self) -> Ledger:
        data = self.path.read_bytes()
        if not data.startswith(MAGIC):
            raise UsageError(f"{self.path} is no ledger of ours\n{REMEDY}")
        ledger: Ledger | None = None
        at = len(MAGIC)
        while at < len(data):
            size, crc = int.from_bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8])
            payload = data[at + 8 : at + 8 + size]
            end = at + 8 + size
            if end > len(data) or zlib.crc32(payload) != crc:
                if end < len(data):
                    raise UsageError(f"{self.path} is damaged at byte {at}\n{REMEDY}")
                self.torn = len(data) - at
                break
            if ledger is None:
                ledger = _decode_ledger(payload)
            else:
                ledger.apply(_decode_entry(payload))
            at = end
        if ledger is None:
            raise UsageError(f"{self.path} holds no ledger\n{REMEDY}")
        return ledger

    def _broken(self, error: OSError) -> LedgerBrokenError:
        return LedgerBrokenError(
            f"the paper venue's ledger {self.path} cannot be written: {error.strerror or error}\n"
            "Free or mend the disk, then start again."
        )


REMEDY = "Move it away to open a new paper account; the journal keeps what the trader did."


def _framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + zlib.crc32(payload).to_bytes(4) + payload
