"""A file that grows at its end through mapped memory: an append is a copy, and no system call.

The room for what comes is allocated before it is mapped, so that a full disk is an error here and
not a signal later. What was appended is the kernel's at once and survives the process; `sync`
makes it survive the machine. Until the file is closed, zeros follow its content.
"""

import os
from mmap import ALLOCATIONGRANULARITY, mmap
from pathlib import Path

from betatrader.ops.files import allocate, sync_data

WINDOW = 256 * 1024
"""Bytes that are allocated and mapped at a time."""


class MappedFile:
    """A new file, of which only this process's user may read. `sync` may run in a thread.

    Raises OSError: FileExistsError where the path is taken, and where the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._map = self._mapped(0, WINDOW)
        self.begins = 0
        """Where the window that is written begins in the file."""
        self._end, self._room = 0, WINDOW  # counted from there: an append adds nothing up

    @property
    def size(self) -> int:
        """How many bytes were appended."""
        return self.begins + self._end

    def append(self, data: bytes) -> None:
        """Add to the end; raises OSError where there is no room, and then nothing was added."""
        at = self._end
        end = at + len(data)
        if end > self._room:
            self._go_on(len(data))
            at = self._end
            end = at + len(data)
        self._map[at:end] = data
        self._end = end

    def sync(self) -> None:
        """Return when all that was appended before survives the machine; raises OSError."""
        sync_data(self._file)

    def close(self) -> None:
        """Cut off the room that is left, sync, and close; raises OSError."""
        try:
            self._map.close()
            os.ftruncate(self._file, self.size)
            self.sync()
        finally:
            file, self._file = self._file, -1
            self._room = 0  # whoever appends now gets an OSError
            os.close(file)

    def _go_on(self, more: int) -> None:
        """Map a window that begins with the page where the content ends, and holds `more`."""
        size = self.size
        begins = size - size % ALLOCATIONGRANULARITY
        granules = -(-max(size + more - begins, WINDOW) // ALLOCATIONGRANULARITY)
        length = granules * ALLOCATIONGRANULARITY
        mapped = self._mapped(begins, length)
        self._map.close()
        self._map, self.begins, self._end, self._room = mapped, begins, size - begins, length

    def _mapped(self, begins: int, length: int) -> mmap:
        allocate(self._file, begins, length)
        return mmap(self._file, length, offset=begins)
