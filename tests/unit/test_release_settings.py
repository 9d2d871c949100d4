"""What the roles read at their start: the settings in [env] of the fly files."""

from pathlib import Path

import pytest

from betatrader.model.errors import ConfigurationError
from betatrader.release import settings
from betatrader.release.apps import image
from betatrader.release.configuration import Files
from betatrader.release.settings import Wrong

FLY = Path(__file__).resolve().parents[2] / "fly"


def texts(role: str = "trading", *lines: str) -> dict[str, str]:
    """Our files, with more in one's [env]."""
    found = {path.stem: path.read_text() for path in FLY.glob("*.toml")}
    found[role] = found[role].replace("[env]\n", "\n".join(["[env]", *lines, ""]), 1)
    return found


def test_ours_are_read() -> None:
    assert settings.wrong(texts()) == []


@pytest.mark.parametrize(
    ("role", "line", "variable", "text"),
    [
        (
            "trading",
            'BETATRADER_RISK__DALY_LOSS_USD = "15"',
            "BETATRADER_RISK__DALY_LOSS_USD",
            "risk.daly_loss_usd: unknown field; did you mean `daily_loss_usd`?",
        ),
        (
            "trading",
            'BETATRADER_STRATEGIES = "[{ name = ]"',
            "BETATRADER_STRATEGIES",
            "strategies: expected an array of tables, found '[{ name = ]'",
        ),
        (
            "jobs",
            'BETATRADER_JOBS__KEEP_HOURS = "abc"',
            "BETATRADER_JOBS__KEEP_HOURS",
            "jobs.keep_hours: expected a number, found 'abc'",
        ),
        (
            "jobs",
            'BETATRADER_JOBS__PNL_REPORT = "hourly"',
            "",
            "jobs.pnl_report: 'hourly' is no cron expression",
        ),
        (
            "intel",
            'BETATRADER_LOG_LEVL = "info"',
            "BETATRADER_LOG_LEVL",
            "log_levl: unknown field; did you mean `log_level`?",
        ),
        (
            "trading",
            "BETATRADER_STRATEGIES = '[{ name = \"parity\", venus = [] }]'",
            "",
            "strategies.0.venus: unknown field; did you mean `venues`?",
        ),
        (
            "trading",
            "BETATRADER_STRATEGIES = '[{ name = \"party\" }]'",
            "",
            "no strategy is named 'party'; did you mean `parity`?",
        ),
        (
            "trading",
            "BETATRADER_STRATEGIES = '[{ name = \"parity\", parameters = { sise = 1 } }]'",
            "",
            "strategies: parity: ",
        ),
        ("trading", 'BETATRADER_MODE = "live"', "BETATRADER_MODE", '"live" needs a venue'),
    ],
)
def test_a_setting_that_its_role_would_end_at_is_told_with_its_line(
    role: str, line: str, variable: str, text: str, tmp_path: Path
) -> None:
    files = texts(role, line)
    (found,) = settings.wrong(files)
    assert (found.role, found.variable) == (role, variable)
    assert text in found.text
    for name, content in files.items():
        (tmp_path / f"{name}.toml").write_text(content)
    rows = files[role].splitlines()
    number = rows.index(line if variable else "[env]") + 1
    (told,) = settings.wrong_in(tmp_path)
    assert told == f"{tmp_path}/{role}.toml line {number}: {found.where}: {found.text}"


def test_no_secret_and_no_file_of_a_strategy_is_asked_for() -> None:
    lines = (
        'BETATRADER_MODE = "live"',
        "BETATRADER_BINANCE__SYMBOLS = '[\"BTCUSDT\"]'",
        "BETATRADER_POLYMARKET__FOLLOW = '[\"btc-updown-5m\"]'",
        "BETATRADER_STRATEGIES = '[{ name = \"/app/mine.py:Mine\" }]'",
    )
    assert settings.wrong(texts("trading", *lines)) == []


def test_what_is_no_fly_file_is_left_to_the_check_of_those(tmp_path: Path) -> None:
    assert settings.wrong({"trading": "[env", "jobs": "env = 3\n"}) == []
    (tmp_path / "trading.toml").write_bytes(b"\xff")
    assert settings.wrong_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["deploy", "rollback"])
@pytest.mark.parametrize("known", [True, False])
def test_only_a_deploy_is_refused_and_only_by_the_code_of_its_own_version(
    kind: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files("a" * 40, texts("jobs", 'BETATRADER_JOBS__NEW = "1"'), (1, 1))
    own = [Wrong("jobs", "BETATRADER_JOBS__NEW", "jobs.new: unknown field")] if known else None
    monkeypatch.setattr(settings, "of_version", lambda _project, _files: own)
    said: list[str] = []
    line = "fly/jobs.toml at v2: env.BETATRADER_JOBS__NEW: jobs.new: unknown field"
    if known and kind == "deploy":
        with pytest.raises(ConfigurationError) as refused:
            settings.check(kind, image("v2"), Path(), files, said.append)
        assert (str(refused.value), said) == (line, [])
        return
    settings.check(kind, image("v2"), Path(), files, said.append)
    by = "its own version" if known else "this version"
    assert len(said) == 1
    assert said[0].startswith(f"as {by} reads it, and no reason to stop: {line}")


def test_a_version_that_reads_settings_otherwise_is_not_judged_by_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = Files("a" * 40, texts("jobs", 'BETATRADER_JOBS__NEW = "1"'), (1, 1))
    monkeypatch.setattr(settings, "of_version", lambda _project, _files: [])
    said: list[str] = []
    settings.check("deploy", image("v2"), Path(), files, said.append)
    assert said == []
