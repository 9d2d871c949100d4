"""Trims streams by age, and never an entry that a consumer has not read and acknowledged."""

from betatrader.ops import clock
from betatrader.store import functions, keys
from betatrader.store.connection import Client

READ_KEPT_MS = 60_000
"""What every consumer has read is kept for so long, for a person who looks."""


async def tend(redis: Client, keep_ms: int) -> str:
    """Trim every stream of ours. What a person reads (the audit) is kept for `keep_ms`."""
    now_ms = clock.now_ns() // 1_000_000
    current = await redis.get(keys.RUN)
    removed = dropped = 0
    async for key in redis.scan_iter(match="bt:*", count=500, _type="STREAM"):
        stream = key.decode()
        part = stream.rpartition(":")[2]
        if await _is_over(redis, stream, current, now_ms - keep_ms):
            dropped += await redis.unlink(stream)
        elif part == "audit":
            removed += await functions.trim(redis, stream, now_ms - keep_ms, [])
        elif part in GROUPS:
            removed += await functions.trim(redis, stream, now_ms - READ_KEPT_MS, GROUPS[part])
    return f"{removed} entries trimmed, {dropped} streams of runs long over dropped"


async def _is_over(redis: Client, stream: str, current: bytes | None, oldest_ms: int) -> bool:
    """Whether a stream is of a run that is not the current one, and nothing came for so long."""
    run = keys.run_of(stream)
    if not run or current is None or run == current.decode():
        return False
    last = (await redis.xinfo_stream(stream))["last-generated-id"]
    return int(last.partition(b"-")[0]) < oldest_ms


GROUPS = {
    "signals": [keys.TRADING_GROUP],
    "instructions": [keys.TRADING_GROUP],
    "requests": [keys.INTEL_GROUP],
}
"""The consumers without which a stream is left alone, by the last part of its key."""
