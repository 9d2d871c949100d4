"""The shares of accounts' limits, for the command line: listed, and given back."""

from typing import Any

from betatrader.model.errors import RefusedError, UsageError


async def shares(give_back: int | None) -> list[dict[str, Any]]:
    """Every trader's share of each account, after freeing what one database has."""
    from betatrader.model.money import show
    from betatrader.ops import home
    from betatrader.store import keys
    from betatrader.store.connection import connected, in_database
    from betatrader.store.shares import Shares

    url = home.redis_url()
    async with connected(url, 2.0) as redis:
        root = in_database(url, 0)
        try:
            found = [key.decode() async for key in root.scan_iter(f"{keys.SHARES}*")]
            accounts = [Shares(root, key) for key in sorted(found)]
            if give_back is not None:
                await _refuse_leading(redis, url, give_back)
                freed = [await account.give_back(give_back) for account in accounts]
                if not any(freed):
                    raise UsageError(
                        f"database {give_back} has no share\n`betatrader limits shares` lists them."
                    )
            return [
                {
                    "account": account.name,
                    "database": one.database,
                    "share": show(one.units),
                    "trades": list(one.traded),
                }
                for account in accounts
                for one in await account.all()
            ]
        finally:
            await root.aclose()


async def _refuse_leading(redis: Any, url: str, database: int) -> None:
    """Raises RefusedError while the trader of a database leads."""
    from betatrader.store import keys
    from betatrader.store.connection import in_database

    there = in_database(url, database)
    try:
        seconds, micros = await redis.time()
        lease = await there.hgetall(keys.LEASE)
    finally:
        await there.aclose()
    if int(lease.get(b"until", 0)) > seconds * 1000 + micros // 1000:
        raise RefusedError(
            f"the trader of database {database} holds its lease\n"
            "Stop it first: it takes its share again for as long as it leads."
        )
