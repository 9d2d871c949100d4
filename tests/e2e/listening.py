"""Stands between a trader and a venue, and keeps every byte that the trader sends."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class Listener:
    """One address that leads to another; `sent` is what went that way."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self.sent = bytearray()
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        self.address = target.replace(f":{parts.port}", f":{port}", 1)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)  # type: ignore[arg-type]
            except OSError:
                return
            self._open += [near, far]
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with selectors.DefaultSelector() as both:
            both.register(near, selectors.EVENT_READ, far)
            both.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in both.select():
                    try:
                        data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                        if key.fileobj is near:
                            self.sent += data
                        key.data.sendall(data)
                    except OSError:
                        data = b""
                    if not data:
                        near.close()
                        far.close()
                        return

    def close(self) -> None:
        self._server.close()
        for one in self._open:
            one.close()


@contextmanager
def overheard(variables: dict[str, str]) -> Iterator[tuple[dict[str, str], dict[str, Listener]]]:
    """The same variables, with each address led through a listener; and these, by variable."""
    listeners: dict[str, Listener] = {}
    led = {}
    for name, value in variables.items():
        if "://" in value:
            listeners[name] = Listener(value)
            value = listeners[name].address
        led[name] = value
    try:
        yield led, listeners
    finally:
        for one in listeners.values():
            one.close()
