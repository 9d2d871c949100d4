"""The fly configurations: ours pass, and each thing that could go wrong with one is refused."""

import importlib.util
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from betatrader import config as configurations
from betatrader.cli.main import COMMANDS
from betatrader.release import fly_files_rules
from betatrader.release.fly_files import check_files
from betatrader.release.fly_files_keys import megabytes, seconds
from betatrader.release.fly_files_rules import RULES, app_of
from betatrader.roles import ROLES
from betatrader.roles.service import PORTS
from betatrader.strategies.market_maker import MarketMaker

PROJECT = Path(__file__).resolve().parents[2]
FLY = PROJECT / "fly"
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A copy of our files, in which one file has a text replaced or lines added."""

    def made(name: str = "trading", old: str = "", new: str = "", *, more: str = "") -> Path:
        for path in FLY.glob("*.toml"):
            (tmp_path / path.name).write_text(path.read_text())
        changed = tmp_path / f"{name}.toml"
        text = changed.read_text()
        assert old in text, "the change changes nothing"
        changed.write_text(text.replace(old, new, 1) + more)
        return tmp_path

    return made


def told(folder: Path) -> list[str]:
    return [str(problem).removeprefix(f"{folder}/") for problem in check_files(folder)]


def test_ours_are_right() -> None:
    assert told(FLY) == []


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_its_own_app_checked_on_its_real_endpoint(role: str) -> None:
    found = tomllib.loads((FLY / f"{role}.toml").read_text())
    assert found["app"] == f"betatrader-{role}"
    assert app_of(found) == role
    assert found["checks"]["ready"]["port"] == found["metrics"][0]["port"] == PORTS[role]


WRONG = {
    # what fly would ignore or read otherwise
    "a key that fly does not know": (
        ("trading", "kill_timeout", "kil_timeout"),
        "trading.toml line 6: kil_timeout: fly knows no such key; did you mean `kill_timeout`?",
    ),
    "a key in a table": (
        ("jobs", "grace_period", "grace"),
        "jobs.toml line 32: checks.ready.grace: fly knows no such key; known: interval",
    ),
    "a table": (
        ("intel", "[checks.ready]", "[check.ready]"),
        "intel.toml line 24: check: fly knows no such key; did you mean `checks`?",
    ),
    "a key in an array of tables": (
        ("trading", 'memory = "512mb"', 'memmory = "512mb"'),
        "vm.memmory: fly knows no such key; did you mean `memory`?",
    ),
    "a time without a unit": (
        ("trading", 'interval = "5s"', "interval = 5"),
        'checks.ready.interval: expected a duration with its unit, such as "10s"',
    ),
    "a probe that fly refuses": (
        ("trading", 'interval = "5s"', 'interval = "1s"'),
        "checks.ready.interval: expected a duration with its unit",
    ),
    "a number in the environment": (
        ("trading", 'BETATRADER_LOG_LEVEL = "info"', "BETATRADER_LEVEL = 1"),
        "env.BETATRADER_LEVEL: expected a text",
    ),
    "a region that is none": (
        ("jobs", 'primary_region = "arn"', 'primary_region = "arm"'),
        "jobs.toml line 4: primary_region: expected one of ams, arn,",
    ),
    "a strategy that is none": (
        ("trading", '"bluegreen"', '"bluegren"'),
        "deploy.strategy: expected one of bluegreen, canary, immediate, rolling",
    ),
    "a missing key": (
        ("intel", 'type = "http"\n', ""),
        "checks.ready: the key `type` is missing",
    ),
    "one table where fly wants several": (
        ("trading", "[[vm]]", "[[services]]\n[[vm]]"),
        "services: opens a public port",
    ),
    "no TOML": (("trading", "[deploy]", "[deploy"), "trading.toml: no TOML:"),
    # what we ask besides
    "no process group": (
        ("trading", '[processes]\napp = "--role trading"\n', ""),
        "processes: expected exactly one process group, `app`, found none",
    ),
    "two process groups": (
        ("trading", "[processes]\n", '[processes]\nother = "--role intel"\n'),
        "processes: expected exactly one process group, `app`, found other, app",
    ),
    "a role that is none": (
        ("trading", '"--role trading"', '"--role trader"'),
        'processes.app: expected "--role trading|intel|jobs"',
    ),
    "a section for a group that is not there": (
        ("trading", 'processes = ["app"]', 'processes = ["web"]'),
        "there is no process group `web`",
    ),
    "no region": (("redis", 'primary_region = "arn"\n', ""), "primary_region: the key is missing"),
    "no strategy": (
        ("jobs", 'strategy = "rolling"', ""),
        "deploy: the key `strategy` is missing",
    ),
    "bluegreen without a check": (
        ("intel", "[checks.ready]", "[http_service.x]"),
        "http_service: ",
    ),
    "bluegreen with a volume": (
        ("trading", "[deploy]", '[mounts]\nsource = "d"\ndestination = "/d"\n[deploy]'),
        "deploy.strategy: bluegreen cannot share a volume",
    ),
    "a trader that is away while it is replaced": (
        ("trading", '"bluegreen"', '"rolling"'),
        "deploy.strategy: rolling leaves the trader away",
    ),
    "a third trader for a minute": (
        ("trading", '"bluegreen"', '"canary"'),
        "deploy.strategy: canary starts a third machine",
    ),
    "machine checks that would not run": (
        ("trading", "[deploy]", '[[machine_checks]]\ncommand = ["x"]\n[deploy]'),
        "machine_checks: fly runs no machine checks in a bluegreen deploy",
    ),
    "another signal": (
        ("trading", '"SIGTERM"', '"SIGINT"'),
        'kill_signal: expected "SIGTERM", the signal that drains',
    ),
    "no time to drain": (
        ("trading", '"30s"', '"9s"'),
        "trading.toml line 6: kill_timeout: 9 s do not cover the drain of 10 s: give 15s or more",
    ),
    "fly's own time to drain": (
        ("jobs", 'kill_timeout = "30s"', ""),
        "kill_timeout: 5 s do not cover the drain",
    ),
    "a server killed before it has saved": (
        ("redis", '"30s"', '"10s"'),
        "kill_timeout: 10 s do not cover the drain of 10 s",
    ),
    "a machine that stays down": (
        ("trading", 'policy = "always"', 'policy = "on-failure"'),
        'restart: expected one [[restart]] with policy = "always"',
    ),
    "a check on another port": (
        ("intel", "port = 8702", "port = 8701"),
        "checks.ready: expected type http, port 8702, path /readyz",
    ),
    "a check that says less": (
        ("intel", '"/readyz"', '"/livez"'),
        "checks.ready: expected type http, port 8702, path /readyz",
    ),
    "metrics from another port": (
        ("intel", "[[metrics]]\nport = 8702", "[[metrics]]\nport = 8703"),
        "metrics: expected one [[metrics]] with port 8702",
    ),
    "Redis unwatched": (
        ("redis", "port = 6379", "port = 6380"),
        "checks: expected one check, type tcp, port 6379",
    ),
    "a check with fly's own patience": (
        ("jobs", 'timeout = "2s"\n', ""),
        "checks.ready: the key `timeout` is missing",
    ),
    "a public port": (
        ("trading", "[deploy]", "[http_service]\ninternal_port = 8701\n[deploy]"),
        "http_service: opens a public port; only the dashboard's app may have",
    ),
    "a password": (
        ("redis", "[processes]", '[env]\nREDIS_PASSWORD = "x"\n[processes]'),
        "redis.toml line 10: env.REDIS_PASSWORD: is a secret: take it out",
    ),
    "a password in an address": (
        ("jobs", 'BETATRADER_LOG_LEVEL = "info"', 'CACHE = "redis://me:word@h:1"'),
        "env.CACHE: is a secret",
    ),
    "a private key": (
        ("jobs", 'BETATRADER_LOG_LEVEL = "info"', f'WALLET = "0x{"ab" * 32}"'),
        "env.WALLET: is a secret",
    ),
    "an address that is a secret by the configuration": (
        ("jobs", "BETATRADER_LOG_LEVEL", "BETATRADER_ALERTS__DEADMAN"),
        "env.BETATRADER_ALERTS__DEADMAN: is a secret",
    ),
    "a key under its own name": (
        ("trading", "BETATRADER_LOG_LEVEL", "BETATRADER_BINANCE__key"),
        "env.BETATRADER_BINANCE__key: is a secret",
    ),
    "a whole table that holds secrets": (
        ("trading", "BETATRADER_LOG_LEVEL", "BETATRADER_ALERTS"),
        "env.BETATRADER_ALERTS: is a secret",
    ),
    "a password in a setting's address": (
        (
            "trading",
            'BETATRADER_LOG_LEVEL = "info"',
            'BETATRADER_POLYMARKET__CLOB = "https://me:word@h"',
        ),
        "env.BETATRADER_POLYMARKET__CLOB: is a secret",
    ),
    "a token in a check": (
        ("jobs", 'path = "/readyz"', 'path = "/readyz"\nheaders = { Authorization = "x" }'),
        "the header Authorization is a secret",
    ),
    "a name of fly's": (
        ("jobs", "BETATRADER_LOG_LEVEL", "FLY_REGION"),
        "env.FLY_REGION: names that begin with FLY_ are fly's own",
    ),
    "no size": (("jobs", "[[vm]]", "[[files]]\n[[vm]]"), "files"),
    "memory that fly does not sell": (
        ("jobs", '"256mb"', '"384mb"'),
        "vm.memory: shared with 1 CPU takes 256 to 2048 MB in steps of 256, found 384",
    ),
    "too little for so many processors": (
        ("trading", '"shared-cpu-1x"', '"shared-cpu-4x"'),
        "vm.memory: shared with 4 CPU takes 1024 to 8192 MB",
    ),
    "too little for what runs there": (
        ("intel", '"512mb"', '"256mb"'),
        "vm.memory: this app needs 512 MB, found 256",
    ),
    "a small machine without swap": (
        ("jobs", "swap_size_mb = 256\n", ""),
        "swap_size_mb: 256 MB of memory go with 256 MB of swap or more",
    ),
    "an image of its own": (
        ("intel", "[deploy]", '[build]\nimage = "x"\n[deploy]'),
        "build: the image is named by the release, never here",
    ),
    "a trader before the release": (
        ("trading", "[deploy]\n", '[deploy]\nrelease_command = "--role trading"\n'),
        "deploy.release_command: would start a role in a machine of its own",
    ),
    "another program": (
        ("jobs", "[deploy]", '[experimental]\nexec = ["sh"]\n[deploy]'),
        "experimental: the image's own entrypoint runs the roles",
    ),
    "a role tied to a disk": (
        ("jobs", "[deploy]", '[mounts]\nsource = "d"\ndestination = "/d"\n[deploy]'),
        "mounts: ties the app to one host",
    ),
    "a volume that the server does not write to": (
        ("redis", 'destination = "/data"', 'destination = "/store"'),
        "mounts: expected one volume at /data, where the server writes",
    ),
    "a volume without a size": (
        ("redis", 'initial_size = "1gb"\n', ""),
        "mounts: the key `initial_size` is missing",
    ),
    "a trader that trades without its lease": (
        ("trading", '"strict"', '"solo"'),
        'env: expected BETATRADER_LEASE__MODE = "strict"',
    ),
    "a trader whose journal goes with its machine": (
        ("trading", '"shipped"', '"local"'),
        'env: expected BETATRADER_JOURNAL__DURABILITY = "shipped"',
    ),
    # between the files
    "one name twice": (
        ("jobs", '"betatrader-jobs"', '"betatrader-intel"'),
        "jobs.toml: app 'betatrader-intel' is also that of intel.toml",
    ),
    "Redis far from the trader": (
        ("redis", '"arn"', '"nrt"'),
        "redis.toml: Redis stands in nrt, no trader does",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(folder: Folder, case: str) -> None:
    (name, old, new), expected = WRONG[case]
    problems = told(folder(name, old, new))
    assert any(expected in problem for problem in problems), problems


def test_what_to_trade_may_stand_in_a_fly_file(folder: Folder) -> None:
    line = 'BETATRADER_LOG_LEVEL = "info"'
    market = f"BETATRADER_POLYMARKET__MARKETS = '[\"0x{'ab' * 32}\"]'"
    assert told(folder("trading", line, f"{line}\n{market}")) == []


def test_what_the_deploy_page_shows_to_trade_is_a_configuration(folder: Folder) -> None:
    page = (PROJECT / "docs/deploy.md").read_text()
    block = page.partition("```toml\n")[2].partition("```")[0]
    config = configurations.loads("", "docs", tomllib.loads(block)["env"]).config
    assert config.binance.symbols == ("BTCUSDT", "ETHUSDT")
    assert len(config.polymarket.markets[0]) == 66
    assert (config.live.stage, str(config.risk.daily_loss_usd)) == ("micro", "15")
    assert config.strategies[0].name == MarketMaker.name
    assert told(folder("trading", "[env]\n", block)) == []


def test_bluegreen_without_a_check_takes_over_without_a_look(folder: Folder) -> None:
    text = (FLY / "intel.toml").read_text()
    start, end = text.index("[checks.ready]"), text.index("[[metrics]]")
    problems = told(folder("intel", text[start:end], ""))
    assert any("bluegreen takes over without a look" in problem for problem in problems)
    assert any("the app has no health check" in problem for problem in problems)


def test_a_machine_without_a_size_is_refused(folder: Folder) -> None:
    text = (FLY / "jobs.toml").read_text()
    block = text[text.index("[[vm]]") : text.index("[checks.ready]")]
    assert any("vm: expected one [[vm]], found 0" in it for it in told(folder("jobs", block, "")))


def test_a_region_has_one_trader(folder: Folder) -> None:
    made = folder()
    second = (made / "trading.toml").read_text().replace("betatrader-trading", "betatrader-other")
    (made / "trading-2.toml").write_text(second)
    assert told(made) == ["trading.toml: region 'arn' has a trader already: one trader a region"]
    (made / "trading-2.toml").write_text(second.replace('"arn"', '"ord"'))
    assert told(made) == []


def test_each_app_has_its_file(folder: Folder) -> None:
    made = folder()
    (made / "jobs.toml").unlink()
    assert [str(problem) for problem in check_files(made)] == [f"{made}: no file runs jobs"]


def dashboard(folder: Path) -> str:
    """The fly file of an app that runs the dashboard."""
    text = (folder / "jobs.toml").read_text()
    return text.replace("betatrader-jobs", "betatrader-dashboard").replace(
        "--role jobs", "dashboard"
    )


def test_a_dashboard_is_refused_where_this_version_has_none(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = folder()
    (made / "dashboard.toml").write_text(dashboard(made))
    monkeypatch.setattr(fly_files_rules, "DASHBOARD", "betatrader.nowhere")
    (problem,) = told(made)
    assert problem.endswith(
        "processes.app: `betatrader dashboard` is not in this version: no app runs it"
    )
    monkeypatch.setattr(fly_files_rules, "DASHBOARD", "betatrader.release")
    assert told(made) == []
    has = importlib.util.find_spec("betatrader.dashboard") is not None
    assert ("dashboard" in COMMANDS) is has


def test_the_dashboard_alone_may_be_public_and_only_through_tls(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = folder()
    monkeypatch.setattr(fly_files_rules, "DASHBOARD", "betatrader.release")
    text = dashboard(made)
    service = "[http_service]\ninternal_port = 8710\n"
    (made / "dashboard.toml").write_text(text + service)
    assert [problem.partition("http_service: ")[2] for problem in told(made)] == [
        "the dashboard is reached through TLS alone: set force_https = true",
        'the proxy may stop the machine: set auto_stop_machines = "off"',
    ]
    service += 'force_https = true\nauto_stop_machines = "off"\n'
    (made / "dashboard.toml").write_text(text + service)
    assert told(made) == []


def test_a_second_redis_may_evict_and_then_keeps_nothing(folder: Folder) -> None:
    made = folder()
    durable = (made / "redis.toml").read_text()
    text = durable.replace("betatrader-redis", "betatrader-cache").replace('"/data"', '"/tmp"', 1)
    text = text.replace("[deploy]", '[env]\nREDIS_EVICTS = "yes"\n[deploy]')
    start, end = text.index("[mounts]"), text.index("[checks.port]")
    (made / "cache.toml").write_text(text)
    assert any("a cache that evicts keeps nothing" in problem for problem in told(made))
    (made / "cache.toml").write_text(text[:start] + text[end:])
    assert told(made) == []
    (made / "redis.toml").unlink()
    assert [str(problem) for problem in check_files(made)] == [f"{made}: no file runs redis"]


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    assert told(tmp_path) == [f"{tmp_path}: no fly configuration is here (*.toml)"]
    (tmp_path / "x.toml").mkdir()
    assert "cannot be read" in told(tmp_path)[0]


def test_every_rule_has_been_broken_above(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a rule, some case of WRONG would pass: no rule is there for show."""
    idle = []
    for rule in RULES:
        rest = tuple(other for other in RULES if other is not rule)
        caught = 0
        for (name, old, new), _ in WRONG.values():
            made = folder(name, old, new)
            before = told(made)
            monkeypatch.setattr(fly_files_rules, "RULES", rest)
            caught += told(made) != before
            monkeypatch.setattr(fly_files_rules, "RULES", RULES)
        if not caught:
            idle.append(rule.__name__)
    assert idle == []


def test_durations_and_memory_are_read_as_fly_writes_them() -> None:
    assert [seconds(text) for text in ("10s", "1m30s", "500ms", "2h")] == [10, 90, 0.5, 7200]
    assert [seconds(text) for text in (10, "10", "", "s", "1 s", None)] == [None] * 6
    assert [megabytes(text) for text in ("512mb", "1gb", "2GB", 256, "1g")] == [
        512,
        1024,
        2048,
        256,
        1024,
    ]
    assert [megabytes(text) for text in ("", "x", True, None, "1.5gb")] == [None] * 5


def test_the_image_is_one_for_all_and_runs_without_root() -> None:
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["betatrader"]' in lines
    assert "USER 10001:10001" in lines
    assert "STOPSIGNAL SIGTERM" in lines
    assert any("UV_COMPILE_BYTECODE=1" in line for line in lines)
    assert any("uv sync --locked --no-dev --no-editable" in line for line in lines)
