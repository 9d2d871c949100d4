"""Images that stand for those of a registry, on a machine that reaches none."""

import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from commands import Failed, call

Build = Callable[[Path, str, dict[str, str]], None]
"""Builds the Dockerfile of a folder under a name."""

BUILD_S = 900.0
LEFT_OUT = ("man", "doc", "locale", "info")


def base(build: Build, tag: str, version: str, suite: str) -> None:
    """Debian's own Python of the same number, without the documents, as slim images are.

    Where this machine's network is behind an authority of its own, the stand-in trusts it too.
    """
    if shutil.which("mmdebstrap") is None:
        raise Failed(
            "no registry gives the base, and mmdebstrap, which makes a stand-in, is not here\n"
            "Give this machine a registry, or: apt-get install mmdebstrap"
        )
    hooks = [
        f'--customize-hook=ln -sf /usr/bin/python{version} "$1/usr/local/bin/{link}"'
        for link in ("python", "python3", f"python{version}")
    ]
    lines = ["FROM scratch", "ADD base.tar /"]
    authorities = os.environ.get("SSL_CERT_FILE", "")
    if authorities:
        lines += ["COPY authorities.crt /etc/ssl/certs/ca-certificates.crt"]
        lines += ["ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]
    with tempfile.TemporaryDirectory(prefix="bt-base-") as name:
        folder = Path(name)
        call(
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            *(f"--dpkgopt=path-exclude=/usr/share/{it}/*" for it in LEFT_OUT),
            f"--include=ca-certificates,python{version},netbase,tzdata",
            *hooks,
            suite,
            str(folder / "base.tar"),
            timeout_s=BUILD_S,
        )
        if authorities:
            shutil.copy(authorities, folder / "authorities.crt")
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        build(folder, tag, {})


def uv(build: Build, tag: str, version: str) -> None:
    """The same uv from the package registry; its own image only holds this program."""
    with tempfile.TemporaryDirectory(prefix="bt-uv-") as name:
        folder = Path(name)
        call(
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "--platform",
            "musllinux_1_1_x86_64",
            f"uv=={version}",
            "-d",
            str(folder),
            timeout_s=BUILD_S,
        )
        with zipfile.ZipFile(next(folder.glob("uv-*.whl"))) as wheel:
            program = next(it for it in wheel.namelist() if it.endswith("/scripts/uv"))
            (folder / "uv").write_bytes(wheel.read(program))
        (folder / "uv").chmod(0o755)
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY uv /uv\n")
        build(folder, tag, {})
