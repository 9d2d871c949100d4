"""Files that appear whole, appends that fit whole, and locks that end with their process."""

import errno
import fcntl
import os
from pathlib import Path
from typing import IO


def replace_whole(path: Path, data: bytes, *, sync: bool = False, private: bool = False) -> None:
    """Write a file that appears under its name whole, or not at all; with `sync` it also survives
    the machine, with `private` its user alone may read it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    if private:
        part.unlink(missing_ok=True)  # one that was left may have other rights
    with open(part, "wb", opener=_private if private else None) as out:
        out.write(data)
        if sync:
            out.flush()
            os.fsync(out.fileno())
    part.replace(path)
    if sync:
        sync_folder(path.parent)


def sync_data(file: int) -> None:
    """Make what a file holds survive the machine; raises OSError. macOS knows the longer way."""
    getattr(os, "fdatasync", os.fsync)(file)


def allocate(file: int, begins: int, length: int) -> None:
    """Take room on the disk before it is written; raises OSError. What the file holds stays."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, begins, length)
        return
    size = os.fstat(file).st_size  # macOS has no such call, and takes room for what is written
    missing = begins + length - size
    if missing > 0 and os.pwrite(file, bytes(missing), size) < missing:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive the machine, as `fsync` does what a file holds; raises
    OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)


def append_whole(file: int, data: bytes) -> None:
    """Append to a file descriptor; raises OSError, also where only a part has fitted."""
    written = os.write(file, data)
    if written < len(data):
        raise OSError(f"only {written} of {len(data)} bytes fitted")


class Taken(Exception):  # noqa: N818  it says what happened
    """Somebody holds the lock: `pid`, as far as it is known."""

    def __init__(self, pid: str) -> None:
        super().__init__(pid)
        self.pid = pid


def lock(path: Path) -> IO[str]:
    """Hold a lock file until it is closed or the process ends; raises Taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = path.open("a+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.seek(0)
        pid = held.read().strip() or "unknown"
        held.close()
        raise Taken(pid) from None
    held.truncate(0)
    held.write(f"{os.getpid()}\n")
    held.flush()
    return held
