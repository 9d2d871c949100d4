"""What fly.io asks, as of the date below. USD for 30 days unless said otherwise.

Machines cost by vCPU and memory, times a factor of the region; this gives fly's published prices
within a cent. Check against fly.io/calculator before you lean on a total.
"""

from decimal import Decimal
from typing import NamedTuple

AS_OF = "2026-11-23"

SHARED_VCPU, PERFORMANCE_VCPU, MEMORY_GB = Decimal("0.695"), Decimal(21), Decimal(5)
VOLUME_GB = Decimal("0.15")
"""Its daily snapshots are free up to 10 GB, which ours do not reach."""

EGRESS_ADDRESS = Decimal("3.60")
MANAGED_REDIS_250MB = Decimal(10)

REGIONS = {
    "iad": Decimal(1),
    "ewr": Decimal(1),
    "ams": Decimal("1.0385"),
    "arn": Decimal("1.0385"),
    "bom": Decimal("1.0769"),
    "yyz": Decimal("1.1154"),
    "lhr": Decimal("1.1346"),
    "cdg": Decimal("1.1346"),
    "fra": Decimal("1.1538"),
    "sjc": Decimal("1.1923"),
    "lax": Decimal("1.1995"),
    "ord": Decimal("1.25"),
    "dfw": Decimal("1.25"),
    "sin": Decimal("1.2692"),
    "syd": Decimal("1.2692"),
    "jnb": Decimal("1.3029"),
    "nrt": Decimal("1.3077"),
    "gru": Decimal("1.6154"),
}
"""Each region and the factor on machines."""

_TRAFFIC_NEAR, _TRAFFIC_FAR, _TRAFFIC_DEAR = Decimal("0.02"), Decimal("0.04"), Decimal("0.12")
TRAFFIC_GB = dict.fromkeys(REGIONS, _TRAFFIC_NEAR) | {
    "sin": _TRAFFIC_FAR,
    "syd": _TRAFFIC_FAR,
    "nrt": _TRAFFIC_FAR,
    "gru": _TRAFFIC_FAR,
    "jnb": _TRAFFIC_DEAR,
    "bom": _TRAFFIC_DEAR,
}
"""A GB sent to the internet; what is received is free."""

VENUES = {"polymarket": ("arn",), "binance": ("nrt",), "kalshi": ("iad", "ord")}
"""Regions near a venue from which it can be expected to serve; the venue's own word decides."""


class Size(NamedTuple):
    """A machine: `kind` is shared or performance."""

    kind: str
    vcpus: int
    memory_mb: int

    def price(self, region: str) -> Decimal:
        """For 30 days, to the cent."""
        vcpu = SHARED_VCPU if self.kind == "shared" else PERFORMANCE_VCPU
        bare = vcpu * self.vcpus + MEMORY_GB * self.memory_mb / 1024
        return (bare * REGIONS[region]).quantize(Decimal("0.01"), rounding="ROUND_HALF_UP")
