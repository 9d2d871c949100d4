"""What `scripts/image inspect` promises of an image is really looked for, layer by layer."""

import hashlib
import io
import json
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SITE = "app/.venv/lib/python3.13/site-packages"
Files = dict[str, tuple[bytes, int]]
Judge = Callable[..., dict[str, str]]


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """The promises that an image breaks, made of these layers."""
    sys.path.insert(0, str(PROJECT / "scripts/imaging"))
    try:
        from looking import Image, promises
    finally:
        sys.path.pop(0)

    def judge(*layers: Files, compressed: int = 0, **config: Any) -> dict[str, str]:
        image = Image(laid_out(tmp_path, layers, config))
        sizes = image.layers()
        if compressed:
            sizes[0]["compressed"] = compressed
        found = promises(image, sizes, PROJECT, "0.1.0", "abc")
        return {name: problem for name, problem in found.items() if problem}

    return judge


def laid_out(folder: Path, layers: tuple[Files, ...], config: dict[str, Any]) -> Path:
    """An OCI layout."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def blob(content: bytes) -> dict[str, str]:
        name = hashlib.sha256(content).hexdigest()
        (blobs / name).write_bytes(content)
        return {"digest": f"sha256:{name}"}

    packed = []
    for files in layers:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, (content, mode) in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode, member.mtime = len(content), mode, 1_000_000_000
                archive.addfile(member, io.BytesIO(content))
        packed.append(blob(buffer.getvalue()))
    right = {
        "User": "10001:10001",
        "Entrypoint": ["betatrader"],
        "StopSignal": "SIGTERM",
        "Labels": {
            "org.opencontainers.image.version": "0.1.0",
            "org.opencontainers.image.revision": "abc",
        },
    }
    history = config.pop("history", [])
    described = blob(json.dumps({"config": right | config, "history": history}).encode())
    manifest = blob(json.dumps({"config": described, "layers": packed}).encode())
    (folder / "index.json").write_text(json.dumps({"manifests": [manifest]}))
    return folder


def module(name: str, *, stamp: int | None = 1_000_000_000) -> Files:
    """A source, and its bytecode as of a time."""
    made = {f"{SITE}/{name}.py": (b"pass", 0o644)}
    if stamp is not None:
        head = b"\0" * 8 + stamp.to_bytes(4, "little") + b"\0" * 4
        made[f"{SITE}/__pycache__/{name}.cpython-313.pyc"] = (head, 0o644)
    return made


def test_a_right_image_breaks_nothing(judged: Judge) -> None:
    assert judged(module("trader"), {"tmp/": (b"", 0o1777)}) == {}


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        ({"User": ""}, "runs as a user without rights"),
        ({"User": "0"}, "runs as a user without rights"),
        ({"Entrypoint": ["/bin/sh", "-c", "betatrader"]}, "the program is the entrypoint"),
        ({"StopSignal": "SIGINT"}, "SIGTERM stops it"),
        ({"compressed": 150_000_001}, "at most 150 MB compressed"),
    ],
)
def test_what_the_image_says_of_itself(judged: Judge, wrong: dict[str, Any], promise: str) -> None:
    assert list(judged(module("trader"), **wrong)) == [promise]


def test_another_version_or_revision_on_the_label(judged: Judge) -> None:
    assert set(judged(module("trader"), Labels={})) == {
        "labelled with its version",
        "labelled with its revision",
    }


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("usr/local/bin/uv", "no build tools"),
        ("usr/bin/gcc", "no build tools"),
        ("usr/local/lib/python3.13/site-packages/pip", "no build tools"),
        (f"{SITE}/pytest-9.0.0.dist-info", "no extras"),
        (f"{SITE}/pyarrow-25.0.0.dist-info", "no extras"),
        (f"{SITE}/msgspec-0.0.1.dist-info", "the versions of uv.lock"),
        ("app/trading.env", "nothing secret in any layer"),
        ("app/wallet.key", "nothing secret in any layer"),
        ("src/pyproject.toml", "no sources, no caches, no tests"),
        (f"{SITE}/numpy/tests/test_it.txt", "no sources, no caches, no tests"),
    ],
)
def test_what_may_not_be_in_it(judged: Judge, name: str, promise: str) -> None:
    problems = judged(module("trader"), {name: (b"", 0o644)})
    assert name.rpartition("/")[2].split("-")[0] in problems[promise].lower()


def test_what_a_later_layer_takes_away_is_not_in_it(judged: Judge) -> None:
    below = {"usr/local/bin/uv": (b"", 0o755), "src/a": (b"", 0o644)}
    above = {"usr/local/bin/.wh.uv": (b"", 0o644), "src/.wh..wh..opq": (b"", 0o644)}
    assert judged(below, above) == {}


SECRET = "plantedHmacSecretOfBinance0000000000000000000000000000000000000000"
PEM = b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----\n"
LEAK = "nothing secret in any layer"


@pytest.mark.parametrize(
    "variable",
    [
        f"BETATRADER_BINANCE__SECRET={SECRET}",
        "BETATRADER_BINANCE__KEY=plain-text-of-no-shape",
        "BETATRADER_CONTROL_TOKEN=plain-text-of-no-shape",
        "BETATRADER_REDIS_PASSWORD_JOBS=plain-text-of-no-shape",
        "BETATRADER_ALERTS__WEBHOOK=https://x.example/plain",
        "REDIS_URL=redis://jobs:planted-password@redis:6379",
        "FLY_API_TOKEN=FlyV1 fm2_lJPECAAAAAAAAAAQxBBmYWtl",
    ],
)
def test_a_secret_in_a_variable(judged: Judge, variable: str) -> None:
    name, _, value = variable.partition("=")
    plain = [
        "PATH=/app/.venv/bin:/usr/bin",
        "HOME=/tmp",
        "GPG_KEY=7169605F62C751356D054A26",
    ]
    problems = judged(module("trader"), Env=[*plain, variable])
    assert problems == {LEAK: f"ENV {name}"}
    history = [{"created_by": "RUN make"}, {"created_by": f"/bin/sh -c #(nop)  ENV {variable}"}]
    assert judged(module("trader"), history=history) == {LEAK: "step 2"}
    run = [{"created_by": f'RUN |2 VERSION=1 {name}="{value}" /bin/sh -c make'}]
    assert judged(module("trader"), history=run) == {LEAK: "step 1"}
    assert judged(module("trader"), Env=plain) == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("app/settings.toml", f'[binance]\nsecret = "{SECRET}"\n'.encode()),
        ("app/notes", f"export BETATRADER_BINANCE__SECRET={SECRET}\n".encode()),
        ("app/key", PEM),
        ("etc/betatrader/it", PEM),
        ("etc/environment", b"REDIS_URL=redis://jobs:planted-password@redis:6379\n"),
        ("tmp/left", b'{"passphrase": "planted-passphrase"}'),
        (f"{SITE}/betatrader/data/x.json", b'{"api_secret": "planted-secret"}'),
    ],
)
def test_a_secret_in_a_text_of_any_layer(judged: Judge, name: str, content: bytes) -> None:
    planted = {name: (content, 0o644)}
    assert judged(module("trader"), planted) == {LEAK: f"/{name}"}
    folder, _, last = name.rpartition("/")
    gone = {f"{folder}/.wh.{last}": (b"", 0o644)}
    assert judged(module("trader"), planted, gone) == {LEAK: f"/{name}"}, "it can be unpacked"


def test_what_only_speaks_of_secrets_is_none(judged: Judge) -> None:
    """Our own texts, and such as a base has of its own."""
    certificate = b"-----BEGIN CERTIFICATE-----\n" + b"n" * 43 + b"=\n-----END CERTIFICATE-----\n"
    base = {
        "etc/nsswitch.conf": (b"passwd:         files systemd\n", 0o644),
        "etc/debconf.conf": (b"#BindPasswd: secret\nReject-Type: password\n", 0o644),
        "etc/ssl/openssl.cnf": (b"# input_password = secret\nsecret = $insta::secret\n", 0o644),
        "etc/ssl/certs/ca-certificates.crt": (certificate, 0o644),
        "app/redis-server": ((PROJECT / "scripts/redis-server").read_bytes(), 0o755),
    }
    steps = (PROJECT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    pulled = 'RUN set -eux; gpg --recv-keys "$GPG_KEY"; PASSWORD=$(cat /run/it) make; rm -rf x'
    history = [{"created_by": step} for step in (*steps, pulled)]
    env = ["GIT_REVISION=" + "ab" * 20, "PYTHON_SHA256=" + "5e" * 32]
    assert judged(module("trader"), base, history=history, Env=env) == {}


def test_sources_without_bytecode_or_with_stale_bytecode(judged: Judge) -> None:
    absent, stale = module("absent", stamp=None), module("stale", stamp=999_999_999)
    problem = judged(module("right") | absent | stale)["bytecode of everything that is imported"]
    assert problem == f"/{SITE}/absent.py (none), /{SITE}/stale.py (stale)"


def test_files_that_all_may_write(judged: Judge) -> None:
    problems = judged({"app/open": (b"", 0o666), "app/shut": (b"", 0o644)})
    assert problems == {"nothing that all may write": "/app/open"}


def test_every_documented_build_names_all_that_the_image_is_told_of_itself() -> None:
    """What the Dockerfile leaves "unknown" is what a label says where a build names it not."""
    dockerfile = (PROJECT / "Dockerfile").read_text()
    wanted = set(re.findall(r"^ARG (\w+)=unknown$", dockerfile, re.MULTILINE))
    assert "GIT_REVISION" in wanted
    texts = [path.read_text().replace("\\\n", " ") for path in (PROJECT / "docs").glob("*.md")]
    lines = [line for text in texts for line in text.splitlines() if "--build-only" in line]
    builds = [line for line in lines if "--image " not in line]  # that only looks one up
    assert len(builds) >= 2
    for line in builds:
        assert set(re.findall(r"--build-arg (\w+)=\S", line)) == wanted, line
    asked = (PROJECT / "scripts/image").read_text()
    assert [name for name in wanted if f'"{name}": ' not in asked] == []
