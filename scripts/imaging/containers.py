"""Containers of an image: Redis and the roles, each with a read-only root and no rights."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

from commands import COMMAND_S, answers, call

PORTS = {"redis": 6379, "trading": 8701, "intel": 8702, "jobs": 8703}
ROOT_CAPABILITIES = ("CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE", "CAP_FOWNER")


class Runner:
    """Containers by name: Redis and the roles."""

    data = "/data"

    def host(self, name: str) -> str:
        """Where the others reach one."""
        raise NotImplementedError

    def port(self, name: str) -> int:
        """The port at which one answers."""
        raise NotImplementedError

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        *,
        memory_mb: int,
        entrypoint: str = "",
        as_root: bool = False,
    ) -> None:
        """Start one, with a read-only root and no rights."""
        raise NotImplementedError

    def execute(self, name: str, command: list[str]) -> str:
        """Run a command beside one; its stdout. Raises Failed."""
        raise NotImplementedError

    def stop(self, name: str, patience_s: float) -> int:
        """SIGTERM; the exit status."""
        raise NotImplementedError

    def log(self, name: str) -> str:
        """The last lines that one wrote."""
        raise NotImplementedError


class DockerRunner(Runner):
    """Each container in one network."""

    def __init__(self, client: str, tag: str, network: str, folder: Path) -> None:
        self._client, self._tag, self._network, self._folder = client, tag, network, folder
        self._started: list[str] = []

    def host(self, name: str) -> str:
        """Its address, since podman resolves names only with a plugin."""
        shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return call(self._client, "inspect", "--format", shown, self._full(name)).strip()

    def port(self, name: str) -> int:
        """The image's own ports."""
        return PORTS[name]

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        *,
        memory_mb: int,
        entrypoint: str = "",
        as_root: bool = False,
    ) -> None:
        """Passwords go by a file, never by the command line."""
        secrets = self._folder / f"{name}.env"
        secrets.write_text("".join(f"{key}={value}\n" for key, value in environment.items()))
        options = ["--entrypoint", entrypoint] if entrypoint else []
        if as_root:
            options += ["--user", "0", "--tmpfs", self.data]
            options += [f"--cap-add={it.removeprefix('CAP_')}" for it in ROOT_CAPABILITIES]
        self._started.append(name)
        call(
            self._client,
            "run",
            "-d",
            "--name",
            self._full(name),
            "--network",
            self._network,
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--cap-drop=ALL",
            "--memory",
            f"{memory_mb}m",
            "--security-opt",
            "no-new-privileges",
            "--env-file",
            str(secrets),
            *options,
            self._tag,
            *arguments,
        )

    def execute(self, name: str, command: list[str]) -> str:
        """As the container's own user."""
        return call(self._client, "exec", "--user", "10001", self._full(name), *command)

    def stop(self, name: str, patience_s: float) -> int:
        """The client sends SIGTERM, then kills."""
        call(self._client, "stop", "-t", f"{patience_s:.0f}", self._full(name))
        state = call(self._client, "inspect", "--format", "{{.State.ExitCode}}", self._full(name))
        return int(state)

    def log(self, name: str) -> str:
        """What the client kept."""
        done = subprocess.run(
            [self._client, "logs", "--tail", "20", self._full(name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
        )
        return done.stdout

    def remove_all(self) -> None:
        """Whatever still runs is killed."""
        for name in self._started:
            call(self._client, "rm", "-f", "-v", self._full(name))

    def _full(self, name: str) -> str:
        return f"{self._network}-{name}"


class RuncRunner(Runner):
    """Containers on the machine's own network, each at a free port."""

    def __init__(self, root: str, config: dict, folder: Path) -> None:
        self._root, self._config, self._folder = root, config, folder
        self._ports: dict[str, int] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def host(self, name: str) -> str:
        """All are at home."""
        return "127.0.0.1"

    def port(self, name: str) -> int:
        """One that was free a moment ago."""
        if name not in self._ports:
            with socket.create_server(("127.0.0.1", 0)) as link:
                self._ports[name] = link.getsockname()[1]
        return self._ports[name]

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        *,
        memory_mb: int,
        entrypoint: str = "",
        as_root: bool = False,
    ) -> None:
        """Its description is a file that only root reads."""
        bundle = self._folder / name
        (bundle / "data").mkdir(parents=True, mode=0o755)
        command = [*([entrypoint] if entrypoint else self._config["Entrypoint"]), *arguments]
        variables = [*self._config["Env"], *(f"{key}={it}" for key, it in environment.items())]
        described = self._described(command, variables, bundle / "data", as_root)
        described["linux"]["resources"] = {"memory": {"limit": memory_mb << 20}}
        description = bundle / "config.json"
        description.touch(mode=0o600)
        description.write_text(json.dumps(described))
        with (bundle / "log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                ["runc", "run", "--no-pivot", "--bundle", str(bundle), self._full(name)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _described(
        self, command: list[str], variables: list[str], data: Path, as_root: bool
    ) -> dict:
        user, _, group = self._config["User"].partition(":")
        held = list(ROOT_CAPABILITIES) if as_root else []
        mounts = [
            ("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
            ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            ("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777"]),
            ("/tmp", "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=1777"]),
        ]
        if as_root:
            mounts.append((self.data, "bind", str(data), ["rbind", "rw", "nosuid", "nodev"]))
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0} if as_root else {"uid": int(user), "gid": int(group)},
                "args": command,
                "env": variables,
                "cwd": self._config.get("WorkingDir") or "/",
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), held),
                "noNewPrivileges": True,
            },
            "root": {"path": self._root, "readonly": True},
            "mounts": [
                {"destination": to, "type": kind, "source": source, "options": options}
                for to, kind, source, options in mounts
            ],
            "linux": {"namespaces": [{"type": it} for it in ("pid", "mount", "ipc", "uts")]},
        }

    def execute(self, name: str, command: list[str]) -> str:
        """As the image's user, with its variables."""
        variables = [part for it in self._config["Env"] for part in ("--env", it)]
        return call("runc", "exec", "--user", "10001:10001", *variables, self._full(name), *command)

    def stop(self, name: str, patience_s: float) -> int:
        """SIGTERM to the first process."""
        process = self._running[name]
        call("runc", "kill", self._full(name), "TERM")
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return -1

    def log(self, name: str) -> str:
        """The end of its file."""
        return "\n".join((self._folder / name / "log").read_text().splitlines()[-20:])

    def remove_all(self) -> None:
        """Whatever still runs is killed."""
        for name, process in self._running.items():
            deadline = time.monotonic() + 10
            while process.poll() is None and time.monotonic() < deadline:
                answers("runc", "kill", self._full(name), "KILL")
                time.sleep(0.2)
            answers("runc", "delete", "--force", self._full(name))

    def _full(self, name: str) -> str:
        return f"betatrader-check-{os.getpid()}-{name}"
