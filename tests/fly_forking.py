"""Keeps the stand-in for fly loaded: each of its commands is a fork, not a program that starts.

Thousands of commands run in the tests of releases, and most of each was Python's own start. What is
called `fly` hands its arguments, environment, folder and standard streams to the loaded one, waits
for the exit status, and takes the command with it where it is killed.
"""

import atexit
import contextlib
import functools
import marshal
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

CLIENT = """\
import marshal, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({path!r})
asked = marshal.dumps((os.getcwd(), sys.argv[1:], dict(os.environ)))
socket.send_fds(link, [len(asked).to_bytes(4)], [0, 1, 2])
link.sendall(asked)
status = link.recv(1)
sys.exit(status[0] if status else 70)
"""


@functools.cache
def client() -> Path:
    """The program that asks, for as long as this process lives: `python -I -S` runs it."""
    folder = Path(tempfile.mkdtemp(prefix="bt-fly-", dir="/tmp"))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "fly"))
    listening.listen(64)
    number = listening.fileno()
    loaded = subprocess.Popen(
        [sys.executable, __file__, str(number), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[number],
        start_new_session=True,
    )
    listening.close()
    atexit.register(_end, loaded, folder)
    program = folder / "client.py"
    program.write_text(CLIENT.format(path=str(folder / "fly")))
    return program


def _end(loaded: "subprocess.Popen[bytes]", folder: Path) -> None:
    loaded.kill()
    loaded.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _serve(listening: socket.socket, parent: int) -> None:
    """Fork for each command, until the tests have ended."""
    os.environ["FLY_STAND_IN"] = "/"
    import fly_stand_in  # noqa: F401  it is to be loaded
    import redis  # noqa: F401

    from betatrader.store import keys  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening.settimeout(1.0)
    while os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            link, _ = listening.accept()
            if not os.fork():
                _run(link)
            link.close()


def _run(link: socket.socket) -> None:
    status = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        link.settimeout(None)
        size, streams, _, _ = socket.recv_fds(link, 4, 3)
        asked = b""
        while len(asked) < int.from_bytes(size):
            asked += link.recv(1 << 16)
        folder, arguments, environment = marshal.loads(asked)
        for stream, number in zip(streams, (0, 1, 2), strict=True):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = arguments
        threading.Thread(target=_ends_with, args=(link,), daemon=True).start()
        import fly_stand_in

        fly_stand_in.HERE = Path(environment["FLY_STAND_IN"])
        status = fly_stand_in.main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream_ in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream_.flush()
    with contextlib.suppress(OSError):
        link.sendall(bytes((status & 255,)))
    os._exit(0)


def _ends_with(link: socket.socket) -> None:
    """Whoever asked was killed: the command ends, too."""
    with contextlib.suppress(OSError):
        link.recv(1)
    os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
