"""What we ask of a fly configuration beyond what fly asks.

Each rule is a function of one app's file: it yields where, and what is wrong with how to mend it.
The reasons stand at the rules; docs/image.md tells them at length.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from betatrader.ops import owners
from betatrader.release.fly_files_keys import megabytes, seconds
from betatrader.roles import ROLES
from betatrader.roles.service import DRAIN_S, LAST_ALERTS_S, PORTS

Found = dict[str, Any]
Wrong = Iterator[tuple[tuple[str | int, ...], str]]

DASHBOARD = "betatrader.dashboard"
"""The package that has the command; a version without it has none to run."""

REDIS_PORT = 6379
REDIS = "/app/redis-server"
"""The program in the image that runs the durable Redis."""

REDIS_STOPS_S = 10.0
"""What the server gives its clients before it ends (`--shutdown-timeout`)."""

SPARE_S = 5.0
"""Left after the drain, before the machine is killed: fly calls its own timeout best effort."""

PEAK_MB = {"trading": 67, "intel": 90, "jobs": 47, "redis": 140}
"""The most that each has been seen to hold resident (docs/speed.md); Redis: what it is given."""

SYSTEM_MB = 64
"""For the machine's own system."""


def least_mb(app: str) -> int:
    """The memory that an app's machine needs: three times its peak and the system, in what fly
    sells; Redis holds its limit once, and while it rewrites its file the swap takes the copies."""
    peak = PEAK_MB.get(app, 0)
    needed = (peak if app == "redis" else 3 * peak) + SYSTEM_MB
    return next(size for size in (256, 512, 1024, 2048) if size >= needed)


SMALL_MB = 512
SWAP_MB = 256

_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|MNEMONIC|WEBHOOK|(?:^|_)KEY(?:$|_)|REDIS_URL"
)
_FORM = r"://[^/@\s]*:[^/@\s]+@|-----BEGIN|\bFlyV1 "
_UNMISTAKABLE = re.compile(_FORM)
_SECRET_VALUE = re.compile(rf"{_FORM}|\b(?:0x)?[0-9a-fA-F]{{64}}\b")
"""A private key, and a market's id on Polymarket, too: where the name is known, it decides."""


def alone(found: Found) -> list[tuple[tuple[str | int, ...], str]]:
    """What is wrong with one file whose keys and values are known to be fly's."""
    return [problem for rule in RULES for problem in rule(found)]


def app_of(found: Found) -> str:
    """Which of ours this is: a role, "redis", "dashboard", or "" for none."""
    command = " ".join(found.get("processes", {}).values()).split()
    if found.get("experimental", {}).get("entrypoint") == [REDIS]:
        return "redis"
    if command[:1] == ["dashboard"]:
        return "dashboard"
    for flag, role in pairwise(command):
        if flag == "--role" and role in ROLES:
            return role
    return ""


def tables(found: Found, key: str) -> list[Found]:
    """An array of tables, also where fly lets a single table stand for one."""
    value = found.get(key, [])
    return [value] if isinstance(value, dict) else list(value)


def one_group(found: Found) -> Wrong:
    """Without the block, or with several groups, flyctl has doubled a fleet at each deploy."""
    groups = list(found.get("processes", {}))
    if groups != ["app"]:
        shown = ", ".join(groups) or "none"
        yield ("processes",), f"expected exactly one process group, `app`, found {shown}"
    elif not app_of(found):
        command = found["processes"]["app"]
        yield (
            ("processes", "app"),
            f'expected "--role {"|".join(ROLES)}", or {REDIS} as entrypoint, found {command!r}',
        )
    elif app_of(found) == "dashboard" and find_spec(DASHBOARD) is None:
        yield ("processes", "app"), "`betatrader dashboard` is not in this version: no app runs it"


def groups_exist(found: Found) -> Wrong:
    """A section for a group that is not there applies to nothing, silently."""
    for key in ("vm", "metrics", "restart", "mounts"):
        for index, table in enumerate(tables(found, key)):
            for group in table.get("processes", ["app"]):
                if group != "app":
                    yield (key, index, "processes"), f"there is no process group `{group}`"
    for name, check in found.get("checks", {}).items():
        for group in check.get("processes", ["app"]):
            if group != "app":
                yield ("checks", name, "processes"), f"there is no process group `{group}`"


def strategy(found: Found) -> Wrong:
    """What each way of deploying needs, and which ways would start two of a kind unseen."""
    chosen = found.get("deploy", {}).get("strategy")
    where = ("deploy", "strategy")
    if chosen is None:
        yield ("deploy",), "the key `strategy` is missing: say how a release replaces a machine"
        return
    if chosen == "bluegreen" and not found.get("checks"):
        yield where, "bluegreen takes over without a look: give the app a [checks.…] table"
    if chosen in ("bluegreen", "canary") and found.get("mounts"):
        yield where, f"{chosen} cannot share a volume: use rolling, or take [mounts] out"
    if chosen == "canary":
        yield where, "canary starts a third machine for a minute: use bluegreen"
    if chosen == "rolling" and app_of(found) == "trading":
        yield where, "rolling leaves the trader away until its machine is back: use bluegreen"
    if chosen == "bluegreen" and found.get("machine_checks"):
        yield ("machine_checks",), "fly runs no machine checks in a bluegreen deploy"


def stops_in_time(found: Found) -> Wrong:
    """The default signal is documented in two ways, and the default patience is five seconds."""
    if found.get("kill_signal") != "SIGTERM":
        yield ("kill_signal",), 'expected "SIGTERM", the signal that drains'
    drain = REDIS_STOPS_S if app_of(found) == "redis" else DRAIN_S + LAST_ALERTS_S
    given = seconds(found.get("kill_timeout", "5s")) or 0.0
    if given < drain + SPARE_S:
        yield (
            ("kill_timeout",),
            f"{given:g} s do not cover the drain of {drain:g} s: give {drain + SPARE_S:g}s or more",
        )


def comes_back(found: Found) -> Wrong:
    """on-failure, the default, gives up after ten tries in five minutes and stays down."""
    if [table["policy"] for table in tables(found, "restart")] != ["always"]:
        yield ("restart",), 'expected one [[restart]] with policy = "always"'


def watched(found: Found) -> Wrong:
    """Each role on its real endpoints, which no other may use."""
    app = app_of(found)
    checks = found.get("checks", {})
    if app in PORTS:
        port = PORTS[app]
        for name, check in checks.items():
            if (check["type"], check["port"], check.get("path")) != ("http", port, "/readyz"):
                yield ("checks", name), f"expected type http, port {port}, path /readyz"
        scraped = [(it["port"], it.get("path", "/metrics")) for it in tables(found, "metrics")]
        if scraped != [(port, "/metrics")]:
            yield ("metrics",), f"expected one [[metrics]] with port {port} and path /metrics"
    asked = [(check["type"], check["port"]) for check in checks.values()]
    if app == "redis" and asked != [("tcp", REDIS_PORT)]:
        yield ("checks",), f"expected one check, type tcp, port {REDIS_PORT}"
    for name, check in checks.items():
        for key in ("interval", "timeout", "grace_period"):
            if key not in check:
                yield ("checks", name), f"the key `{key}` is missing"
    if app and not checks:
        yield ("checks",), "the app has no health check, so that no deploy waits for it"


def private(found: Found) -> Wrong:
    """A service gives an app public addresses, and lets the proxy stop its machines."""
    for key in ("http_service", "services"):
        if key not in found:
            continue
        if app_of(found) != "dashboard" or key == "services":
            yield (key,), "opens a public port; only the dashboard's app may have [http_service]"
            continue
        if found[key].get("force_https") is not True:
            yield (key,), "the dashboard is reached through TLS alone: set force_https = true"
        if found[key].get("auto_stop_machines") not in ("off", False):
            yield (key,), 'the proxy may stop the machine: set auto_stop_machines = "off"'


def no_secrets(found: Found) -> Wrong:
    """This file is in the repository, and in the image's history."""
    mend = "is a secret: take it out, and give it by `betatrader release secrets set`"
    for name, value in found.get("env", {}).items():
        if name.startswith("FLY_"):
            yield ("env", name), "names that begin with FLY_ are fly's own"
        if _is_secret(name.upper(), value):
            yield ("env", name), mend
    for name, check in found.get("checks", {}).items():
        for header, value in check.get("headers", {}).items():
            if header.lower() in ("authorization", "cookie") or _SECRET_VALUE.search(value):
                yield ("checks", name, "headers"), f"the header {header} {mend}"
    for index, file in enumerate(tables(found, "files")):
        if _SECRET_VALUE.search(file.get("raw_value", "")):
            yield ("files", index, "raw_value"), mend


def _is_secret(name: str, value: str) -> bool:
    """By the name where it is a setting of ours, else by what name and value look like."""
    if name in owners.secret_variables():
        return True
    if name in owners.plain_variables():
        return _UNMISTAKABLE.search(value) is not None
    return (_SECRET_NAME.search(name) or _SECRET_VALUE.search(value)) is not None


def one_machine(found: Found) -> Wrong:
    """One block says what a machine is; without it a scale to zero and back forgets the size."""
    machines = tables(found, "vm")
    if len(machines) != 1:
        yield ("vm",), f"expected one [[vm]], found {len(machines)}"
        return
    machine = machines[0]
    kind, cpus = processor(machine)
    given = memory(machine) or 0
    step, most = (256, 2048) if kind == "shared" else (2048, 8192)
    if given % step or not step * cpus <= given <= most * cpus:
        yield (
            ("vm", 0, "memory"),
            f"{kind} with {cpus} CPU takes {step * cpus} to {most * cpus} MB in steps of {step}, "
            f"found {given}",
        )
    least = least_mb(app_of(found))
    if given < least:
        yield ("vm", 0, "memory"), f"this app needs {least} MB, found {given}"
    if given <= SMALL_MB and found.get("swap_size_mb", 0) < SWAP_MB:
        yield ("swap_size_mb",), f"{given} MB of memory go with {SWAP_MB} MB of swap or more"


def processor(machine: Found) -> tuple[str, int]:
    """A machine's kind of processor and how many: the size, then what overrides it."""
    size = machine.get("size", "shared-cpu-1x")
    kind, number = size.removesuffix("x").replace("-cpu-", "-").rsplit("-", 1)
    return machine.get("cpu_kind", kind), machine.get("cpus", int(number))


def memory(machine: Found) -> int | None:
    """A machine's memory in MB, None where that is no amount: of two, fly takes `memory_mb`."""
    return megabytes(machine.get("memory_mb") or machine.get("memory", 0))


def image_from_outside(found: Found) -> Wrong:
    """All apps run the one image that the release names."""
    if "build" in found:
        yield ("build",), "the image is named by the release, never here: take [build] out"
    command = found.get("deploy", {}).get("release_command", "")
    if "--role" in command:
        yield ("deploy", "release_command"), "would start a role in a machine of its own"
    experimental = found.get("experimental", {})
    if app_of(found) != "redis" and {"entrypoint", "exec", "cmd"} & set(experimental):
        yield ("experimental",), "the image's own entrypoint runs the roles: take this out"


def keeps_nothing(found: Found) -> Wrong:
    """Only Redis has a disk: what trades is replaced, not moved."""
    mounts = tables(found, "mounts")
    if app_of(found) != "redis":
        if mounts:
            yield ("mounts",), "ties the app to one host: its state is in Redis and at the venue"
        return
    if found.get("env", {}).get("REDIS_EVICTS") == "yes":
        if mounts:
            yield ("mounts",), "a cache that evicts keeps nothing: take [mounts] out"
        return
    folder = found.get("processes", {}).get("app")
    if [mount["destination"] for mount in mounts] != [folder]:
        yield ("mounts",), f"expected one volume at {folder}, where the server writes"
    for index, mount in enumerate(mounts):
        for key in ("source", "initial_size"):
            if key not in mount:
                yield ("mounts", index), f"the key `{key}` is missing"


def durable_trading(found: Found) -> Wrong:
    """A fly machine keeps no disk, and a deploy runs two traders side by side for a while."""
    if app_of(found) != "trading":
        return
    for name, value in (
        ("BETATRADER_LEASE__MODE", "strict"),
        ("BETATRADER_JOURNAL__DURABILITY", "shipped"),
    ):
        if found.get("env", {}).get(name) != value:
            yield ("env",), f'expected {name} = "{value}"'


def has_region(found: Found) -> Wrong:
    """Without one, a machine starts wherever whoever deploys happens to be near."""
    if "primary_region" not in found:
        yield ("primary_region",), "the key is missing: name the region of the main venue"


RULES: tuple[Callable[[Found], Wrong], ...] = (
    one_group,
    groups_exist,
    has_region,
    strategy,
    stops_in_time,
    comes_back,
    watched,
    private,
    no_secrets,
    one_machine,
    image_from_outside,
    keeps_nothing,
    durable_trading,
)


def together(files: Mapping[str, Found]) -> list[tuple[str, str]]:
    """What is wrong between the files of one setup, by file name ("" for the folder)."""
    problems: list[tuple[str, str]] = []
    apps: dict[str, str] = {}
    for name, found in files.items():
        app = found["app"]
        if app in apps:
            problems.append((name, f"app {app!r} is also that of {PurePath(apps[app]).name}"))
        apps.setdefault(app, name)
    traders = [name for name, found in files.items() if app_of(found) == "trading"]
    regions = [files[name].get("primary_region") for name in traders]
    for name, region in zip(traders, regions, strict=True):
        if regions.index(region) != traders.index(name):
            problems.append((name, f"region {region!r} has a trader already: one trader a region"))
    if traders:
        near = {files[name].get("primary_region") for name in traders}
        for name, found in files.items():
            if app_of(found) == "redis" and found.get("primary_region") not in near:
                problems.append(
                    (name, f"Redis stands in {found.get('primary_region')}, no trader does")
                )
    return problems


def complete(files: Mapping[str, Found]) -> list[tuple[str, str]]:
    """What a setup lacks; only worth asking where every file could be read."""
    kept = [it for it in files.values() if it.get("env", {}).get("REDIS_EVICTS") != "yes"]
    there = {app_of(found) for found in kept}
    return [("", f"no file runs {app}") for app in (*ROLES, "redis") if app not in there]
