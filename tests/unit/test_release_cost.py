"""The bill: fly's published prices to the cent, and what a setup costs."""

import math
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.release import cost, prices
from betatrader.release.prices import Size
from betatrader.release.pricing import priced, warning

FLY = Path(__file__).resolve().parents[2] / "fly"


@pytest.mark.parametrize(
    ("size", "region", "usd"),
    [
        (Size("shared", 1, 256), "ams", "2.02"),
        (Size("shared", 1, 512), "ams", "3.32"),
        (Size("shared", 1, 1024), "arn", "5.91"),
        (Size("performance", 1, 2048), "arn", "32.19"),
        (Size("shared", 1, 256), "sjc", "2.32"),
        (Size("shared", 1, 1024), "sjc", "6.79"),
        (Size("shared", 1, 512), "iad", "3.19"),
        (Size("shared", 4, 1024), "nrt", "10.17"),
    ],
)
def test_a_machine_costs_what_fly_publishes_to_a_cent(size: Size, region: str, usd: str) -> None:
    assert abs(size.price(region) - Decimal(usd)) <= Decimal("0.01")


def test_the_smallest_whole_setup_is_within_its_budget_with_traffic() -> None:
    bill = cost.bill(cost.MINIMAL, cost.cheapest_region("polymarket"))
    assert {line.name for line in bill.lines} == {
        *("trading", "intel", "jobs", "redis", "volume", "traffic")
    }
    assert bill.usd <= Decimal("11.10")
    assert bill.months_of(Decimal(100)) == Decimal("9.0")


def test_the_files_of_this_tree_are_within_it_too() -> None:
    plan, region = cost.plan_of({p.stem: p.read_text() for p in FLY.glob("*.toml")})
    assert set(plan.machines) == {"trading", "intel", "jobs", "redis"}
    assert plan.volume_gb == 1
    usd = cost.bill(plan, region).usd
    assert usd <= Decimal("11.10")
    jobs = tomllib.loads((FLY / "jobs.toml").read_text())
    assert jobs["env"]["BETATRADER_JOBS__COST_USD_PER_MONTH"] == str(usd)


@pytest.mark.parametrize(
    ("size", "gb"),
    [('"3gb"', 3), ('"3"', 3), ("3", 3), ('"1024mb"', 1), ('"1500MB"', 2), ('"10 GB"', 10)],
)
def test_a_volume_is_priced_by_the_unit_that_its_size_names(size: str, gb: int) -> None:
    mounts = f'[mounts]\nsource = "redis_data"\ndestination = "/data"\ninitial_size = {size}\n'
    plan, _ = cost.plan_of({"redis": f'primary_region = "arn"\n{mounts}'})
    assert plan.volume_gb == gb


@pytest.mark.parametrize(
    ("machine", "size"),
    [
        ('[[vm]]\nsize = "shared-cpu-1x"\nmemory_mb = 1024\n', Size("shared", 1, 1024)),
        ('[[vm]]\nmemory = "256mb"\nmemory_mb = 512\n', Size("shared", 1, 512)),
        ('[[vm]]\ncpus = 4\nmemory = "1gb"\n', Size("shared", 4, 1024)),
        (
            '[[vm]]\ncpu_kind = "performance"\ncpus = 2\nmemory = "4gb"\n',
            Size("performance", 2, 4096),
        ),
        ('[vm]\nsize = "shared-cpu-1x"\nmemory = "512mb"\n', Size("shared", 1, 512)),
        ('[[vm]]\nsize = "shared-cpu-2x"\n', Size("shared", 2, 512)),
        ("", Size("shared", 1, 256)),
    ],
)
def test_a_machine_is_priced_as_fly_reads_its_block(machine: str, size: Size) -> None:
    plan, _ = cost.plan_of({"jobs": f'primary_region = "arn"\n{machine}'})
    assert plan.machines == {"jobs": size}


def test_several_machines_of_intel_are_each_paid_for() -> None:
    one, three = (
        cost.bill(cost.MINIMAL._replace(intel_machines=number), "arn") for number in (1, 3)
    )
    assert three.usd - one.usd == 2 * cost.MINIMAL.machines["intel"].price("arn")
    assert any(line.what.startswith("3 x shared-cpu-1x") for line in three.lines)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('BETATRADER_JOBS__COST_USD_PER_MONTH = "10.99"', ""),
        (
            'BETATRADER_JOBS__COST_USD_PER_MONTH = "9"',
            "9, the bill of these files 10.99: profit",
        ),
        ("", "is 0, the bill of these files 10.99: profit is told too high"),
        ('BETATRADER_JOBS__COST_USD_PER_MONTH = "30"', "30, the bill of these files 10.99: right"),
        ('BETATRADER_JOBS__COST_USD_PER_MONTH = "much"', ""),
        ('BETATRADER_JOBS__COST_USD_PER_MONTH = "nan"', ""),
        ('BETATRADER_JOBS__COST_USD_PER_MONTH = "sNaN"', ""),
    ],
)
def test_a_cost_in_jobs_file_that_is_not_the_files_bill_is_warned_of(line: str, why: str) -> None:
    files = {p.stem: p.read_text() for p in FLY.glob("*.toml")}
    files["jobs"] = re.sub(r"^BETATRADER_JOBS__COST.*$", line, files["jobs"], flags=re.M)
    told = warning(files)
    assert bool(told) == bool(why)
    assert why in told


def files_in(**regions: str) -> dict[str, str]:
    """Our fly files, each in a region of its own."""
    return {
        app: (FLY / f"{app}.toml").read_text().replace('"arn"', f'"{region}"')
        for app, region in regions.items()
    }


def test_each_app_is_priced_in_the_region_of_its_own_file() -> None:
    plan, region = cost.plan_of(files_in(trading="nrt", redis="nrt", jobs="arn", intel="iad"))
    bill = cost.bill(plan, region)
    assert (region, bill.region) == ("nrt", "nrt")
    usd = {line.name: (line.what.rpartition(" in ")[2], line.usd) for line in bill.lines}
    assert usd["trading"] == ("nrt", Size("shared", 1, 512).price("nrt"))
    assert usd["redis"] == ("nrt", Size("shared", 1, 256).price("nrt"))
    assert usd["jobs"] == ("arn", Size("shared", 1, 256).price("arn"))
    assert usd["intel"] == ("iad", Size("shared", 1, 512).price("iad"))
    assert usd["traffic"][1] == Decimal("0.32"), "the trader sends it, from nrt"
    with pytest.raises(UsageError, match="no region is named 'mars'"):
        cost.bill(plan._replace(regions={"jobs": "mars"}), "arn")


def test_a_region_that_is_asked_for_prices_all_of_the_files_there(tmp_path: Path) -> None:
    (tmp_path / "fly").mkdir()
    for app, text in files_in(trading="nrt", redis="nrt", jobs="arn", intel="arn").items():
        (tmp_path / "fly" / f"{app}.toml").write_text(text)
    usual: dict[str, Any] = {"venue": "binance", "traffic_gb": None}
    usual |= {"intel_usd": "0", "budget": "9"}
    own, there = (priced(tmp_path, region=at, **usual)["plans"][0] for at in (None, "arn"))
    assert (own["region"], there["region"]) == ("nrt", "arn")
    assert {line["what"][-3:] for line in own["lines"][:4]} == {"nrt", "arn"}
    assert there["usd"] == "10.99"


def test_a_static_address_is_on_the_bill_of_ones_own_files_where_it_is_asked_for() -> None:
    usual: dict[str, Any] = {"region": None, "venue": "polymarket", "traffic_gb": None}
    usual |= {"intel_usd": "0", "budget": "9"}
    without, with_it = (priced(FLY.parent, egress=e, **usual)["plans"] for e in (False, True))
    more = [Decimal(b["usd"]) - Decimal(a["usd"]) for a, b in zip(without, with_it, strict=True)]
    assert [one["name"] for one in without] == ["these files", "minimal", "standard", "comfortable"]
    assert more == [prices.EGRESS_ADDRESS, prices.EGRESS_ADDRESS, 0, 0]


def test_three_sizes_grow_and_hold_what_they_say() -> None:
    bills = [cost.bill(plan, "arn") for plan in cost.SIZES]
    assert [bill.usd for bill in bills] == sorted(bill.usd for bill in bills)
    assert [bill.name for bill in bills] == ["minimal", "standard", "comfortable"]
    assert bills[2].usd == Decimal("32.19") + Decimal("6.64") + Decimal("3.32") + 10 + Decimal(
        "3.60"
    ) + Decimal("0.16")


def test_intel_has_its_budget_on_the_bill() -> None:
    without, with_it = (
        cost.bill(cost.MINIMAL, "arn", intel_usd=Decimal(usd)).usd for usd in (0, 25)
    )
    assert with_it - without == 25


def test_a_day_is_rounded_up() -> None:
    assert cost.daily_usd(Decimal("11.03")) == Decimal("0.37")


def test_every_region_near_a_venue_has_a_price() -> None:
    for regions in prices.VENUES.values():
        assert set(regions) <= set(prices.REGIONS)
    assert set(prices.TRAFFIC_GB) == set(prices.REGIONS)


@pytest.mark.parametrize(
    "given",
    [
        *({"budget": text} for text in ("1e99999", "nan", "inf", "-1", "x", "1.005", "1e-99999")),
        *({"intel_usd": text} for text in ("1e50", "sNaN", "-inf", "")),
        *({"traffic_gb": gb} for gb in (math.nan, math.inf, 1e300, -1.0)),
    ],
)
def test_an_amount_that_is_none_or_a_slip_is_refused_in_a_line(given: dict[str, Any]) -> None:
    usual = {
        "region": None,
        "venue": "binance",
        "traffic_gb": None,
        "intel_usd": "0",
        "budget": "9",
    }
    priced(FLY.parent, **usual)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is no amount of"):
        priced(FLY.parent, **(usual | given))


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="no region is named 'mars'"):
        cost.bill(cost.MINIMAL, "mars")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[vm]]\nmemory = "much"\n', "vm.memory: expected memory"),
        ('[[vm]]\nsize = "huge"\n', "vm.size: expected one of "),
        ('[[vm]]\ncpu_kind = "huge"\n', "vm.cpu_kind: expected one of "),
        ('[[vm]]\ncpus = "two"\n', "vm.cpus: expected a whole number from 1 to 16, found 'two'"),
        ("[[vm]]\ncpus = 0\n", "vm.cpus: expected a whole number from 1 to 16, found 0"),
        ("[[vm]]\ncpus = -4\n", "vm.cpus: expected a whole number from 1 to 16, found -4"),
        ("vm = 5\n", "vm: expected an array of tables"),
        ("mounts = 5\n", "mounts: expected an array of tables"),
        ('mounts = ["x"]\n', "mounts: expected a table, found 'x'"),
        ("not toml [", "no valid TOML: "),
        ("# f\udcfcr", "it is no UTF-8"),
    ],
)
def test_what_fly_would_not_read_has_no_price(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        cost.plan_of({"jobs": text})
    (line,) = refused.value.problems
    assert line.startswith(f"fly/jobs.toml: {why}")
    assert warning({"jobs": text}) == ""
