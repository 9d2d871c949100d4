"""A stand-in for the `fly` command, for tests: flyctl's commands, flags and JSON, with real state.

Everything is kept in the folder that FLY_STAND_IN names. With `real` in its state it runs each
machine as a process of this project (on this host: ports and `.internal` names are mapped); else it
plays the machines, and writes the heartbeat and the lease that they would write. `faults` fail as
fly does: each is used once, for the command and the app that it names.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(os.environ["FLY_STAND_IN"])
PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
WAIT_S = 40.0
STAGED = (
    "Secrets have been staged, but not set on VMs. Deploy or update machines in this app for the "
    "secrets to take effect."
)
RESTARTS = 10


class Failed(Exception):  # noqa: N818  what flyctl did
    """One line, as flyctl ends."""


class NoApp(Failed):
    """There is no app of this name; each command says so in words of its own."""

    def told(self, path: tuple[str, ...]) -> str:
        """As flyctl at this command: its lists ask the machines' API, others the older one."""
        name = self.args[0]
        older = f'Could not find App "{name}"'
        return {
            ("machine", "list"): "failed to list VMs: app not found",
            ("secrets", "list"): "failed to list app secrets: app not found",
            ("scale", "count"): "failed to list VMs: app not found",
            ("deploy",): f"the app name {name} could not be found, did you create the app or "
            "misspell it in the fly.toml file or via -a?",
        }.get(path, older)


@contextlib.contextmanager
def state() -> Iterator[dict[str, Any]]:
    """What there is, held alone, and written back."""
    with (HERE / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        path = HERE / "state.json"
        found = json.loads(path.read_text())
        yield found
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1))
        part.replace(path)


def app_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    if name not in found["apps"]:
        raise NoApp(name)
    return found["apps"][name]  # type: ignore[no-any-return]


def fault(command: str, app: str) -> str:
    """The fault that is planned for this command, used up by being asked for."""
    with state() as found:
        for one in found["faults"]:
            if one["command"] == command and one.get("app", app) == app:
                found["faults"].remove(one)
                return str(one["kind"])
    return ""


def free_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


# --- machines


def make_machine(app: str, image: str, config: dict[str, Any]) -> dict[str, Any]:
    with state() as found:
        entry = found["registry"][image]
        here = app_of(found, app)
        for secret in here["secrets"].values():
            secret["status"] = "Deployed"
        applied = {name: secret["value"] for name, secret in here["secrets"].items()}
        here["born"] = here.get("born", 0) + 1
        number = here["born"]
    registry, _, rest = image.partition("/")
    repository, _, tag = rest.rpartition(":")
    return {
        "id": secrets.token_hex(7),
        "name": f"{app}-{number}",
        "state": "created",
        "region": config.get("primary_region", "iad"),
        "image_ref": {
            "registry": registry,
            "repository": repository,
            "tag": tag,
            "digest": entry["digest"],
        },
        "instance_id": secrets.token_hex(13).upper(),
        "private_ip": "fdaa::1",
        "created_at": f"2026-11-23T12:00:{number:02d}Z",
        "host_status": "ok",
        "cordoned": False,
        "_image": image,
        "_config": config,
        "_secrets": applied,
        "_port": free_port(),
        "_pid": 0,
        "_restarts": 0,
    }


def launch(app: str, machine: dict[str, Any]) -> None:
    """Start what the machine runs."""
    machine["state"] = "started"
    with state() as found:
        real, entry = found["real"], found["registry"][machine["_image"]]
        redis = found["apps"].get(found["redis"], {}).get("machines", [])
        ports = {f"{found['redis']}.internal": m["_port"] for m in redis}
    if not real:
        play(app, machine, entry)
        return
    root = HERE / "machines" / machine["id"]
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / "app").write_text(app)
    config = machine["_config"]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": entry["tree"],
        "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", "/tmp"),
        "GIT_REVISION": entry["revision"],
        "BETATRADER_HOME": str(root / "home"),
        "BETATRADER_HEALTH__PORT": str(machine["_port"]),
        **config.get("env", {}),
        **{name: mapped(value, ports) for name, value in machine["_secrets"].items()},
        "FLY_APP_NAME": app,
        "FLY_MACHINE_ID": machine["id"],
        "FLY_REGION": machine["region"],
        "FLY_IMAGE_REF": machine["_image"],
        "FLY_PROCESS_GROUP": "app",
        "PRIMARY_REGION": machine["region"],
        **entry.get("env", {}),
    }
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(
            command_of(app, machine, entry, environment),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    machine["_pid"] = process.pid


def command_of(
    app: str, machine: dict[str, Any], entry: dict[str, Any], environment: dict[str, str]
) -> list[str]:
    config = machine["_config"]
    words = config["processes"]["app"].split()
    if "experimental" not in config:
        return [sys.executable, "-m", "betatrader", *words]
    data = HERE / "volumes" / app
    data.mkdir(parents=True, exist_ok=True)
    script = Path(entry["tree"]) / "scripts/redis-server"
    environment |= {"REDIS_PORT": str(machine["_port"])}
    if "betatrader.store.acl" in script.read_text():
        # where tests run as root, the user that it would become has no way to this folder
        return ["sh", "-c", f'id() {{ echo 10001; }}; set -- "{data}"; . "{script}"']
    return own_redis(data, environment)


def own_redis(data: Path, environment: dict[str, str]) -> list[str]:
    """A server with a user a role, where the image's script has one password for all."""
    from betatrader.ops.embedded_redis import binary

    prefix = "BETATRADER_REDIS_PASSWORD_"
    users = [
        f"user {name.removeprefix(prefix).lower()} on >{value} ~* &* +@all\n"
        for name, value in environment.items()
        if name.startswith(prefix)
    ]
    acl = data / "users.acl"
    acl.write_text("user default off\n" + "".join(users))
    return [
        *(str(binary()), "--port", environment["REDIS_PORT"], "--bind", "127.0.0.1"),
        *("--protected-mode", "no", "--aclfile", str(acl), "--dir", str(data)),
        *("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"),
    ]


def mapped(value: str, ports: dict[str, int]) -> str:
    """fly's private names are this host's ports."""
    for name, port in ports.items():
        value = re.sub(rf"{re.escape(name)}:\d+", f"127.0.0.1:{port}", value)
    return value


def play(app: str, machine: dict[str, Any], entry: dict[str, Any]) -> None:
    """What the role on this machine would write to Redis."""
    role = machine["_config"]["processes"]["app"].removeprefix("--role ")
    url = os.environ.get("REDIS_URL")
    if (
        url is None
        or role not in ("trading", "intel", "jobs")
        or entry.get("broken", "") in ("all", role)
    ):
        return
    import redis

    from betatrader.store import keys

    with (
        contextlib.suppress(redis.RedisError),
        redis.Redis.from_url(url, socket_timeout=1) as client,
    ):
        client.delete(keys.beat(role))
        beat = {
            "pid": "1",
            "port": str(machine["_port"]),
            "instance": f"{role}-{machine['id']}",
            "version": "0",
            "revision": entry["revision"],
            "ready_ms": "1",
            "not_ready": "",
            "machine": machine["id"],
            "image": machine["_image"],
            "reads": entry.get("reads", "1 1"),
            "errors": str(entry.get("errors", 0) if role == "trading" else 0),
            "leads": "1",
            "reconciling": "0",
            "unexplained": str(entry.get("unexplained", 0)),
        }
        client.hset(keys.beat(role), mapping=beat)
        if role == "trading":
            client.hset(keys.LEASE, "holder", f"{machine['id']} 1 ab")


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def halt(machine: dict[str, Any]) -> None:
    """The kill signal, then the end of the machine."""
    pid = machine["_pid"]
    if pid and alive(pid):
        os.kill(pid, signal.SIGTERM)
        limit = int(str(machine["_config"].get("kill_timeout", "5")).removesuffix("s"))
        deadline = time.monotonic() + limit
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    machine["state"] = "stopped"


def checks(machine: dict[str, Any], *, real: bool, broken: bool) -> list[dict[str, str]]:
    found = []
    for name, check in machine["_config"].get("checks", {}).items():
        passing = machine["state"] == "started" and (
            answers(machine["_port"], check) if real else not broken
        )
        found.append({"name": name, "status": "passing" if passing else "critical", "output": ""})
    return found


def answers(port: int, check: dict[str, Any]) -> bool:
    import urllib.error
    import urllib.request

    try:
        if check["type"] == "tcp":
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{check['path']}", timeout=1) as got:
            return bool(200 <= got.status < 300)
    except (OSError, urllib.error.URLError):
        return False


def shown(found: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    role = machine["_config"]["processes"]["app"].removeprefix("--role ")
    broken = found["registry"][machine["_image"]].get("broken", "") in ("all", role)
    public = {name: value for name, value in machine.items() if not name.startswith("_")}
    config = {"image": machine["_image"], "env": machine["_config"].get("env", {})}
    listed = checks(machine, real=found["real"], broken=broken)
    return {**public, "config": config, "checks": listed}


def look(app: str) -> list[dict[str, Any]]:
    """The machines of an app; what has ended is started again, as its restart policy says."""
    with state() as found:
        machines = app_of(found, app)["machines"]
        real = found["real"]
    for machine in machines:
        ended = real and machine["state"] == "started" and not alive(machine["_pid"])
        if ended and machine["_restarts"] < RESTARTS:
            machine["_restarts"] += 1
            launch(app, machine)
            keep(app, machine)
    with state() as found:
        return [shown(found, machine) for machine in app_of(found, app)["machines"]]


def keep(app: str, machine: dict[str, Any]) -> None:
    with state() as found:
        here = app_of(found, app)["machines"]
        here[:] = [m for m in here if m["id"] != machine["id"]] + [machine]


def forget(app: str, machine: dict[str, Any]) -> None:
    with state() as found:
        here = app_of(found, app)["machines"]
        here[:] = [m for m in here if m["id"] != machine["id"]]
        left = [m for m in here if m["state"] == "started"] if not found["real"] else []
        entries = found["registry"]
    for one in left:  # a standby takes the lease
        play(app, one, entries[one["_image"]])


def healthy(app: str, machine: str) -> bool:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        one = next(m for m in look(app) if m["id"] == machine)
        if one["checks"] and all(c["status"] == "passing" for c in one["checks"]):
            return True
        with state() as found:
            kept = next(m for m in app_of(found, app)["machines"] if m["id"] == machine)
            if not found["real"] or kept["_restarts"] >= 2:
                return False
        time.sleep(0.2)
    return False


# --- commands


def deploy(args: argparse.Namespace) -> None:
    config = tomllib.loads(Path(args.config).read_text()) if args.config else {}
    app = args.app or config["app"]
    with state() as found:
        app_of(found, app)
    if args.build_only and not args.image:
        build(app, args)
        return
    if not args.image:
        raise Failed("failed to fetch an image or build from source: no image, and no builder here")
    with state() as found:
        known = args.image in found["registry"]
        if args.image in found.get("docker", {}) and not args.remote_only:
            known, args.image = True, pushed(found, app, args.image, build_only=args.build_only)
    if not known:
        text = f'failed to fetch an image or build from source: could not find image "{args.image}"'
        raise Failed(text)
    if args.build_only:
        print(f"Searching for image '{args.image}' remotely...\nimage found", file=sys.stderr)
        return
    kind = fault("deploy", app)
    if kind == "registry":
        raise Failed("failed to get manifest: MANIFEST_UNKNOWN")
    if kind == "api":
        raise Failed("failed to list machines: request returned non-2xx status: 503")
    strategy = args.strategy or config.get("deploy", {}).get("strategy", "rolling")
    if strategy == "bluegreen" and not config.get("checks"):
        raise Failed("the bluegreen strategy needs at least one health check")
    if strategy == "bluegreen" and config.get("mounts"):
        raise Failed("the bluegreen strategy does not support volumes")
    print(
        f"==> Verifying app config\nWatch your deployment at https://fly.io/apps/{app}/monitoring"
    )
    with state() as found:
        machines = list(app_of(found, app)["machines"])
    blues = [m for m in machines if m["state"] == "started"]
    if len({m["_image"] for m in blues}) > 1 and strategy == "bluegreen":
        raise Failed("found multiple image versions; destroy the stale machines first")
    if strategy == "bluegreen" and blues:
        bluegreen(app, args.image, config, blues, kind)
    else:
        in_place(app, args.image, config, machines, wait=strategy != "immediate", kind=kind)
    note(app, args.image, config=config)
    if os.environ.get("FLY_EMIT_RELEASE_JSON"):
        print(json.dumps({"id": "r", "version": 1, "image_ref": args.image}))


def pushed(found: dict[str, Any], app: str, image: str, *, build_only: bool) -> str:
    """This machine's own image comes first; it gets to the registry under a tag of fly's making."""
    if build_only:
        return image
    made = f"registry.fly.io/{app}:deployment-{secrets.token_hex(13).upper()}"
    found["registry"][made] = found["docker"][image]
    return made


def bluegreen(
    app: str, image: str, config: dict[str, Any], blues: list[dict[str, Any]], kind: str
) -> None:
    greens = [make_machine(app, image, config) for _ in blues]
    print("Creating green machines")
    for green in greens:
        launch(app, green)
        keep(app, green)
        print(f"  Created machine {green['id']} [app]")
    if kind in ("slow", "hangs"):
        time.sleep(30 if kind == "hangs" else 5)
    if not all(healthy(app, green["id"]) for green in greens):
        for green in greens:
            halt(green)
            forget(app, green)
        note(app, image, "failed")
        raise Failed("could not get all green machines to be healthy")
    if kind == "abort":
        raise Failed("failed to uncordon machine: request returned non-2xx status: 500")
    print("Marking green machines as ready")
    if kind == "destroyed":
        for machine in (*greens, *blues):
            halt(machine)
            forget(app, machine)
        return
    for blue in blues:
        if kind == "hanging":
            print(f"Failed to destroy blue machines ({blue['id']})", file=sys.stderr)
            continue
        print(f"Stopping all blue machines\n  Machine {blue['id']} [app]")
        halt(blue)
        forget(app, blue)
    if kind == "duplicate":
        twin = make_machine(app, image, config)
        launch(app, twin)
        keep(app, twin)


def in_place(
    app: str,
    image: str,
    config: dict[str, Any],
    machines: list[dict[str, Any]],
    *,
    wait: bool,
    kind: str,
) -> None:
    for old in machines or [None]:
        replace(app, image, config, old, wait=wait, kind=kind)


def replace(
    app: str,
    image: str,
    config: dict[str, Any],
    old: dict[str, Any] | None,
    *,
    wait: bool,
    kind: str,
) -> None:
    new = make_machine(app, image, config)
    if old is not None:
        new["id"], new["_port"] = old["id"], old["_port"]
        halt(old)
    if kind == "stuck":
        new["state"] = "replacing"
        keep(app, new)
        raise Failed(f"timed out waiting for machine {new['id']} to reach started state")
    launch(app, new)
    keep(app, new)
    print(f"Updating machine {new['id']}")
    if wait and not healthy(app, new["id"]):
        note(app, image, "failed")
        raise Failed(f"timeout reached waiting for health checks to pass for machine {new['id']}")


def note(
    app: str, image: str, status: str = "complete", config: dict[str, Any] | None = None
) -> None:
    with state() as found:
        kept = app_of(found, app)["releases"]
        if config is not None:
            found["apps"][app]["last"] = {"image": image, "config": config}
        kept.append({"Version": len(kept) + 1, "Status": status, "ImageRef": image})


def build(app: str, args: argparse.Namespace) -> None:
    if not args.image_label or not args.push:
        raise Failed("in tests an image is built to be pushed under a label")
    ref = f"registry.fly.io/{app}:{args.image_label}"
    given = dict(pair.partition("=")[::2] for pair in args.build_arg)
    with state() as found:
        found["registry"][ref] = {
            "digest": "sha256:" + hashlib.sha256(ref.encode()).hexdigest(),
            "revision": given.get("GIT_REVISION", "unknown"),
            "tree": os.environ.get("FLY_STAND_IN_TREE", str(PROJECT)),
        }
    print(f"image: {ref}\nimage size: 131 MB")


def machine(args: argparse.Namespace) -> None:
    if args.verb == "list":
        if fault("machine list", args.app) == "api":
            raise Failed("failed to list machines: request returned non-2xx status: 503")
        print(json.dumps(look(args.app)))
        return
    with state() as found:
        known = {m["id"]: m for m in app_of(found, args.app)["machines"]}
    for name in args.ids:
        if name not in known:
            raise Failed(f"could not get machine {name}: machine not found")
        one = known[name]
        if args.verb == "stop" and fault("machine stop", args.app) != "stuck":
            halt(one)
            keep(args.app, one)
        elif args.verb == "clone":
            twin = make_machine(args.app, one["_image"], one["_config"])
            launch(args.app, twin)
            keep(args.app, twin)
            print(f"Cloning Machine {name} into region {twin['region']}")
        elif args.verb == "start":
            launch(args.app, one)
            keep(args.app, one)
        elif args.verb == "destroy":
            if one["state"] == "started" and not args.force:
                raise Failed(f"machine {name} is in a started state and cannot be destroyed")
            halt(one)
            forget(args.app, one)
            print(f"{name} has been destroyed")


def held(machines: list[dict[str, Any]], name: str, kept: dict[str, str]) -> str:
    """Whether the machines have a secret as it was set last."""
    if not machines:
        return "Staged"
    if kept.get("no_time"):  # when it was set is not known
        return "Unknown"
    have = [m["_secrets"].get(name) == kept["value"] for m in machines]
    return "Deployed" if all(have) else "Partial" if any(have) else "Staged"


def secret(args: argparse.Namespace) -> None:
    if args.verb == "list":
        if fault("secrets list", args.app) == "api":
            raise Failed("failed to list secrets: request returned non-2xx status: 503")
        with state() as found:
            here = app_of(found, args.app)
        shown = [
            {"name": n, "digest": s["digest"], "status": held(here["machines"], n, s)}
            for n, s in here["secrets"].items()
        ]
        print(json.dumps(shown))
        return
    if not args.stage:
        raise Failed("in tests secrets are staged: without --stage fly restarts the machines")
    if args.verb == "unset":
        with state() as found:
            for name in args.names:  # of one that is not there fly says nothing
                app_of(found, args.app)["secrets"].pop(name, None)
        print(STAGED)
        return
    given = parsed(sys.stdin.read())
    if not given:
        raise Failed("requires at least one SECRET=VALUE pair")
    kind = fault("secrets import", args.app)
    if kind == "refused":
        raise Failed("request returned non-2xx status: 503")
    time.sleep(30 if kind == "hangs" else 0)
    with state() as found:
        for name, value in given.items():
            digest = hashlib.sha256(value.encode()).hexdigest()[:16]
            kept = {"value": value, "digest": digest, "status": "Staged"}
            app_of(found, args.app)["secrets"][name] = kept
    time.sleep(30 if kind == "hangs after" else 0)
    if kind == "unanswered":
        raise Failed("request returned non-2xx status: 504")
    print(STAGED)


def parsed(text: str) -> dict[str, str]:
    """As flyctl reads it: a value is cut at a `#` where its quotes before it are closed."""
    found: dict[str, str] = {}
    block = ""
    for line in text.splitlines():
        if block:
            found[block] += "\n" + line.removesuffix('"""')
            block = "" if line.endswith('"""') else block
            continue
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise Failed("Failed to parse secrets from stdin: Secrets must be NAME=VALUE pairs")
        name, value = name.strip(), value.lstrip(" ")
        before, hash_sign, _ = value.partition("#")
        if hash_sign and before.count('"') % 2 == 0:
            value = before.rstrip(" ")
        if value.startswith('"""') and not (value.endswith('"""') and len(value) >= 6):
            block, found[name] = name, value.removeprefix('"""')
            continue
        for quote in ('"""', '"', "'"):
            size = len(quote)
            if len(value) >= 2 * size and value.startswith(quote) and value.endswith(quote):
                value = value[size:-size]
                break
        found[name] = value
    return found


def create(args: argparse.Namespace) -> None:
    with state() as found:
        if args.name in found["apps"]:
            raise Failed("Name has already been taken")
        found["apps"][args.name] = {"machines": [], "releases": [], "secrets": {}}
        if args.name.endswith("-redis"):
            found["redis"] = args.name
    print(f"New app created: {args.name}")


def volume(args: argparse.Namespace) -> None:
    with state() as found:
        app_of(found, args.app).setdefault("volumes", []).append(
            {"name": args.name, "region": args.region, "size_gb": args.size}
        )
    print(f"Name: {args.name}\nRegion: {args.region}\nSize GB: {args.size}")


def proxy(args: argparse.Namespace) -> None:
    """Forwards a local port to the app's first machine, until it is killed."""
    local, _, _ = args.ports.partition(":")
    with state() as found:
        port = app_of(found, args.app)["machines"][0]["_port"]
    import threading

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", int(local))) as listening:
        print(f"Proxying local port {local} to remote [{args.app}.internal]:{port}", flush=True)
        while True:
            near, _ = listening.accept()
            try:
                far = socket.create_connection(("127.0.0.1", port))
            except OSError:  # the machine is away: this connection ends, the proxy does not
                near.close()
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


def scale(args: argparse.Namespace) -> None:
    """So many machines of what was released last; of those that are too many, the first."""
    with state() as found:
        here = app_of(found, args.app)
        machines, last = list(here["machines"]), here.get("last")
    if last is None:
        raise Failed(
            "this app has no complete releases. Run `fly deploy` to create one and rerun this "
            "command"
        )
    delta = args.count - len(machines)
    if not delta:
        print("App already scaled to desired state. No need for changes")
        return
    print(f"App '{args.app}' is going to be scaled according to this plan:")
    region = last["config"].get("primary_region", "iad")
    print(f"{delta:+4d} machines for group 'app' on region '{region}'")
    if not args.yes:
        raise Failed("--yes flag must be specified when not running interactively")
    print("Executing scale plan")
    for one in machines[: max(0, -delta)]:
        halt(one)
        forget(args.app, one)
        print(f"  Destroyed {one['id']} group:app region:{one['region']}")
    for _ in range(delta):
        one = make_machine(args.app, last["image"], last["config"])
        launch(args.app, one)
        keep(args.app, one)
        print(f"  Created {one['id']} group:app region:{one['region']}")


def logs(args: argparse.Namespace) -> None:
    """What the machines wrote, those that are gone too; without --no-tail it would go on."""
    if not args.no_tail:
        raise Failed("in tests a log has an end: without --no-tail fly goes on until interrupted")
    with state() as found:
        app_of(found, args.app)
    for path in sorted(HERE.glob("machines/*/log")):
        if (path.parent / "app").read_text() != args.app:
            continue
        if args.machine in (None, path.parent.name):
            for line in path.read_text(errors="replace").splitlines():
                print(f"2026-11-23T12:00:00Z app[{path.parent.name}] arn [info]{line}")


def console(args: argparse.Namespace) -> None:
    """A command on the app's first machine, with its environment."""
    with state() as found:
        here = [m for m in app_of(found, args.app)["machines"] if m["state"] == "started"]
        real = found["real"]
    if not here:
        raise Failed(f"app {args.app} has no started VMs.")
    print(f"Connecting to {here[0]['private_ip']}... complete", file=sys.stderr)
    if not real:
        print(f"(played) {args.command}")
        return
    text = Path(f"/proc/{here[0]['_pid']}/environ").read_text()
    environment = dict(pair.partition("=")[::2] for pair in text.split("\0") if pair)
    done = subprocess.run(shlex.split(args.command), env=environment, check=False)
    if done.returncode:
        raise Failed(f"ssh shell: Process exited with status {done.returncode}")


def tokens(args: argparse.Namespace) -> None:
    """An app's, or an organisation's, tokens: made, listed without what they say, revoked."""
    with state() as found:
        kept = found.setdefault("tokens", [])
        if args.verb == "deploy":
            app_of(found, args.app)
            number = f"tok{len(kept) + 1}"
            kept.append({"id": number, "app": args.app, "name": args.name, "revoked": ""})
            print(f"FlyV1 fm2_{number}")
        elif args.verb == "list":
            if not args.app and args.scope != "org" and not args.org:
                raise Failed(
                    "the config for your app is missing an app name, add an app field to the "
                    "fly.toml file or specify with the -a flag"
                )
            if args.app:
                app_of(found, args.app)
            scope = f'app "{args.app}"' if args.app else f'organization "{args.org}"'
            print(f"Tokens for {scope}:\nID \tNAME\tCREATED BY\tEXPIRES AT\tREVOKED AT")
            for one in kept:
                if one["app"] == (args.app or ""):
                    print(f"{one['id']}\t{one['name']}\t{found['user']}\t2046\t{one['revoked']}")
        else:
            known, number = {one["id"]: one for one in kept}, 0
            for name in args.ids:
                if name not in known:
                    print(f"failed to revoke token {name}: not found", file=sys.stderr)
                    continue
                known[name]["revoked"] = "2026-11-26"
                number += 1
                print(f"Revoked {name}")
            print(f"{number} tokens revoked")


def releases(args: argparse.Namespace) -> None:
    with state() as found:
        print(json.dumps(app_of(found, args.app)["releases"][::-1]))


def whoami(args: argparse.Namespace) -> None:
    with state() as found:
        print(json.dumps({"email": found["user"]}) if args.json else found["user"])


def login(_args: argparse.Namespace) -> None:
    with state() as found:
        found["user"] = "ann@example.com"
    print("successfully logged in as ann@example.com")


def said(_args: argparse.Namespace) -> None:
    """What changes nothing that is modelled here: organisations, addresses."""
    print("done")


class Parser(argparse.ArgumentParser):
    """Refuses as flyctl does."""

    def error(self, message: str) -> NoReturn:
        raise Failed(f"unknown flag or argument: {message}")


def parser() -> Parser:
    top = Parser(prog="fly", allow_abbrev=False)
    commands = top.add_subparsers(required=True, parser_class=Parser)

    def command(work: Any, *words: str, app: bool = True) -> Parser:
        place = commands
        for word in words[:-1]:
            groups = place.__dict__.setdefault("_groups", {})
            if word not in groups:
                groups[word] = place.add_parser(word).add_subparsers(required=True)
            place = groups[word]
        one = place.add_parser(words[-1], allow_abbrev=False)
        one.set_defaults(work=work, verb=words[-1], path=words)
        if app:
            one.add_argument("-a", "--app")
        return one  # type: ignore[no-any-return]

    one = command(deploy, "deploy")
    one.add_argument("-c", "--config")
    for name in ("--image", "--strategy", "--wait-timeout", "--image-label"):
        one.add_argument(name)
    one.add_argument("--build-arg", action="append", default=[])
    one.add_argument("--ha", choices=["true", "false"], default="true")
    one.add_argument("-y", "--yes", action="store_true")
    for name in ("--no-public-ips", "--build-only", "--push", "--remote-only"):
        one.add_argument(name, action="store_true")
    command(machine, "machine", "list").add_argument("--json", action="store_true")
    for verb in ("stop", "start", "clone", "destroy"):
        one = command(machine, "machine", verb)
        one.add_argument("ids", nargs="+")
        one.add_argument("-f", "--force", action="store_true")
        one.add_argument("-s", "--signal")
        one.add_argument("-w", "--wait-timeout")
    for verb in ("list", "import"):
        one = command(secret, "secrets", verb)
        one.add_argument("--json", action="store_true")
        one.add_argument("--stage", action="store_true")
    one = command(secret, "secrets", "unset")
    one.add_argument("names", nargs="+")
    one.add_argument("--stage", action="store_true")
    one = command(scale, "scale", "count")
    one.add_argument("count", type=int)
    one.add_argument("-y", "--yes", action="store_true")
    one = command(logs, "logs")
    one.add_argument("-n", "--no-tail", action="store_true")
    one.add_argument("-m", "--machine")
    one = command(console, "ssh", "console")
    one.add_argument("-C", "--command", required=True)
    one = command(tokens, "tokens", "list")
    one.add_argument("-s", "--scope", choices=["app", "org"])
    one.add_argument("-o", "--org")
    command(tokens, "tokens", "revoke", app=False).add_argument("ids", nargs="+")
    command(releases, "releases").add_argument("--json", action="store_true")
    command(whoami, "auth", "whoami", app=False).add_argument("--json", action="store_true")
    command(login, "auth", "login", app=False)
    one = command(create, "apps", "create", app=False)
    one.add_argument("name")
    one.add_argument("-o", "--org")
    one = command(volume, "volumes", "create")
    one.add_argument("name")
    one.add_argument("-r", "--region")
    one.add_argument("-s", "--size", type=int, default=1)
    one.add_argument("-y", "--yes", action="store_true")
    command(proxy, "proxy").add_argument("ports")
    one = command(said, "orgs", "create", app=False)
    one.add_argument("name")
    one = command(tokens, "tokens", "create", "deploy")
    one.add_argument("-n", "--name", default="flyctl deploy token")
    one.add_argument("-x", "--expiry")
    one = command(said, "ips", "allocate-egress")
    one.add_argument("-r", "--region")
    one.add_argument("-y", "--yes", action="store_true")
    return top


def need_session(args: argparse.Namespace) -> None:
    with state() as found:
        if not found["user"] and args.work is not login:
            raise Failed("no access token available. Please login with 'flyctl auth login'")


def main() -> int:
    with (HERE / "commands.jsonl").open("a") as out:
        out.write(json.dumps(sys.argv[1:]) + "\n")
    try:
        args = parser().parse_args()
        need_session(args)
        args.work(args)
    except NoApp as failed:
        print(f"Error: {failed.told(args.path)}", file=sys.stderr)
        return 1
    except Failed as failed:
        print(f"Error: {failed}", file=sys.stderr)
        return 1
    return 0
