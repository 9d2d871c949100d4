"""[shard]: one of several traders that share one account's limits (docs/scaling.md).

[risk] and [live] say what the whole account may risk, in each of them alike; each has its share.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import msgspec

from betatrader.config.live import VENUES, bound, traded_venues
from betatrader.config.reader import Section
from betatrader.model.limits import UNBOUND, Limits
from betatrader.model.money import SCALE

if TYPE_CHECKING:
    from betatrader.config import Config

SUMMED = (
    *("position_event", "position_venue", "total_notional", "open_positions", "open_orders"),
    *("orders_per_minute", "daily_loss", "daily_bought", "daily_orders"),
)
"""The limits that add up over traders. The others are of one order, one instrument (which one
trader alone trades) or a fraction of what the trader itself has."""

COUNTS = (
    *(("risk", name) for name in ("open_positions", "open_orders", "orders_per_minute")),
    ("live", "micro_orders_a_day"),
)
OPEN_ENDED = "follow"


class Shard(Section, frozen=True, kw_only=True):
    """[shard]: a trader's part of an account's limits. Unset: all of them."""

    share: Annotated[Decimal, msgspec.Meta(extra={"above": 0, "most": 1})] = Decimal(1)
    """Of the limits that add up. The traders of one server may have 1 together, and no more."""
    account: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{0,40}$")] = ""
    """Whose limits are shared: those of another name are limits of their own."""

    @property
    def units(self) -> int:
        """The share in units of 10^-8."""
        return int(self.share * SCALE)


def shared(limits: Limits, shard: Shard) -> Limits:
    """A trader's share of its account's limits, rounded down."""
    if shard.units == SCALE:
        return limits
    whole = {name: getattr(limits, name) for name in SUMMED}
    parts = {n: v * shard.units // SCALE for n, v in whole.items() if v != UNBOUND}
    return msgspec.structs.replace(limits, **parts)


def whole(config: "Config") -> str:
    """The account's limits of which shares are taken, to be compared with other traders'."""
    limits = bound(config.risk.limits(), config)
    return ",".join(str(getattr(limits, name)) for name in SUMMED)


def too_small(config: "Config") -> str:
    """What is wrong with a share of which nothing is left of a limit; "" where all fits."""
    for table, name in COUNTS:
        whole = getattr(getattr(config, table), name)
        if whole * config.shard.units < SCALE:
            return f"{config.shard.share} of {table}.{name}, {whole}, is less than one"
    return ""


def traded(config: "Config") -> tuple[str, ...]:
    """What the configuration names to trade, as no two traders of an account may; `*` stands where
    all that begins so is traded."""
    return tuple(
        f"{venue}/{name}{'*' if field == OPEN_ENDED else ''}"
        for venue in traded_venues(config)
        for field in VENUES[venue]
        for name in getattr(getattr(config, venue), field)
    )
