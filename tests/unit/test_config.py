"""A configuration is typed, complete in its errors, and says where each value came from."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from betatrader.cli.template import TEMPLATE
from betatrader.config import Config, load, loads
from betatrader.model.errors import ConfigurationError
from betatrader.model.limits import Limits
from betatrader.model.secret import Secret
from betatrader.roles import strategies

PROJECT = Path(__file__).resolve().parents[2]


def problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loads(text, "f.toml", environment)
    return caught.value.problems


def test_without_a_file_the_defaults_are_the_engines_own() -> None:
    loaded = load(None, {})
    assert loaded.config == Config()
    assert loaded.config.risk.limits() == Limits()
    assert loaded.sources == {}


def test_the_template_holds_exactly_the_defaults() -> None:
    assert loads(TEMPLATE, "t", {}).config == Config()


def test_every_error_is_told_at_once_with_line_field_and_suggestion() -> None:
    text = (
        'nope = 1\n[risk]\ndaily_los_usd = 5\nopen_orders = -5\ncollar = "x"\n[feed]\nspeed = 0\n'
    )
    assert problems(text) == [
        "f.toml line 1: nope: unknown field; known: mode, log_level, risk, paper, live, shard, "
        "binance, polymarket, feed, strategies, intel, jobs, journal, reconcile, lease, health, "
        "watchdog, alerts",
        "f.toml line 3: risk.daily_los_usd: unknown field; did you mean `daily_loss_usd`?",
        "f.toml line 4: risk.open_orders: expected `int` >= 1, found -5",
        "f.toml line 5: risk.collar: expected a number, found 'x'",
        "f.toml line 7: feed.speed: expected more than 0, found 0",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode = ", "no valid TOML"),
        ('mode = "fast"', "line 1: mode: expected one of paper, shadow, live, found 'fast'"),
        ('mode = "papr"', "did you mean `paper`?"),
        ("risk = 3", "risk: expected a table, found 3"),
        ("strategies = 3", "strategies: expected an array of tables"),
        ("[[strategies]]\nparameters = {}", "strategies.0: the field `name` is missing"),
        ("[risk]\ndaily_loss_usd = -5", "line 2: risk.daily_loss_usd: expected more than 0"),
        ("[watchdog]\nstall_seconds = -1", "expected at least 0"),
        ('[alerts]\nlevel = "loud"', "expected one of info, warning, error, critical"),
        ("[risk]\ndaily_loss_usd = nan", "expected a finite number"),
        ("[risk]\ndaily_loss_usd = 0.000000001", "at most eight decimals"),
        ("[risk]\ndrawdown = 1.5", "expected at most 1"),
        ('[paper]\nmarket = "live"', 'line 2: paper.market: "live" needs a venue'),
        (
            'mode = "shadow"\n[paper]\nlink = "h:1"\n[binance]\nsymbols = ["BTCUSDT"]',
            'line 1: mode: "shadow" and paper.link contradict each other',
        ),
        ('mode = "live"', 'mode: "live" needs a venue: set [binance] symbols'),
    ],
)
def test_one_error_each(text: str, said: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert said in found[0]


def test_a_variable_that_the_documents_have_one_export_is_no_unknown_field() -> None:
    """A shell that releases, or starts compose.yaml, gives all other commands too."""
    texts = [*PROJECT.glob("docs/*.md"), PROJECT / "README.md", PROJECT / "compose.yaml"]
    texts += [*PROJECT.glob("betatrader/cli/*.py"), *PROJECT.glob("betatrader/bench/*.py")]
    named = {
        name
        for path in texts
        for name in re.findall(r"BETATRADER_[A-Z_]*[A-Z](?![A-Z_<…])", path.read_text())
    }
    fields = {f"BETATRADER_{name.upper()}" for name in Config.__struct_fields__}
    others = {name for name in named - fields if "__" not in name} - {"BETATRADER_TABLE"}
    assert {"BETATRADER_HOME", "BETATRADER_RELEASE_PREFIX", "BETATRADER_IMAGE"} <= others
    loads("", "f.toml", dict.fromkeys(others, "x"))


def test_the_environment_overrides_the_file_and_is_named_as_source() -> None:
    loaded = loads(
        "[risk]\ndaily_loss_usd = 5.5\ncollar = 0.1",
        "f.toml",
        {"BETATRADER_RISK__DAILY_LOSS_USD": "7.25", "BETATRADER_HOME": "/x", "PATH": "/bin"},
    )
    assert loaded.config.risk.daily_loss_usd == Decimal("7.25")
    assert loaded.sources == {
        "risk.daily_loss_usd": "environment BETATRADER_RISK__DAILY_LOSS_USD",
        "risk.collar": "f.toml line 3",
    }


def test_an_unknown_variable_of_ours_is_an_error_too() -> None:
    assert "did you mean `risk`" in problems("", BETATRADER_RIKS__DRAWDOWN="0.1")[0]


@pytest.mark.parametrize("given", ['"hooks.example/T0KEN"', '"ftp://x/T0KEN"', "[7]", "0"])
def test_a_wrong_secret_is_refused_without_being_shown(given: str) -> None:
    [found] = problems(f"[alerts]\nwebhook = {given}")
    assert found == (
        "f.toml line 2: alerts.webhook: expected an address: https://HOST/PATH, found ***"
    )


def test_a_secret_prints_as_stars_wherever_it_turns_up() -> None:
    config = loads('[alerts]\nwebhook = "https://hooks.example/T0KEN"', "f", {}).config
    assert config.alerts.webhook.reveal() == "https://hooks.example/T0KEN"
    assert config.alerts.webhook == Secret("https://hooks.example/T0KEN") != Secret()
    assert len({config.alerts.webhook, Secret("https://hooks.example/T0KEN")}) == 1
    for shown in (f"{config}", f"{config!r}", f"{config.alerts.webhook}"):
        assert "***" in shown
        assert "T0KEN" not in shown
    assert (str(Secret()), bool(Secret())) == ("", False)


def test_amounts_are_exact() -> None:
    limits = loads("[risk]\ndaily_loss_usd = 0.1", "f", {}).config.risk.limits()
    assert limits.daily_loss == 10_000_000


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load(tmp_path / "none.toml", {})


def test_a_strategys_stop_becomes_a_limit_under_its_own_name() -> None:
    text = '[[strategies]]\nname = "market_maker"\nstop_within = 0.15\n[[strategies]]\n'
    config = loads(text + 'name = "forecast_edge"\n', "t", {}).config
    loaded = strategies.load_all(config.strategies)
    limits = strategies.limits_of(config.risk, config.strategies, loaded)
    assert limits == Limits(stops={"market_maker": 15_000_000})
    [problem] = problems(text.replace("0.15", "1.5") + 'name = "forecast_edge"\n')
    assert "stop_within" in problem


def test_a_strategys_venues_become_limits_under_its_own_name() -> None:
    text = '[[strategies]]\nname = "market_maker"\nvenues = ["SIM"]\n[[strategies]]\n'
    config = loads(text + 'name = "forecast_edge"\n', "t", {}).config
    made = strategies.load_all(config.strategies)
    limits = strategies.limits_of(config.risk, config.strategies, made)
    assert limits == Limits(venues={"market_maker": ("SIM",)})
    assert strategies.limits_of(config.risk, (), strategies.load_all(())) == Limits()
