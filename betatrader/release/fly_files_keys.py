"""Every key that a fly configuration may hold, and what it may hold there.

`fly config validate` needs a session and lets unknown keys pass, so a misspelt `kill_timeout`
means the default of five seconds. Read from the structs of flyctl 0.4.87 (internal/appconfig) and
of its library (machine_types), 2026-08; what fly reads but calls obsolete is not here.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

REGIONS = frozenset(
    {
        *("ams", "arn", "bom", "cdg", "dfw", "ewr", "fra", "gru", "iad"),
        *("jnb", "lax", "lhr", "nrt", "ord", "sin", "sjc", "syd", "yyz"),
    }
)
"""Where fly has machines."""

SIGNALS = frozenset(["SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP"])
_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
SHARED_CPUS = (1, 2, 4, 6, 8)
PERFORMANCE_CPUS = (1, 2, 4, 6, 8, 10, 12, 14, 16)
SIZES = frozenset(
    [f"shared-cpu-{n}x" for n in SHARED_CPUS] + [f"performance-{n}x" for n in PERFORMANCE_CPUS]
)

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_AMOUNT = re.compile(r"(\d+)\s*(mb|gb|m|g)?", re.IGNORECASE)


class Value(NamedTuple):
    """What one key may hold: `expected` in words, and the test."""

    expected: str
    fits: Callable[[Any], bool]


class Table(NamedTuple):
    """A table with these keys; those in `needed` must be there."""

    keys: dict[str, "Value | Table | Tables | Named"]
    needed: frozenset[str] = frozenset()


class Tables(NamedTuple):
    """An array of tables; `single` also takes one table alone, as fly does."""

    of: Table
    single: bool = False


class Named(NamedTuple):
    """A table whose keys are names of the owner's choice."""

    of: "Value | Table"


def seconds(duration: object) -> float | None:
    """A duration as fly writes it ("1m30s") in seconds; None where it has no unit or is none.

    fly reads a bare number as seconds in one place and as milliseconds in another, so that a
    number without unit is not taken here.
    """
    if not isinstance(duration, str) or not _DURATION.fullmatch(duration):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))


def megabytes(amount: object) -> int | None:
    """An amount of memory ("512mb", "1gb", 512) in MB; None where it is none."""
    if isinstance(amount, int) and not isinstance(amount, bool):
        return amount
    found = _AMOUNT.fullmatch(amount) if isinstance(amount, str) else None
    if found is None:
        return None
    return int(found[1]) * (1024 if (found[2] or "mb").lower().startswith("g") else 1)


def _whole(least: int, most: int) -> Value:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return Value(f"a whole number from {least} to {most}", fits)


def _one_of(*words: str) -> Value:
    return Value(f"one of {', '.join(sorted(words))}", lambda value: value in words)


def _time(most_s: float, least_s: float = 0.0) -> Value:
    def fits(value: Any) -> bool:
        found = seconds(value)
        return found is not None and least_s <= found <= most_s

    return Value(f'a duration with its unit, such as "10s", from {least_s:g} to {most_s:g} s', fits)


def _all_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _unavailable(value: Any) -> bool:
    return not isinstance(value, bool) and (
        (isinstance(value, int) and value >= 1) or (isinstance(value, float) and 0 < value < 1)
    )


TEXT = Value("a text", lambda value: isinstance(value, str) and bool(value))
ANY_TEXT = Value("a text", lambda value: isinstance(value, str))
FLAG = Value("true or false", lambda value: isinstance(value, bool))
TEXTS = Value("a list of texts", _all_text)
PORT = _whole(1, 65_535)
MEMORY = Value('memory, such as "512mb"', lambda value: (megabytes(value) or 0) > 0)
NAME = Value(
    "an app's name: small letters, digits and dashes",
    lambda value: (
        isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", value) is not None
    ),
)
LONG = _time(24 * 3600)
SIGNAL = _one_of(*SIGNALS)
AUTO_STOP = Value(
    "one of off, stop, suspend",
    lambda value: isinstance(value, bool) or value in ("off", "stop", "suspend"),
)

PROBE: dict[str, Value | Table | Tables | Named] = {
    "interval": _time(3600, 1),
    "timeout": _time(60),
    "grace_period": LONG,
}
HTTP_PROBE: dict[str, Value | Table | Tables | Named] = {
    **PROBE,
    "method": Value("an HTTP method", lambda value: str(value).upper() in _METHODS),
    "path": Value("a path from /", lambda value: isinstance(value, str) and value.startswith("/")),
    "protocol": _one_of("http", "https"),
    "tls_skip_verify": FLAG,
    "tls_server_name": TEXT,
    "headers": Named(ANY_TEXT),
}
CHECK = Table(
    {
        **HTTP_PROBE,
        "type": _one_of("http", "tcp"),
        "port": PORT,
        "interval": _time(3600, 2),
        "processes": TEXTS,
    },
    frozenset({"type", "port"}),
)
MACHINE_CHECKS = Tables(
    Table(
        {
            "command": TEXTS,
            "image": TEXT,
            "entrypoint": TEXTS,
            "kill_signal": SIGNAL,
            "kill_timeout": _time(300),
        }
    )
)
VM: dict[str, Value | Table | Tables | Named] = {
    "size": _one_of(*SIZES),
    "memory": MEMORY,
    "memory_mb": MEMORY,
    "max_memory_mb": MEMORY,
    "cpu_kind": _one_of("shared", "performance"),
    "cpus": _whole(1, 16),
    "gpus": _whole(0, 8),
    "gpu_kind": TEXT,
    "kernel_args": TEXTS,
    "host_dedication_id": TEXT,
    "persist_rootfs": _one_of("never", "restart", "always"),
    "processes": TEXTS,
}
CONCURRENCY = Table(
    {
        "type": _one_of("connections", "requests"),
        "soft_limit": _whole(1, 100_000),
        "hard_limit": _whole(1, 100_000),
    }
)
TLS = Table({"alpn": TEXTS, "versions": TEXTS, "default_self_signed": FLAG})
HTTP_OPTIONS = Table(
    {
        "compress": FLAG,
        "h2_backend": FLAG,
        "idle_timeout": _whole(1, 3600),
        "headers_read_timeout": _whole(1, 3600),
        "response": Table(
            {"headers": Named(Value("a header", lambda _value: True)), "pristine": FLAG}
        ),
        "replay_cache": Tables(
            Table(
                {
                    "path_prefix": TEXT,
                    "ttl_seconds": _whole(0, 86_400),
                    "type": _one_of("cookie", "header"),
                    "name": TEXT,
                    "allow_bypass": FLAG,
                }
            )
        ),
    }
)
SERVICE_PORT = Table(
    {
        "port": PORT,
        "start_port": PORT,
        "end_port": PORT,
        "handlers": TEXTS,
        "force_https": FLAG,
        "tls_options": TLS,
        "http_options": HTTP_OPTIONS,
        "proxy_proto_options": Table({"version": _one_of("v1", "v2")}),
    }
)
SERVING: dict[str, Value | Table | Tables | Named] = {
    "internal_port": PORT,
    "auto_stop_machines": AUTO_STOP,
    "auto_start_machines": FLAG,
    "min_machines_running": _whole(0, 1000),
    "processes": TEXTS,
    "concurrency": CONCURRENCY,
    "machine_checks": MACHINE_CHECKS,
}
EXPERIMENTAL = Table(
    {
        "cmd": TEXTS,
        "entrypoint": TEXTS,
        "exec": TEXTS,
        "auto_rollback": FLAG,
        "enable_consul": FLAG,
        "enable_etcd": FLAG,
        "lazy_load_images": FLAG,
        "machine_config": TEXT,
        "attached": Table({"secrets": Table({"export": Named(TEXT)})}),
    }
)
BUILD = Table(
    {
        "builder": TEXT,
        "args": Named(ANY_TEXT),
        "buildpacks": TEXTS,
        "image": TEXT,
        "settings": Named(Value("a setting", lambda _value: True)),
        "builtin": TEXT,
        "dockerfile": TEXT,
        "ignorefile": TEXT,
        "build-target": TEXT,
        "compose": Table({"file": TEXT}),
        "compression": _one_of("gzip", "zstd"),
        "compression_level": _whole(0, 22),
    }
)

FILE = Table(
    {
        "app": NAME,
        "primary_region": _one_of(*REGIONS),
        "kill_signal": SIGNAL,
        "kill_timeout": _time(300),
        "swap_size_mb": _whole(0, 65_536),
        "console_command": TEXT,
        "host_dedication_id": TEXT,
        "machine_config": TEXT,
        "container": TEXT,
        "experimental": EXPERIMENTAL,
        "build": BUILD,
        "deploy": Table(
            {
                "strategy": _one_of("rolling", "bluegreen", "canary", "immediate"),
                "max_unavailable": Value("a whole number from 1, or a share below 1", _unavailable),
                "wait_timeout": LONG,
                "release_command": TEXT,
                "release_command_timeout": LONG,
                "release_command_vm": Table(VM),
                "seed_command": TEXT,
            }
        ),
        "env": Named(Value('a text (write "1", not 1)', lambda value: isinstance(value, str))),
        "processes": Named(ANY_TEXT),
        "vm": Tables(Table(VM), single=True),
        "checks": Named(CHECK),
        "machine_checks": MACHINE_CHECKS,
        "metrics": Tables(
            Table(
                {"port": PORT, "path": TEXT, "https": FLAG, "processes": TEXTS},
                frozenset({"port"}),
            ),
            single=True,
        ),
        "restart": Tables(
            Table(
                {
                    "policy": _one_of("always", "on-failure", "never"),
                    "retries": _whole(0, 10_000),
                    "processes": TEXTS,
                },
                frozenset({"policy"}),
            ),
            single=True,
        ),
        "mounts": Tables(
            Table(
                {
                    "source": TEXT,
                    "destination": TEXT,
                    "initial_size": MEMORY,
                    "snapshot_retention": _whole(1, 60),
                    "scheduled_snapshots": FLAG,
                    "auto_extend_size_threshold": _whole(0, 100),
                    "auto_extend_size_increment": MEMORY,
                    "auto_extend_size_limit": MEMORY,
                    "processes": TEXTS,
                },
                frozenset({"destination"}),
            ),
            single=True,
        ),
        "files": Tables(
            Table(
                {
                    "guest_path": TEXT,
                    "local_path": TEXT,
                    "secret_name": TEXT,
                    "raw_value": TEXT,
                    "processes": TEXTS,
                },
                frozenset({"guest_path"}),
            )
        ),
        "statics": Tables(
            Table(
                {
                    "guest_path": TEXT,
                    "url_prefix": TEXT,
                    "tigris_bucket": TEXT,
                    "index_document": TEXT,
                },
                frozenset({"guest_path", "url_prefix"}),
            )
        ),
        "http_service": Table(
            {
                **SERVING,
                "force_https": FLAG,
                "tls_options": TLS,
                "http_options": HTTP_OPTIONS,
                "checks": Tables(Table(HTTP_PROBE)),
            },
            frozenset({"internal_port"}),
        ),
        "services": Tables(
            Table(
                {
                    **SERVING,
                    "protocol": _one_of("tcp", "udp"),
                    "ports": Tables(SERVICE_PORT),
                    "tcp_checks": Tables(Table(PROBE)),
                    "http_checks": Tables(Table(HTTP_PROBE)),
                }
            )
        ),
    },
    frozenset({"app"}),
)
