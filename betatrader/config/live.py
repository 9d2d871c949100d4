"""[live], and what the modes ask of the rest of the configuration.

The mode alone sends nothing: `--live` on the command line is the other half of it.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec.structs import replace

from betatrader.config.reader import Section
from betatrader.model.errors import RefusedError
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE

if TYPE_CHECKING:
    from betatrader.config import Config

VENUES = {"binance": ("symbols",), "polymarket": ("markets", "follow")}
"""The tables of real venues, and the fields of each that name what is traded there."""


class Live(Section, frozen=True, kw_only=True):
    """[live]: real money, a step at a time."""

    stage: Literal["micro", "full"] = "micro"
    """micro: the venue's minimum size, and a few orders a day. full: as [risk] allows."""
    micro_orders_a_day: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 5
    daily_usd: Annotated[Decimal, msgspec.Meta(extra={"above": 0})] = Decimal(20)
    """What may be bought in a day (UTC). A higher value waits for `betatrader limits confirm`."""


def traded_venues(config: "Config") -> tuple[str, ...]:
    """The real venues whose tables name something to trade."""
    return tuple(
        name
        for name, fields in VENUES.items()
        if any(getattr(getattr(config, name), field) for field in fields)
    )


def on_live_market(config: "Config") -> bool:
    """Whether live market data is traded on with fills inside: always so in shadow."""
    return config.mode == "shadow" or (config.mode == "paper" and config.paper.market == "live")


def fault(config: "Config") -> tuple[tuple[str, ...], str] | None:
    """A field that does not fit the mode, and what is wrong with it; None where all fits."""
    real = config.mode != "paper" or config.paper.market == "live"
    if not real:
        return None
    field = ("mode",) if config.mode != "paper" else ("paper", "market")
    said = f'"{config.mode}"' if config.mode != "paper" else '"live"'
    if config.paper.link or config.paper.venues:
        other = "link" if config.paper.link else "venues"
        return field, f"{said} and paper.{other} contradict each other; leave one of them out"
    if not traded_venues(config):
        return field, f"{said} needs a venue: set [binance] symbols, [polymarket] markets or follow"
    return None


def bound(limits: Limits, config: "Config") -> Limits:
    """The limits with the ceilings of live trading; in any other mode as they are."""
    live = config.live
    if config.mode != "live":
        return limits
    limits = replace(limits, daily_bought=int(live.daily_usd * SCALE))
    if live.stage == "full":
        return limits
    return replace(limits, daily_orders=live.micro_orders_a_day, minimum_times=1)


def check_command_line(config: "Config", *, live: bool) -> None:
    """Both halves of going live, or neither: the mode in the configuration, and `--live`.

    Raises RefusedError, exit status 6.
    """
    if config.mode == "live" and not live:
        raise RefusedError(
            'the configuration says mode = "live", and --live is not on the command line\n'
            'Give --live to trade with real money, or set mode = "paper".'
        )
    if live and config.mode != "live":
        raise RefusedError(
            f'--live is on the command line, and the configuration says mode = "{config.mode}"\n'
            'Set mode = "live" to trade with real money, or leave --live out.'
        )
