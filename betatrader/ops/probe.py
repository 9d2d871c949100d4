"""Asks a health endpoint; run as a program it is the health check of a container.

`python -m betatrader.ops.probe 8701`: status 0 where the role there is ready.
"""

import asyncio
import sys

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


def main(arguments: list[str]) -> int:
    """Print what the role at a port of this machine says; 0 where it is ready, else 1."""
    if not arguments or not arguments[0].isdecimal():
        print("a port is missing: python -m betatrader.ops.probe 8701", file=sys.stderr)  # noqa: T201
        return 2
    url = f"http://localhost:{arguments[0]}/readyz"
    try:
        answer = asyncio.run(http.request("GET", url, timeout_s=3.0))
    except (OSError, TimeoutError) as error:
        print(f"nothing answers at port {arguments[0]}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(answer.body.decode(errors="replace").strip())  # noqa: T201
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
