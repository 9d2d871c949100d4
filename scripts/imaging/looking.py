"""An image as a folder of layers: what is in it, how large, and whether it keeps its promises."""

import gzip
import json
import re
import tarfile
import tomllib
from pathlib import Path

import leaks

LARGEST = 150_000_000
"""Compressed bytes of all layers, in decimal megabytes as registries count."""

BUILD_TOOLS = ("uv", "pip", "pip3", "gcc", "cc", "ld", "make", "git", "curl", "wget")
UNPACKED = "site-packages"
SECRET_FILES = re.compile(r"(^|/)(\.env|[^/]*\.env|id_rsa|id_ed25519|[^/]*\.key)$")
UNREAD_LIBRARY = re.compile(r"/(dist-packages|test|idlelib|turtledemo|ensurepip|pydoc_data)/")


class Image:
    """What `save` wrote: the archive of docker, which may be a layout too, or a layout alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if (folder / "manifest.json").exists():
            manifest = json.loads((folder / "manifest.json").read_text())[0]
            described = json.loads((folder / manifest["Config"]).read_text())
            self._layers = [folder / name for name in manifest["Layers"]]
        else:
            index = json.loads((folder / "index.json").read_text())
            manifest = json.loads(self._blob(index["manifests"][0]["digest"]).read_text())
            described = json.loads(self._blob(manifest["config"]["digest"]).read_text())
            self._layers = [self._blob(layer["digest"]) for layer in manifest["layers"]]
        self.config = described["config"]
        self.history = described.get("history", [])
        self.files: dict[str, tarfile.TarInfo] = {}
        self.stamps: dict[str, int] = {}
        self.secrets: set[str] = set()
        """Files of any layer that are called like one or hold one, taken away later or not."""

    def _blob(self, digest: str) -> Path:
        return self._folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def layers(self) -> list[dict]:
        """Each layer's size and origin; reads all files on the way."""
        made_by = [
            entry.get("created_by", "").replace("/bin/sh -c #(nop) ", "").strip()
            for entry in self.history
            if not entry.get("empty_layer")
        ]
        made_by += ["?"] * (len(self._layers) - len(made_by))
        found = []
        for number, path in enumerate(self._layers):
            found.append({"compressed": _compressed(path), "made_by": _short(made_by[number])})
            self._read(path)
        return found

    def _read(self, path: Path) -> None:
        """Put one layer's files over those below; a `.wh.` file takes one away."""
        with tarfile.open(path) as layer:
            for member in layer:
                name = "/" + member.name.removeprefix("./").strip("/")
                folder, _, last = name.rpartition("/")
                if last == ".wh..wh..opq":
                    self._forget(f"{folder}/")
                elif last.startswith(".wh."):
                    gone = f"{folder}/{last.removeprefix('.wh.')}"
                    self.files.pop(gone, None)
                    self._forget(f"{gone}/")
                else:
                    self.files[name] = member
                    if _is_secret(name, member, layer):
                        self.secrets.add(name)
                    if name.endswith(".pyc"):
                        head = layer.extractfile(member).read(16)  # type: ignore[union-attr]
                        self.stamps[name] = int.from_bytes(head[8:12], "little")

    def _forget(self, prefix: str) -> None:
        for name in [name for name in self.files if name.startswith(prefix)]:
            del self.files[name]


def _is_secret(name: str, member: tarfile.TarInfo, layer: tarfile.TarFile) -> bool:
    if not member.isfile():
        return False
    if name.startswith(("/app", "/src", "/root", "/data")) and SECRET_FILES.search(name):
        return True
    if not leaks.is_searched(name, member.size):
        return False
    return leaks.in_text(name, layer.extractfile(member).read())  # type: ignore[union-attr]


def promises(
    image: Image, layers: list[dict], project: Path, version: str, revision: str
) -> dict[str, str]:
    """Each promise, and what breaks it; "" where it holds."""
    labels = image.config.get("Labels") or {}
    total = sum(layer["compressed"] for layer in layers)
    names = set(image.files)
    prefix = "org.opencontainers.image."
    return {
        "at most 150 MB compressed": "" if total <= LARGEST else f"{total / 1e6:.1f} MB",
        "runs as a user without rights": _unlike(image.config.get("User"), "10001:10001"),
        "the program is the entrypoint": _unlike(image.config.get("Entrypoint"), ["betatrader"]),
        "SIGTERM stops it": _unlike(image.config.get("StopSignal"), "SIGTERM"),
        "labelled with its version": _unlike(labels.get(f"{prefix}version"), version),
        "labelled with its revision": _unlike(labels.get(f"{prefix}revision"), revision),
        "no build tools": _some(
            name
            for name in names
            if (name.rpartition("/")[2] in BUILD_TOOLS and "/bin/" in name) or name.endswith("/pip")
        ),
        "no extras": _some(_distributions(names) & _extras(project)),
        "the versions of uv.lock": _some(_unlocked(names, project)),
        "bytecode of everything that is imported": _some(_uncompiled(image)),
        "nothing that all may write": _some(
            name
            for name, member in image.files.items()
            if (member.isfile() or member.isdir()) and member.mode & 0o1002 == 0o002
        ),
        "nothing secret in any layer": _some(
            [*image.secrets, *leaks.in_configuration(image.config, image.history)]
        ),
        "no sources, no caches, no tests": _some(
            name
            for name in names
            if name.startswith(("/src/", "/root/.cache/"))
            or (UNPACKED in name and "/tests/" in name)
        ),
    }


def _unlike(found: object, expected: object) -> str:
    return "" if found == expected else f"expected {expected}, found {found}"


def _some(wrong) -> str:
    found = sorted(wrong)
    return f"{', '.join(found[:3])}{f' and {len(found) - 3} more' if len(found) > 3 else ''}"


def _short(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= 70 else f"{text[:67]}..."


def _compressed(path: Path) -> int:
    """A layer's size as a registry keeps it; an unpacked one is measured by packing it."""
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return path.stat().st_size
        file.seek(0)
        counted = _Counter()
        with gzip.GzipFile(fileobj=counted, mode="wb", compresslevel=6) as packed:
            while block := file.read(1 << 20):
                packed.write(block)
        return counted.size


class _Counter:
    """A file that keeps only its size."""

    size = 0

    def write(self, block: bytes) -> int:
        """Count."""
        self.size += len(block)
        return len(block)

    def flush(self) -> None:
        """Nothing to do."""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _versions(names: set[str]) -> dict[str, str]:
    found = {}
    for name in names:
        match = re.search(r"/site-packages/([^/]+)-([^-/]+)\.dist-info$", name)
        if match:
            found[_normal(match[1])] = match[2]
    return found


def _distributions(names: set[str]) -> set[str]:
    return set(_versions(names))


def _extras(project: Path) -> set[str]:
    """What only the extras bring, by name."""
    described = tomllib.loads((project / "pyproject.toml").read_text())["project"]

    def named(lines: list[str]) -> set[str]:
        return {_normal(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in lines}  # type: ignore[index]

    extras = described["optional-dependencies"].values()
    return set().union(*(named(lines) for lines in extras)) - named(described["dependencies"])


def _unlocked(names: set[str], project: Path) -> list[str]:
    lock = tomllib.loads((project / "uv.lock").read_text())["package"]
    locked = {(_normal(package["name"]), package.get("version")) for package in lock}
    return [f"{name} {has}" for name, has in _versions(names).items() if (name, has) not in locked]


def _uncompiled(image: Image) -> list[str]:
    """Sources of the program and of the standard library whose bytecode is absent or stale."""
    wrong = []
    for name, member in image.files.items():
        if not name.endswith(".py") or not re.match(r"/(app|usr)/.*lib/python3\.\d+/", name):
            continue
        if UNREAD_LIBRARY.search(name) or not name.rpartition("/")[2][:-3].isidentifier():
            continue
        folder, _, last = name.rpartition("/")
        tag = re.search(r"/python3\.(\d+)/", name)[1]  # type: ignore[index]
        compiled = f"{folder}/__pycache__/{last[:-3]}.cpython-3{tag}.pyc"
        if compiled not in image.files:
            wrong.append(f"{name} (none)")
        elif image.stamps.get(compiled) != int(member.mtime) & 0xFFFFFFFF:
            wrong.append(f"{name} (stale)")
    return wrong
