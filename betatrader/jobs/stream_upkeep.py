"""Trims streams by age, and never an entry that a consumer has not read and acknowledged."""

from betatrader.ops import clock
from betatrader.store import functions, keys
from betatrader.store.connection import Client

READ_KEPT_MS = 60_000
"""What every consumer has read is kept for so long, for a person who looks."""


async def tend(redis: Client, keep_ms: int) -> str:
    """Trim every stream of ours. What a person reads (the audit) is kept for `keep_ms`."""
    now_ms = clock.now_ns() // 1_000_000
    removed = 0
    async for key in redis.scan_iter(match="bt:*", count=500, _type="STREAM"):
        stream = key.decode()
        part = stream.rpartition(":")[2]
        if part == "audit":
            removed += await functions.trim(redis, stream, now_ms - keep_ms, [])
        elif part in GROUPS:
            removed += await functions.trim(redis, stream, now_ms - READ_KEPT_MS, GROUPS[part])
    return f"{removed} entries trimmed"


GROUPS = {
    "signals": [keys.TRADING_GROUP],
    "instructions": [keys.TRADING_GROUP],
    "requests": [keys.INTEL_GROUP],
}
"""The consumers without which a stream is left alone, by the last part of its key."""
