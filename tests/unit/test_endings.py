"""How the program ends by an error: in at most two lines and a status, and a bug as a bug."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from redis.exceptions import ConnectionError as RedisAwayError

from betatrader.cli import main as program
from betatrader.model.errors import RefusedError

REFUSED = RefusedError("no\nAsk somebody else.")


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (REFUSED, ["no", "Ask somebody else."], 6),
        (ExceptionGroup("", [ExceptionGroup("", [REFUSED])]), ["no", "Ask somebody else."], 6),
        (
            ExceptionGroup("", [FileNotFoundError(2, "no such file", "x"), REFUSED]),
            ["no", "Ask somebody else."],
            6,
        ),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), [], 1),
        (
            ExceptionGroup("", [FileNotFoundError(2, "no such file", "x")]),
            ["x: no such file", "Choose a place that can be used."],
            2,
        ),
        (
            ExceptionGroup("", [RedisAwayError("gone")]),
            ["Redis went away: gone", "Try again; `betatrader doctor` tells more."],
            4,
        ),
    ],
)
def test_what_is_told_of_an_error_alone_or_in_a_group(
    error: BaseException,
    told: list[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(**_more: object) -> NoReturn:
        raise error

    monkeypatch.setattr(program, "program", fails)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == status
    assert capsys.readouterr().err.splitlines() == told


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        OSError(errno.ENOTCONN, "not connected"),
        ExceptionGroup("", [REFUSED, KeyError("x")]),
    ],
)
def test_a_bug_stays_one(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_more: object) -> NoReturn:
        raise error

    monkeypatch.setattr(program, "program", fails)
    with pytest.raises(type(error)):
        program.main()


SAYS = """
import anyio, click, sys
from betatrader.cli import main

async def work():
    async with anyio.create_task_group():
        click.echo("x" * 100_000)

main.program = lambda **_more: anyio.run(work) if "group" in sys.argv else click.echo("x" * 100_000)
main.main()
"""


@pytest.mark.parametrize("how", ["alone", "group"])
@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_nobody_takes_ends_the_program_without_a_trace(
    how: str, *, buffered: bool
) -> None:
    options = () if buffered else ("-u",)
    command = [sys.executable, *options, "-c", SAYS, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 1
    if not Path("/dev/full").exists():
        return
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "cannot write: No space left on device",
        "Make room where the output goes, and try again.",
    ]
