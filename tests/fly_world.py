"""A pretended fly account, with the stand-in `fly` on the path, and a checkout with tags."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from fly_forking import client

PROJECT = Path(__file__).resolve().parents[1]
PREFIX = "betatrader"
ROLES = ("jobs", "intel", "trading")
REPOSITORY = "registry.fly.io/betatrader-trading"

SECRETS: dict[str, dict[str, str]] = {
    "trading": {
        "REDIS_URL": "redis://trading:trading-pass-0123@betatrader-redis.internal:6379",
        "BETATRADER_CONTROL_TOKEN": "an-operator-token-of-many-characters",
    },
    "intel": {"REDIS_URL": "redis://intel:intel-pass-012345@betatrader-redis.internal:6379"},
    "jobs": {"REDIS_URL": "redis://jobs:jobs-pass-0123456@betatrader-redis.internal:6379"},
    "redis": {
        "BETATRADER_REDIS_PASSWORD_TRADING": "trading-pass-0123",
        "BETATRADER_REDIS_PASSWORD_INTEL": "intel-pass-012345",
        "BETATRADER_REDIS_PASSWORD_JOBS": "jobs-pass-0123456",
        "BETATRADER_REDIS_PASSWORD_OPERATOR": "operator-pass-0123",
    },
}


class World:
    """The account, the checkout, and the commands that are given there."""

    def __init__(self, folder: Path, *, real: bool = False, made: bool = False) -> None:
        self.fly = folder / "fly"
        self.checkout = folder / "checkout"
        self._bin = folder / "bin"
        if made:  # a copy of one
            return
        for part in (self.fly, self.checkout / "fly", self._bin):
            part.mkdir(parents=True)
        state = {"user": "ann@example.com", "real": real, "redis": "", "apps": {}, "registry": {}}
        self._write({**state, "faults": []})
        script = self._bin / "fly"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{client()}" "$@"\n')
        script.chmod(0o755)
        own = self._bin / "betatrader"
        own.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m betatrader "$@"\n')
        own.chmod(0o755)
        git = ["git", "-C", str(self.checkout)]
        subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
        for name, value in (("user.name", "ann"), ("user.email", "ann@example.com")):
            subprocess.run([*git, "config", name, value], check=True)
        for path in (PROJECT / "fly").glob("*.toml"):
            (self.checkout / "fly" / path.name).write_text(path.read_text())
        for name in (".gitignore", "scripts/secrets"):
            (self.checkout / name).parent.mkdir(exist_ok=True)
            shutil.copy(PROJECT / name, self.checkout / name)
        schema = self.checkout / "betatrader/model/event.py"
        schema.parent.mkdir(parents=True)
        schema.write_text("SCHEMA_VERSION = 1\n")

    # what there is

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.fly / "state.json").read_text())
        return found

    def _write(self, state: Mapping[str, Any]) -> None:
        (self.fly / "state.json").write_text(json.dumps(state))

    def change(self, **more: Any) -> None:
        """Part of the account's state."""
        self._write({**self.state(), **more})

    def create_apps(self) -> None:
        """The four apps with the secrets that they need, as once at the beginning."""
        for role, secrets in SECRETS.items():
            self.given("apps", "create", f"{PREFIX}-{role}")
            text = "".join(f"{name}={value}\n" for name, value in secrets.items())
            self.given("secrets", "import", "--stage", "-a", f"{PREFIX}-{role}", given=text)

    def publish(self, tag: str, **more: Any) -> None:
        """A version: a commit with this tag whose fly files say so, and an image of it."""
        for role in ROLES:
            path = self.checkout / f"fly/{role}.toml"
            lines = [x for x in path.read_text().splitlines() if not x.startswith("VERSION_SEEN")]
            lines.insert(lines.index("[env]") + 1, f'VERSION_SEEN = "{tag}"')
            path.write_text("\n".join(lines) + "\n")
        git = ["git", "-C", str(self.checkout)]
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", tag], check=True)
        subprocess.run([*git, "tag", tag], check=True)
        self.push(tag, **more)

    def push(self, tag: str, **more: Any) -> None:
        """An image under this tag."""
        image = {
            "digest": f"sha256:{tag}",
            "revision": self.commit(tag),
            "tree": str(PROJECT),
            **more,
        }
        self.change(registry={**self.state()["registry"], f"{REPOSITORY}:{tag}": image})

    def git(self, *words: str) -> None:
        """A command of git in the checkout."""
        subprocess.run(["git", "-C", str(self.checkout), *words], check=True, capture_output=True)

    def commit(self, tag: str) -> str:
        """What a tag of the checkout names."""
        words = ["git", "-C", str(self.checkout), "rev-parse", f"refs/tags/{tag}^{{commit}}"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    def fail(self, command: str, app: str, kind: str) -> None:
        """A fault for one command at one app."""
        planned = {"command": command, "app": f"{PREFIX}-{app}", "kind": kind}
        self.change(faults=[*self.state()["faults"], planned])

    def runs(self) -> dict[str, list[str]]:
        """The tags that each app's started machines run."""
        apps = self.state()["apps"]
        return {
            role: [
                m["image_ref"]["tag"]
                for m in apps[f"{PREFIX}-{role}"]["machines"]
                if m["state"] == "started"
            ]
            for role in ROLES
        }

    def configured(self) -> dict[str, str]:
        """Of which version each app's fly file is."""
        apps = self.state()["apps"]
        return {
            role: apps[f"{PREFIX}-{role}"]["machines"][0]["_config"]["env"]["VERSION_SEEN"]
            for role in ROLES
        }

    def commands(self, *words: str) -> list[list[str]]:
        """Every fly command so far that begins so."""
        text = (self.fly / "commands.jsonl").read_text()
        found = [json.loads(line) for line in text.splitlines()]
        return [one for one in found if one[: len(words)] == list(words)]

    # what is done

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self._bin}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {
            **os.environ,
            "PATH": path,
            "FLY_STAND_IN": str(self.fly),
            "PYTHONPATH": str(PROJECT),
            **more,
        }

    def given(self, *command: str, given: str = "") -> None:
        """A fly command."""
        done = subprocess.run(
            ["fly", *command],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment(),
            check=False,
            executable=str(self._bin / "fly"),
        )
        assert done.returncode == 0, done.stderr

    def program(self) -> str:
        """The stand-in, for what runs in this very process."""
        return str(self._bin / "fly")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "betatrader", "release", *words]

    def release(
        self, *words: str, given: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """A release command to its end."""
        return subprocess.run(
            self.command(*words),
            input=given,
            capture_output=True,
            text=True,
            timeout=240,
            cwd=self.checkout,
            env=self.environment(**more),
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A release command in the background."""
        return subprocess.Popen(
            self.command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.checkout,
            env=self.environment(),
        )

    def status(self) -> dict[str, Any]:
        done = self.release("status", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = msgspec.json.decode(done.stdout)
        return found

    def end(self) -> None:
        """No machine's process is left."""
        for app in self.state()["apps"].values():
            for machine in app["machines"]:
                if machine["_pid"]:
                    try:
                        os.killpg(machine["_pid"], signal.SIGKILL)
                    except ProcessLookupError:
                        continue


@contextmanager
def world(folder: Path, *, real: bool = False) -> Iterator[World]:
    made = World(folder, real=real)
    try:
        yield made
    finally:
        made.end()
