"""Asks a health endpoint, without an HTTP library."""

import asyncio


async def readiness(port: int, timeout_s: float = 1.0) -> str:
    """ "ok", what the role says it waits for, or "away"."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(
                    b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                answer = await reader.read(4096)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return "away"
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " in head.split(b"\r\n", 1)[0]:
        return "ok"
    return f"not ready: {body.decode(errors='replace')[:100]}"
