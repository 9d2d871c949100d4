"""Recorded times become present times, sources merge, and loops follow each other."""

from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path

import msgspec
import pytest
from scenes import YES

from betatrader.config import Feed, StrategyEntry
from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import BookSnapshot, InstrumentListed, Resolution
from betatrader.roles import feeds, strategies
from betatrader.roles.feeds import Pace, excerpt, open_feed
from betatrader.store import segment

START = 1_800_000_000_000_000_000
SECOND = 1_000_000_000
WORLD = f"{START // SECOND:x}-"
"""Tells contracts of one start from those of another."""


def test_the_packaged_excerpt_is_two_minutes_of_real_data_within_its_size() -> None:
    header = segment.read_header(excerpt())
    assert header.instruments == ("BTCUSDT.BINANCE",)
    assert 119 * SECOND < header.last_ns - header.first_ns <= 120 * SECOND
    assert excerpt().stat().st_size <= 600_000
    assert "MIT" in header.note
    assert isinstance(next(islice(segment.read(excerpt()), 1, 2)), BookSnapshot)


def test_without_data_the_excerpt_and_a_contract_come_merged_by_time() -> None:
    found = list(islice(open_feed(Feed(), START), 5_000))
    assert all(one.time_ns <= two.time_ns for one, two in pairwise(found))
    listed = [e.definition.id for e in found if isinstance(e, InstrumentListed)]
    assert listed == ["BTCUSDT.BINANCE", f"UP1-{WORLD}0-YES.SIM", f"UP1-{WORLD}0-NO.SIM"]


def test_each_loop_of_the_contract_is_a_new_instrument_that_expires_in_present_time() -> None:
    contracts = Pace(Decimal(1)).forever(lambda loop: feeds._contract(Feed(), loop, ""), START)
    listed, resolved = [], 0
    for event in contracts:
        if isinstance(event, InstrumentListed):
            assert isinstance(event.definition, BinaryContract)
            listed.append(event.definition)
            assert event.definition.expires_ns == event.time_ns + 30 * SECOND
        resolved += isinstance(event, Resolution)
        if len(listed) == 4:
            break
    assert [definition.id for definition in listed[::2]] == ["UP1-0-YES.SIM", "UP1-1-YES.SIM"]
    assert resolved == 2


def test_speed_divides_recorded_time() -> None:
    slow = list(Pace(Decimal(1)).once(segment.read(excerpt()), START))
    fast = list(Pace(Decimal("2.5")).once(segment.read(excerpt()), START))
    assert slow[0].time_ns == fast[0].time_ns == START
    assert (slow[-1].time_ns - START) * 2 // 5 == fast[-1].time_ns - START


def test_a_file_is_played_once(tmp_path: Path) -> None:
    path = tmp_path / "a.btseg"
    segment.write(path, segment.Header(source="t"), islice(segment.read(excerpt()), 100))
    assert len(list(open_feed(Feed(data=(str(path),)), START))) == 100


GOOD = """
from betatrader.engine.strategy import Strategy

class Mine(Strategy):
    name = "mine"

    def on_quote(self, view, market):
        return None
"""


def test_a_users_strategy_loads_by_path_and_class(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD + "\nclass Other(Mine):\n    name = 'other'\n")
    assert strategies.load(f"{path}:Other", {}).name == "other"
    with pytest.raises(UsageError, match="exactly one subclass"):
        strategies.load(str(path), {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", r"bad\.py line 1"),
        ("\nimport nothing_of_that_name\n", r"bad\.py line 2: ModuleNotFoundError"),
        ("x = 1\n", "exactly one subclass of Strategy"),
        (GOOD + "\n    def __init__(self):\n        raise OSError('no')\n", r"Mine\(\) failed"),
    ],
)
def test_a_bad_strategy_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        strategies.load(str(path), {})


def test_the_readmes_example_is_a_strategy_that_buys(tmp_path: Path) -> None:
    from scenes import SECOND, Scene, quote

    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    path = tmp_path / "my.py"
    path.write_text(readme.split("```python\n")[1].split("```")[0])
    assert len(path.read_text().splitlines()) <= 20
    scene = Scene()
    scene.engine.strategies.append(strategies.load(str(path), {}))
    scene.engine._connect()
    thin = quote("0.40", "0.42", 1.1, YES)
    assert scene.take(thin) is None
    step = scene.take(msgspec.structs.replace(thin, ask_size=thin.ask_size // 4))
    assert step is not None
    assert (step.changes[0].strategy, step.time_ns) == ("thick_bid", 11 * SECOND // 10)  # type: ignore[union-attr]


def test_unknown_names_and_wrong_parameters() -> None:
    with pytest.raises(UsageError, match="Shipped: forecast_edge, market_maker"):
        strategies.load("magic", {})
    with pytest.raises(UsageError, match="does not exist"):
        strategies.load("none.py", {})
    with pytest.raises(ConfigurationError, match="min_egde"):
        strategies.load("forecast_edge", {"min_egde": 1})
    with pytest.raises(UsageError, match="two strategies are named"):
        strategies.load_all((StrategyEntry(name="market_maker"),) * 2)


def test_a_strategy_may_not_take_the_engines_own_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD.replace('"mine"', '"operator"'))
    with pytest.raises(UsageError, match="engine's own"):
        strategies.load_all((StrategyEntry(name=str(path)),))


def test_parameters_of_the_configuration_reach_the_strategy() -> None:
    made = strategies.load("market_maker", {"quote_usd": Decimal("2.5")})
    assert made.parameters.quote_usd == 2.5  # type: ignore[attr-defined]
