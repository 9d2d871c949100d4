"""What builds and runs images here: docker or podman, else buildah and runc as root.

The second way needs no daemon and no network of containers: buildah builds by chroot, runc runs
the unpacked root file system as a container of the machine's own network.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import stand_ins
from commands import Failed, answers, call
from containers import DockerRunner, RuncRunner, Runner
from stand_ins import BUILD_S

PULL_S = 60.0


def found_engine(wanted: str = "") -> "Engine":
    """The engine of this name, else the first that works here; raises Failed with what to install.

    As root buildah comes before podman, which needs more of the machine in order to run anything.
    """
    as_root = os.geteuid() == 0
    ways = {
        "docker": lambda: answers("docker", "info"),
        "buildah": lambda: as_root and shutil.which("buildah") and shutil.which("runc"),
        "podman": lambda: answers("podman", "info"),
    }
    for name, works in ways.items():
        if wanted in ("", name) and works():
            return Buildah() if name == "buildah" else Docker(name)
    missing = f"{wanted} does not answer"
    if not wanted:
        missing = "neither docker nor podman answers, and buildah with runc is not here for root"
    raise Failed(
        f"no way to build an image: {missing}\n"
        "Start docker or podman; or on Debian, as root: apt-get install buildah runc mmdebstrap"
    )


class Engine:
    """What all have in common: a client of one name that speaks docker's commands."""

    name = ""
    build_options: tuple[str, ...] = ()

    def build(self, project: Path, tag: str, arguments: dict[str, str]) -> None:
        """Build the Dockerfile of a folder. What it prints goes to stderr."""
        options = [part for pair in arguments.items() for part in ("--build-arg", "=".join(pair))]
        with tempfile.TemporaryFile("w+") as said:
            command = [self.name, "build", *self.build_options, *options, "-t", tag, str(project)]
            done = subprocess.run(command, stdout=said, stderr=said, timeout=BUILD_S)
            said.seek(0)
            last = said.read().splitlines()[-15:]
        if done.returncode:
            raise Failed("the image was not built:\n" + "\n".join(last))

    def pulled(self, image: str) -> bool:
        """Whether an image is here, or could be fetched."""
        return self._has(image) or self._pull(image)

    def _pull(self, image: str) -> bool:
        try:
            call(self.name, "pull", "-q", image, timeout_s=PULL_S)
        except Failed:
            return False
        return True

    def stand_ins(self, official: dict[str, str]) -> dict[str, str]:
        """Images that stand for those that no registry gives; made once for each version."""
        python = re.search(r"python:(3\.\d+)[\d.]*-slim-(\w+)", official["PYTHON_IMAGE"])
        uv = re.search(r"uv:([\d.]+)", official["UV_IMAGE"])
        if python is None or uv is None:
            raise Failed("the Dockerfile names no python:…-slim-… or no uv:…")
        base = f"localhost/betatrader-stand-in-base:{python[1]}-{python[2]}"
        tool = f"localhost/betatrader-stand-in-uv:{uv[1]}"
        if not self._has(base):
            stand_ins.base(self.build, base, python[1], python[2])
        if not self._has(tool):
            stand_ins.uv(self.build, tool, uv[1])
        return {"PYTHON_IMAGE": base, "UV_IMAGE": tool}

    def _has(self, image: str) -> bool:
        return answers(self.name, "inspect", "--type", "image", image)

    def save(self, tag: str, folder: Path) -> None:
        """Lay the image out in a folder."""
        raise NotImplementedError

    @contextmanager
    def runner(self, tag: str, folder: Path) -> Iterator["Runner"]:
        """Runs containers of an image; all have ended when the block ends."""
        raise NotImplementedError


class Docker(Engine):
    """docker, or podman by the same commands."""

    def __init__(self, name: str) -> None:
        self.name = name

    def save(self, tag: str, folder: Path) -> None:
        """By way of an archive."""
        call(self.name, "save", "-o", str(folder / "image.tar"), tag, timeout_s=BUILD_S)
        with tarfile.open(folder / "image.tar") as archive:
            archive.extractall(folder, filter="data")

    @contextmanager
    def runner(self, tag: str, folder: Path) -> Iterator[Runner]:
        """In a network of their own."""
        network = f"betatrader-check-{os.getpid()}"
        call(self.name, "network", "create", network)
        runner = DockerRunner(self.name, tag, network, folder)
        try:
            yield runner
        finally:
            runner.remove_all()
            call(self.name, "network", "rm", network)


class Buildah(Engine):
    """buildah and runc, as root, without a daemon."""

    name = "buildah"
    build_options = ("--isolation", "chroot", "--layers", "--format", "oci", "--pull-never")

    def save(self, tag: str, folder: Path) -> None:
        """Straight into the layout."""
        call("buildah", "push", "-q", tag, f"oci:{folder}:image", timeout_s=BUILD_S)

    @contextmanager
    def runner(self, tag: str, folder: Path) -> Iterator[Runner]:
        """From the image's mounted root file system."""
        described = json.loads(call("buildah", "inspect", "--type", "image", tag))
        container = call("buildah", "from", "--pull-never", tag).strip()
        try:
            root = call("buildah", "mount", container).strip()
            runner = RuncRunner(root, described["OCIv1"]["config"], folder)
            try:
                yield runner
            finally:
                runner.remove_all()
        finally:
            call("buildah", "rm", container)
