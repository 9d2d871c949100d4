"""One small HTTP/1.1 request over a socket of its own, without an HTTP library.

For health, control and webhooks: an answer of a few bytes, no redirects, no kept connections.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

from anyio import to_thread

LARGEST = 64 * 1024
"""Bytes of an answer that are read."""


class Answer(NamedTuple):
    """The status, and the body where its length was told."""

    status: int
    body: bytes


async def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout_s: float,
) -> Answer:
    """Ask once. Raises OSError or TimeoutError where no answer comes in time, or one that is no
    HTTP; ValueError for an address that is none."""
    parts = urlsplit(url)
    host, secure = parts.hostname, parts.scheme == "https"
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError("no http address")
    lines = {
        "Host": parts.netloc.rpartition("@")[2],
        "Connection": "close",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    data = f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(
            host,
            parts.port or (443 if secure else 80),
            ssl=await to_thread.run_sync(_trust) if secure else None,
            limit=LARGEST,
        )
        try:
            writer.write(data)
            return await _answer(reader)
        finally:
            writer.transport.abort()  # a polite end could wait for a peer that never answers


@cache
def _trust() -> ssl.SSLContext:
    """The machine's certificates: read once, in a thread, since that takes tens of milliseconds."""
    return ssl.create_default_context()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ", 2)[1])
        length = 0
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = min(LARGEST, int(value))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
        raise ConnectionError("the answer is no HTTP") from None
    try:
        return Answer(status, await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        raise ConnectionError("the answer breaks off") from None
