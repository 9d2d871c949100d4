"""A file that grows at its end through mapped memory: an append is a copy, and no system call.

The room for what comes is allocated before it is mapped, so that a full disk is an error here and
not a signal later. What was appended is the kernel's at once and survives the process; `sync`
makes it survive the machine. Until the file is closed, zeros follow its content.
"""

import os
from mmap import ALLOCATIONGRANULARITY, mmap
from pathlib import Path

WINDOW = 256 * 1024
"""Bytes that are allocated and mapped at a time."""


class MappedFile:
    """A new file, of which only this process's user may read. `sync` may run in a thread.

    Raises OSError: FileExistsError where the path is taken, and where the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._map = self._mapped(0, WINDOW)
        self._begins = 0
        self._room = WINDOW

    def append(self, data: bytes) -> None:
        """Add to the end; raises OSError where there is no room, and then nothing was added."""
        at = self.size
        end = at + len(data)
        if end > self._room:
            self._go_on(end)
        begins = self._begins
        self._map[at - begins : end - begins] = data
        self.size = end

    def sync(self) -> None:
        """Return when all that was appended before survives the machine; raises OSError."""
        os.fdatasync(self._file)

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

    def _go_on(self, end: int) -> None:
        """Map a window that begins with the page where the content ends, and holds `end`."""
        begins = self.size - self.size % ALLOCATIONGRANULARITY
        granules = -(-max(end - begins, WINDOW) // ALLOCATIONGRANULARITY)
        length = granules * ALLOCATIONGRANULARITY
        mapped = self._mapped(begins, length)
        self._map.close()
        self._map, self._begins, self._room = mapped, begins, begins + length

    def _mapped(self, begins: int, length: int) -> mmap:
        os.posix_fallocate(self._file, begins, length)
        return mmap(self._file, length, offset=begins)
