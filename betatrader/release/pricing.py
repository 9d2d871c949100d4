"""Bills as `release cost` shows them."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.release import configuration, cost, prices
from betatrader.release.cost import Bill

VARIABLE = "BETATRADER_JOBS__COST_USD_PER_MONTH"
MOST = 1_000_000_000
"""USD, or GB: what is more is a slip."""


def priced(
    project: Path,
    *,
    region: str | None,
    venue: str,
    traffic_gb: float | None,
    intel_usd: str,
    budget: str,
    intel_machines: int = 1,
    egress: bool = False,
) -> dict[str, Any]:
    """The bill of the fly files there, if there are any, and of the three sizes; with `egress` each
    has a static address. `region` prices all of it there, wherever the files say."""
    place = region or cost.cheapest_region(venue)
    traffic = cost.TRAFFIC_GB if traffic_gb is None else Decimal(str(traffic_gb))
    if not (traffic.is_finite() and 0 <= traffic <= MOST):
        raise UsageError(
            f"--traffic-gb {traffic_gb} is no amount of GB\nWrite a number up to {MOST}, as 8."
        )
    intel, sum_usd = _amount("--intel-usd", intel_usd), _amount("--budget", budget)
    files = configuration.in_folder(project / "fly")
    wanted: list[tuple[cost.Plan, str]] = []
    if files:
        plan, home = cost.plan_of(files)
        plan = plan._replace(regions={}) if region else plan
        wanted.append((plan, region or home or place))
    wanted += [(plan, place) for plan in cost.SIZES]
    bills = [
        cost.bill(
            plan._replace(
                intel_machines=intel_machines, egress_address=egress or plan.egress_address
            ),
            at,
            traffic_gb=traffic,
            intel_usd=intel,
        )
        for plan, at in wanted
    ]
    return {
        "prices_as_of": prices.AS_OF,
        "venue": venue,
        "region": place,
        "budget_usd": str(sum_usd),
        "plans": [_shown(bill, sum_usd) for bill in bills],
    }


def warning(files: Mapping[str, str]) -> str:
    """Where jobs tells profit net of another sum than the bill of these fly files; "" where not,
    and where the bill is not known. It is no mistake: what no file names may be in the sum."""
    try:
        plan, region = cost.plan_of(files)
        usd = cost.bill(plan, region).usd
        jobs = configuration.Files("", files, (0, 0))
        told = configuration.environment(jobs, "jobs").get(VARIABLE, "0")
        named = Decimal(told)
    except (ConfigurationError, UsageError, InvalidOperation):
        return ""  # each of them is told elsewhere
    if not named.is_finite() or named == usd:  # a signalling NaN lets nothing be compared with it
        return ""
    meaning = (
        "profit is told too high"
        if named < usd
        else "right where models, searches, a static address or more machines are in it"
    )
    return f"fly/jobs.toml: {VARIABLE} is {told}, the bill of these files {usd}: {meaning}"


def _shown(bill: Bill, budget_usd: Decimal) -> dict[str, Any]:
    return {
        "name": bill.name,
        "region": bill.region,
        "lines": [
            {"name": line.name, "what": line.what, "usd": str(line.usd)} for line in bill.lines
        ],
        "usd": str(bill.usd),
        "daily_usd": str(bill.daily_usd),
        "months": str(bill.months_of(budget_usd)),
    }


def _amount(name: str, text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not (amount.is_finite() and 0 <= amount <= MOST) or amount != amount.quantize(cost.CENT):
        raise UsageError(
            f"{name} {text} is no amount of USD\nWrite a number up to {MOST}, as 20 or 12.50."
        )
    return amount
