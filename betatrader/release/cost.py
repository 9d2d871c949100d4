"""The monthly bill of a plan: of the fly files as they are, and of three sizes to choose from."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.release import configuration, fly_files, prices
from betatrader.release import fly_files_rules as rules
from betatrader.release.apps import APPS
from betatrader.release.prices import Size

CENT = Decimal("0.01")
TRAFFIC_GB = Decimal(8)
"""Sent in a month by a trader on one venue: orders, requests and pings are small, books come in."""

DAYS = 30
PAID = frozenset({"vm", "mounts"})
"""The tables of a fly file that name what is paid for."""


class Line(NamedTuple):
    """One thing that is paid for, in USD for 30 days."""

    name: str
    what: str
    usd: Decimal


class Bill(NamedTuple):
    """What a plan costs in 30 days."""

    name: str
    region: str
    lines: tuple[Line, ...]

    @property
    def usd(self) -> Decimal:
        """The total."""
        return sum((line.usd for line in self.lines), Decimal(0))

    @property
    def daily_usd(self) -> Decimal:
        """A day of it, rounded up to the cent."""
        return daily_usd(self.usd)

    def months_of(self, budget_usd: Decimal) -> Decimal:
        """For how many months a sum lasts."""
        return (budget_usd / self.usd).quantize(Decimal("0.1"), rounding="ROUND_DOWN")


class Plan(NamedTuple):
    """What a setup holds; `managed` is a Redis of fly's partner instead of our own machine.
    `regions` names those of apps that stand elsewhere than the rest."""

    name: str
    machines: Mapping[str, Size]
    volume_gb: int = 1
    egress_address: bool = False
    managed: bool = False
    intel_machines: int = 1
    regions: Mapping[str, str] = {}


MINIMAL = Plan(
    "minimal",
    {
        "trading": Size("shared", 1, 512),
        "intel": Size("shared", 1, 512),
        "jobs": Size("shared", 1, 256),
        "redis": Size("shared", 1, 256),
    },
)
STANDARD = Plan(
    "standard",
    {
        "trading": Size("shared", 4, 1024),
        "intel": Size("shared", 1, 1024),
        "jobs": Size("shared", 1, 256),
        "redis": Size("shared", 1, 256),
    },
    egress_address=True,
)
COMFORTABLE = Plan(
    "comfortable",
    {
        "trading": Size("performance", 1, 2048),
        "intel": Size("shared", 2, 1024),
        "jobs": Size("shared", 1, 512),
    },
    volume_gb=0,
    egress_address=True,
    managed=True,
)
SIZES = (MINIMAL, STANDARD, COMFORTABLE)


def bill(
    plan: Plan, region: str, *, traffic_gb: Decimal = TRAFFIC_GB, intel_usd: Decimal = Decimal(0)
) -> Bill:
    """What a plan costs in a region, with `intel_usd` for models and searches of others. What is
    sent is sent by the trader."""
    for one in (region, *plan.regions.values()):
        if one not in prices.REGIONS:
            raise UsageError(f"no region is named {one!r}\nKnown: {', '.join(prices.REGIONS)}.")
    lines = [
        Line(name, f"{_shown(size, number)} in {at}", size.price(at) * number)
        for name, size in plan.machines.items()
        for number in [plan.intel_machines if name == "intel" else 1]
        for at in [plan.regions.get(name, region)]
    ]
    if plan.volume_gb:
        price = prices.VOLUME_GB * plan.volume_gb
        lines.append(Line("volume", f"{plan.volume_gb} GB for redis", price))
    if plan.managed:
        lines.append(Line("redis", "managed, 250 MB", prices.MANAGED_REDIS_250MB))
    if plan.egress_address:
        lines.append(Line("egress", "a static address for the venue", prices.EGRESS_ADDRESS))
    sender = plan.regions.get("trading", region)
    traffic = (prices.TRAFFIC_GB[sender] * traffic_gb).quantize(CENT)
    lines.append(Line("traffic", f"{traffic_gb} GB sent", traffic))
    if intel_usd:
        lines.append(Line("intel", "models and searches of others, the budget", intel_usd))
    return Bill(plan.name, region, tuple(lines))


def cheapest_region(venue: str) -> str:
    """Of those that serve a venue."""
    if venue not in prices.VENUES:
        raise UsageError(f"no region is known for {venue!r}\nKnown: {', '.join(prices.VENUES)}.")
    return min(prices.VENUES[venue], key=lambda region: prices.REGIONS[region])


def plan_of(files: Mapping[str, str]) -> tuple[Plan, str]:
    """The plan that fly files describe (text by app), each app in its own region, and the trader's;
    raises ConfigurationError."""
    machines, volumes, regions = {}, 0, {}
    for app in APPS:
        if app not in files:
            continue
        found = _read(app, files[app])
        machines[app] = _size(next(iter(rules.tables(found, "vm")), {}))
        if "primary_region" in found:
            regions[app] = str(found["primary_region"])
        for mount in rules.tables(found, "mounts"):
            volumes += _volume_gb(str(mount.get("initial_size", "1gb")))
    region = regions.get("trading") or next(iter(regions.values()), "")
    return Plan("these files", machines, volumes, regions=regions), region


def daily_usd(monthly_usd: Decimal) -> Decimal:
    """A day of a monthly bill, rounded up to the cent: profit net of it is never flattered."""
    return (monthly_usd / DAYS).quantize(CENT, rounding="ROUND_UP")


def _read(app: str, text: str) -> dict[str, Any]:
    """What a file says of what is paid for, its values known to be fly's."""
    try:
        found = configuration.parsed(text)
    except ValueError as error:
        raise ConfigurationError([f"fly/{app}.toml: {error}"]) from error
    wrong = fly_files.misread(found, PAID)
    if wrong:
        raise ConfigurationError([f"fly/{app}.toml: {line}" for line in wrong])
    return found


def _size(vm: Mapping[str, Any]) -> Size:
    kind, vcpus = rules.processor(dict(vm))
    if {"memory", "memory_mb"} & set(vm):
        return Size(kind, vcpus, rules.memory(dict(vm)) or 0)
    name, _, count = str(vm.get("size", "shared-cpu-1x")).rpartition("-")
    least = 256 if name == "shared-cpu" else 2048  # as the size has it
    return Size(kind, vcpus, least * int(count.removesuffix("x")))


def _volume_gb(text: str) -> int:
    """As fly reads it: GB where no unit is named. A part of one is paid as a whole."""
    number = int(re.sub(r"\D", "", text) or 1)
    return -(-number // 1024) if "m" in text.lower() else number


def _shown(size: Size, number: int) -> str:
    kind = "shared-cpu" if size.kind == "shared" else size.kind
    several = f"{number} x " if number > 1 else ""
    return f"{several}{kind}-{size.vcpus}x, {size.memory_mb} MB"
