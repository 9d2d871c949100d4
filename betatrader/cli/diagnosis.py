"""`doctor`: what could stand in the way, each with its remedy."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from betatrader.cli.output import json_option, print_json, print_table
from betatrader.model.errors import BetatraderError

OLDEST_PYTHON = (3, 11)
DISK_FAIL_MB, DISK_WARN_MB = 50, 500
MEMORY_FAIL_MB, MEMORY_WARN_MB = 128, 400
SKEW_WARN_S = 1.0


class Finding(NamedTuple):
    """One check: ok, warn or fail; what was found, and the remedy where it is not ok."""

    check: str
    verdict: str
    found: str
    remedy: str = ""


@click.command()
@click.option(
    "--venue",
    type=click.Choice(["binance", "polymarket"]),
    help="Check keys, clock, region and balance there instead; nothing is ordered.",
)
@json_option
@click.pass_context
def doctor(context: click.Context, venue: str | None, as_json: bool) -> None:
    """Check Python, Redis, clock, models, disk and memory; each ok, warn or fail.

    \b
    Examples:
      betatrader doctor
      betatrader doctor --venue binance
    """
    findings = _at(venue) if venue else list(_examine())
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        colours = {"ok": "green", "warn": "yellow", "fail": "red"}
        rows = [
            (click.style(f.verdict, colours[f.verdict]), f.check, f.found, f.remedy)
            for f in findings
        ]
        print_table(("", "check", "found", "remedy"), rows, "")
    if any(finding.verdict == "fail" for finding in findings):
        context.exit(1)


def _examine() -> Iterator[Finding]:
    for check in (_python, _configuration, _redis, _models, _data, _disk, _memory, _port):
        yield from _guarded(check)


def _at(venue: str) -> list[Finding]:
    """What can be asked of a venue with no order."""
    from betatrader.cli.setup import run
    from betatrader.config import find_file, load
    from betatrader.ops.home import default_home

    config = load(find_file(None, default_home())).config
    steps = run(config, venue, order=False, show=False)
    return [Finding(step["name"], step["verdict"], step["found"], step["remedy"]) for step in steps]


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except BetatraderError as error:
        what, _, remedy = str(error).partition("\n")
        yield Finding(check.__name__.strip("_"), "fail", what, remedy)


def _python() -> Iterator[Finding]:
    text = sys.version.split()[0]
    good = sys.version_info >= OLDEST_PYTHON
    yield Finding("python", "ok" if good else "fail", text, "" if good else "install 3.11 or newer")


def _configuration() -> Iterator[Finding]:
    from betatrader.config import find_file, load
    from betatrader.ops.home import default_home

    path = find_file(None, default_home())
    mode = load(path).config.mode
    yield Finding("configuration", "ok", f"{path or 'defaults'}, mode {mode}")


def _redis() -> Iterator[Finding]:
    from betatrader.ops import embedded_redis, home

    url = os.environ.get("REDIS_URL")
    run = None if url else home.find_run()
    if not url and run is None:
        yield Finding(
            "redis", "ok", f"{embedded_redis.version()} at {embedded_redis.binary()}, not running"
        )
        return
    yield from asyncio.run(_ask_redis(url or (run.redis_url if run else "")))


async def _ask_redis(url: str) -> list[Finding]:
    from betatrader.model.secret import without_password
    from betatrader.store.connection import connected

    async with connected(url, 2.0) as redis:
        before = time.time()
        seconds, micros = await redis.time()
        skew = (seconds + micros / 1e6) - (before + time.time()) / 2
        info = await redis.info()
    version = info.get("valkey_version") or info["redis_version"]
    policy = info.get("maxmemory_policy", "noeviction")
    used = info["used_memory"] / 2**20
    keeps = policy == "noeviction"
    remedy = "" if keeps else "set maxmemory-policy noeviction: any other may delete a stream"
    skewed = abs(skew) > SKEW_WARN_S
    return [
        Finding("redis", "ok", f"{version} at {without_password(url)}, {used:.0f} MB used"),
        Finding("redis eviction", "ok" if keeps else "fail", policy, remedy),
        Finding(
            "clock skew to redis",
            "warn" if skewed else "ok",
            f"{skew * 1000:+.0f} ms",
            "set the clock (chrony, systemd-timesyncd)" if skewed else "",
        ),
    ]


def _models() -> Iterator[Finding]:
    from betatrader.config import find_file, load
    from betatrader.intel import repository
    from betatrader.ops.home import default_home

    folder = repository.folder(load(find_file(None, default_home())).config.intel.models)
    names = [f"{m.name}-{m.version}" for m in repository.load(folder).models]
    yield Finding("models", "ok", f"{', '.join(names)} in {folder}")


def _data() -> Iterator[Finding]:
    from betatrader.roles.feeds import excerpt
    from betatrader.store import segment

    header = segment.read_header(excerpt())
    yield Finding("packaged data", "ok", f"{header.events} events, {header.source}")


def _disk() -> Iterator[Finding]:
    from betatrader.ops.home import default_home

    folder = default_home()
    if folder.exists() and not folder.is_dir():
        yield Finding("home", "fail", f"{folder} is no folder", "choose another: BETATRADER_HOME")
        return
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free // 2**20
    verdict = "fail" if free < DISK_FAIL_MB else "warn" if free < DISK_WARN_MB else "ok"
    writable = os.access(folder, os.W_OK)
    remedy = "free some space" if verdict != "ok" else ""
    yield Finding("disk", verdict, f"{free} MB free at {folder}", remedy)
    if not writable:
        yield Finding("home", "fail", f"{folder} is read-only", "choose another: BETATRADER_HOME")


def _memory() -> Iterator[Finding]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return
    free = int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) // 1024
    verdict = "fail" if free < MEMORY_FAIL_MB else "warn" if free < MEMORY_WARN_MB else "ok"
    remedy = "the three roles and the server need about 250 MB" if verdict != "ok" else ""
    yield Finding("memory", verdict, f"{free} MB available", remedy)


def _port() -> Iterator[Finding]:
    from betatrader.ops.health import PortInUse, bind
    from betatrader.roles.service import PORTS

    for role, port in PORTS.items():
        try:
            for link in bind(port, everywhere=False):
                link.close()
        except PortInUse as error:
            yield Finding(f"port {role}", "warn", str(error).splitlines()[0], "set [health] port")
        else:
            yield Finding(f"port {role}", "ok", f"{port} is free")
