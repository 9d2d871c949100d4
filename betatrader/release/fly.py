"""The `fly` command: which commands are given, how long they may take, what their answers mean.

Commands that only look are asked again where fly's API fails; a deploy is, where the registry does
not know yet what was just pushed. Nothing secret is ever an argument.
"""

import asyncio
import codecs
import contextlib
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import anyio
import msgspec

from betatrader.model.errors import BetatraderError, UnreachableError
from betatrader.model.secret import Secret
from betatrader.ops.process import die_with_parent
from betatrader.release.apps import Image

T = TypeVar("T")
VARIABLE = "BETATRADER_FLY"
LOOK_S, CHANGE_S, DEPLOY_S, END_S = 30.0, 120.0, 1800.0, 60.0
WAIT = "10m"
TRIES = 3
LINES_KEPT = 200
PASSING = "passing"
WAITING = ("Staged", "Partial")
"""A secret that no machine of its app has yet, or not every one."""

UNKNOWN = "Unknown"
"""A secret of which fly cannot say who has it: it does not know when it was set."""

NOT_LOGGED_IN = "no access token available"
NO_IMAGE = "could not find image"
NO_APP = ("app not found", "could not find app", "could not be found, did you create the app")
"""As its lists say it, as its older API does, and as `deploy` does."""

NOT_YET = ("failed to get manifest", "machine not found")
"""What a deploy says right after a push, and does not say a moment later."""


class FlyError(BetatraderError):
    """The `fly` command failed; `said` is what it wrote. Exit status 1."""

    def __init__(self, what: str, said: str) -> None:
        super().__init__(what)
        self.said = said


class NoImageError(FlyError):
    """The registry does not have the image; exit status 2."""

    exit_status = 2


class Who(msgspec.Struct, frozen=True):
    """Who is logged in."""

    email: str


class ImageRef(msgspec.Struct, frozen=True):
    """What a machine runs."""

    registry: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""


class Check(msgspec.Struct, frozen=True):
    """One health check: passing, warning or critical."""

    name: str = ""
    status: str = ""
    output: str = ""


class Machine(msgspec.Struct, frozen=True):
    """A machine as `fly machine list --json` shows it."""

    id: str
    state: str = ""
    region: str = ""
    image_ref: ImageRef = ImageRef()
    checks: tuple[Check, ...] | None = None
    host_status: str = "ok"
    created_at: str = ""

    @property
    def image(self) -> str:
        """REGISTRY/NAME:TAG."""
        ref = self.image_ref
        return f"{ref.registry}/{ref.repository}:{ref.tag}"

    @property
    def exists(self) -> bool:
        """Not destroyed, nor about to be."""
        return self.state not in ("destroyed", "destroying")

    @property
    def runs(self) -> bool:
        """Whether its process may be alive."""
        return self.exists and self.state not in ("stopped", "suspended", "created")

    @property
    def healthy(self) -> bool:
        """Whether every check passes, and there is one."""
        return bool(self.checks) and all(c.status == PASSING for c in self.checks or ())


class AppSecret(msgspec.Struct, frozen=True):
    """A secret's name, digest and whether machines have it: Deployed, Staged, Partial, Unknown."""

    name: str
    digest: str = ""
    status: str = ""

    @property
    def waits(self) -> bool:
        """Whether a machine does not have it as it was set last: the next deploy gives it."""
        return self.status in WAITING


class Answer(NamedTuple):
    """How a command ended."""

    status: int
    output: str
    errors: str

    @property
    def reason(self) -> str:
        """The line that says why it failed."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        told = [line for line in lines if line.lower().startswith("error")]
        return (told or lines or [f"status {self.status}"])[-1]


def deploy(app: str, configuration: str, image: Image, strategy: str = "") -> list[str]:
    """The command that puts an image into an app; without an image fly would build what is here.

    `--remote-only`: fly would else take an image of this name from a Docker on this machine first,
    and push it under a tag of its own making.
    """
    return [
        *("deploy", "-c", configuration, "-a", app, "--image", str(image), "--remote-only"),
        *("--ha=false", "--no-public-ips", "--yes", "--wait-timeout", WAIT),
        *(("--strategy", strategy) if strategy else ()),
    ]


def find_image(app: str, configuration: str, image: Image) -> list[str]:
    """The command that looks for an image as a deploy would, and ends there: nothing is built,
    since an image is named, and nothing is put in place."""
    words = ["deploy", "--build-only", "--remote-only", "-c", configuration, "-a", app]
    return [*words, "--image", str(image)]


def stop(app: str, machine: str) -> list[str]:
    """The command that lets a machine drain and end."""
    return ["machine", "stop", machine, "-a", app, "--signal", "SIGTERM", "--wait-timeout", "60s"]


def destroy(app: str, machine: str) -> list[str]:
    """The command that removes a machine, whatever it does."""
    return ["machine", "destroy", machine, "-a", app, "--force"]


def stage_secrets(app: str) -> list[str]:
    """The command that takes NAME=VALUE lines on stdin, for the next deploy."""
    return ["secrets", "import", "--stage", "-a", app]


def find() -> str:
    """The program; raises UnreachableError."""
    chosen = os.environ.get(VARIABLE)
    for name in (chosen,) if chosen else ("fly", "flyctl"):
        found = shutil.which(name)
        if found:
            return found
    raise UnreachableError(
        f"no {chosen or '`fly`'} command is here\n"
        f"Install it (https://fly.io/docs/flyctl/install), or name it in {VARIABLE}."
    )


class Fly:
    """Gives the commands. `tell` hears each line that a deploy writes."""

    def __init__(self, program: str, tell: Callable[[str], None]) -> None:
        self._program = program
        self._tell = tell

    async def who(self) -> str:
        """Who is logged in; raises UnreachableError."""
        command = ["auth", "whoami", "--json"]
        return (await self._json(command, Who, 'who is logged in, {"email": …}')).email

    async def machines(self, app: str) -> tuple[Machine, ...]:
        """All machines of an app that are there."""
        command = ["machine", "list", "-a", app, "--json"]
        listed = await self._json(command, tuple[Machine, ...], "a list of machines")
        return tuple(machine for machine in listed if machine.exists)

    async def secrets(self, app: str) -> tuple[AppSecret, ...]:
        """The secrets of an app, without their values."""
        command = ["secrets", "list", "-a", app, "--json"]
        kind: Any = tuple[AppSecret, ...] | None  # Go writes a list of nothing so, too
        found: tuple[AppSecret, ...] | None = await self._json(command, kind, "a list of secrets")
        return found or ()

    async def stage(self, app: str, lines: Secret) -> None:
        """Set secrets for the next deploy."""
        command = stage_secrets(app)
        await self._done(command, await self._run(command, CHANGE_S, lines.reveal()))

    async def deploy(self, command: list[str]) -> None:
        """Raises NoImageError, FlyError. What it has left behind must be looked at either way."""
        await self._with_image(command, DEPLOY_S, told=True)

    async def look_for(self, command: list[str]) -> None:
        """Raises NoImageError where the registry does not have the image that `find_image` names,
        FlyError where nobody can say. Changes nothing."""
        await self._with_image(command, CHANGE_S, told=False)

    async def _with_image(self, command: list[str], limit_s: float, *, told: bool) -> None:
        for left in reversed(range(TRIES)):
            answer = await self._run(command, limit_s, told=told)
            said = (answer.output + answer.errors).lower()
            if answer.status == 0:
                return
            if NO_IMAGE in said:
                image = command[command.index("--image") + 1]
                raise NoImageError(
                    f"{image} is not in the registry\n"
                    "Push it (docs/deploy.md says how), or mend the tag.",
                    said,
                )
            if not (left and any(text in said for text in NOT_YET)):
                await self._done(command, answer)
            await anyio.sleep(2.0)

    async def remove(self, app: str, machine: str) -> None:
        """Let a machine drain, and destroy it whatever comes of that. fly may have done so itself:
        what counts is that it is gone."""
        await self._run(stop(app, machine), CHANGE_S, told=True)
        command = destroy(app, machine)
        answer = await self._run(command, CHANGE_S, told=True)
        if answer.status and machine in {one.id for one in await self.machines(app)}:
            await self._done(command, answer)

    async def _json(self, command: list[str], kind: type[T], expected: str) -> T:
        """The answer of a command that looks; raises FlyError where it is not of this kind."""
        for left in reversed(range(TRIES)):
            answer = await self._run(command, LOOK_S)
            if answer.status == 0:
                try:
                    return msgspec.json.decode(answer.output, type=kind)
                except msgspec.DecodeError as error:
                    if not left:
                        raise self._misread(command, answer, f"{expected}: {error}") from error
            said = answer.errors.lower()
            if not left or NOT_LOGGED_IN in said or _lacks_app(said):
                await self._done(command, answer)
            await anyio.sleep(0.5)
        raise AssertionError("a last try ends either way")

    def _misread(self, command: list[str], answer: Answer, expected: str) -> FlyError:
        """It has not failed, and what it said is not fly's answer: nobody knows what there is."""
        return FlyError(
            f"`fly {' '.join(command)}` ended well and did not answer as fly does: "
            f"expected as JSON {expected}\n"
            f"{self._program} was run: where that is no fly, name another in {VARIABLE}.",
            answer.output + answer.errors,
        )

    async def _done(self, command: Sequence[str], answer: Answer) -> None:
        """Raises what a failure means."""
        if answer.status == 0:
            return
        said = answer.errors.lower()
        if NOT_LOGGED_IN in said:
            raise UnreachableError("nobody is logged in at fly\nRun `fly auth login`.")
        if _lacks_app(said):
            app = command[command.index("-a") + 1]
            raise UnreachableError(
                f"fly knows no app {app} of yours\n"
                "Create it (docs/deploy.md, once), or name the setup's prefix with --prefix, "
                "and where its Redis is not PREFIX-redis, that with --redis-app."
            )
        raise FlyError(
            f"`fly {' '.join(command[:2])}` failed: {answer.reason}\n"
            "What it said before is above; status.flyio.net tells of troubles of fly itself.",
            answer.output + answer.errors,
        )

    async def _run(
        self, command: list[str], limit_s: float, given: str = "", *, told: bool = False
    ) -> Answer:
        said: dict[str, deque[str]] = {"out": deque(), "err": deque(maxlen=LINES_KEPT)}
        process = await self._started(command)
        try:
            with anyio.fail_after(limit_s):
                async with anyio.create_task_group() as group:
                    group.start_soon(self._take, process.stdout, said["out"], told)
                    group.start_soon(self._take, process.stderr, said["err"], told)
                    assert process.stdin is not None
                    with contextlib.suppress(OSError):  # it ended without reading
                        process.stdin.write(given.encode())
                        await process.stdin.drain()
                    process.stdin.close()
                status = await process.wait()
        except TimeoutError:
            text = f"no end of `fly {command[0]}` after {limit_s:.0f} s"
            return Answer(-1, "".join(said["out"]), f"Error: {text}")
        finally:
            await _end(process)
        return Answer(status, "".join(said["out"]), "".join(said["err"]))

    async def _started(self, command: list[str]) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                self._program,
                *command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                preexec_fn=die_with_parent,  # nobody would know of what it went on to do
            )
        except OSError as error:
            raise UnreachableError(
                f"`fly {' '.join(command[:2])}` cannot be run: {self._program}: {error.strerror}\n"
                f"Install fly (https://fly.io/docs/flyctl/install), or name it in {VARIABLE}."
            ) from error

    async def _take(
        self, stream: asyncio.StreamReader | None, kept: deque[str], told: bool
    ) -> None:
        assert stream is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        while data := await stream.read(65_536):
            text = decoder.decode(data)
            kept.append(text)
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                if told and line.strip():
                    self._tell(line.rstrip())


def _lacks_app(said: str) -> bool:
    return any(text in said for text in NO_APP)


async def _end(process: asyncio.subprocess.Process) -> None:
    """fly clears up what it has begun where it is interrupted; it is given a while for that."""
    with anyio.CancelScope(shield=True), contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            with anyio.move_on_after(END_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
