"""Runs the program on a disk that turns read-only as a file appears beside its home.

As the kernel does it where a file system has found an error (ext4, `errors=remount-ro`): what is
open stays open, memory that is mapped can be written and comes to nothing, and whatever would
reach the disk is refused with EROFS. No rights and no mount are needed to play that.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = os.environ["BETATRADER_HOME"]
TURNED = Path(f"{HOME}.read-only")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
REFUSED = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")


def refuse(path: object) -> None:
    """Raise what the kernel raises, where the disk has turned and this is on it."""
    if os.path.exists(TURNED) and str(path).startswith(HOME):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def where(file: int) -> str:
    return os.readlink(f"/proc/self/fd/{file}")


def hook(name: str, given: tuple[Any, ...]) -> None:
    if name == "open" and isinstance(given[0], str) and given[2] & WRITES:
        refuse(given[0])
    elif name in REFUSED:
        refuse(where(given[0]) if isinstance(given[0], int) else given[0])


def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
    def made(file: int, *more: Any) -> Any:
        refuse(where(file))
        return call(file, *more)

    return made


if __name__ == "__main__":
    for name in ("fsync", "fdatasync", "posix_fallocate", "write"):
        setattr(os, name, guarded(getattr(os, name)))
    sys.addaudithook(hook)
    from betatrader.cli.main import main

    main()
