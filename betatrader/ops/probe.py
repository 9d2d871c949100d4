"""Asks a health endpoint."""

from betatrader.ops import http


async def readiness(port: int, timeout_s: float = 1.0) -> str:
    """ "ok", what the role says it waits for, or "away"."""
    try:
        answer = await http.request("GET", f"http://127.0.0.1:{port}/readyz", timeout_s=timeout_s)
    except (OSError, TimeoutError):
        return "away"
    if answer.status == 200:
        return "ok"
    return f"not ready: {answer.body.decode(errors='replace')[:100]}"
