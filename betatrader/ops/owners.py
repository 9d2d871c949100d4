"""Which role needs which secret, and the environment that its process gets. Pure.

The names come from the configuration itself: whatever has the type of a secret there belongs to
the roles of its table below, and to nobody else.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from betatrader.config import Config
from betatrader.config.reader import ENVIRONMENT, REDIS_PASSWORD, from_environment
from betatrader.model.secret import Secret
from betatrader.ops import door

EVERY_ROLE = ("jobs", "intel", "trading")

OWNERS: dict[str, tuple[str, ...]] = {
    "binance": ("trading",),
    "polymarket": ("trading",),
    "alerts": EVERY_ROLE,
}
"""Each table of the configuration that holds secrets, and the roles that get them."""

OTHERS: dict[str, tuple[str, ...]] = {
    door.VARIABLE: ("trading",),
    "REDIS_URL": EVERY_ROLE,  # it may hold a password
    "FLY_API_TOKEN": (),
    "FLY_ACCESS_TOKEN": (),
}
"""Secrets that are no settings: variables, and the roles that get them. What begins with
BETATRADER_REDIS_PASSWORD_ is for the server's users, and no role's."""


def variable(section: str, field: str) -> str:
    """The name of a setting in the environment."""
    return f"{ENVIRONMENT}{section.upper()}__{field.upper()}"


def secret_fields() -> dict[str, tuple[str, ...]]:
    """Every secret of the configuration: its table and its fields."""
    found = {}
    for table in msgspec.structs.fields(Config):
        fields = getattr(table.type, "__struct_fields__", ())
        named = tuple(name for name in fields if isinstance(_default(table.type, name), Secret))
        if named:
            found[table.name] = named
    return found


def secret_variables() -> frozenset[str]:
    """The variables that hold secrets: each such field, and each table that has one."""
    found = secret_fields()
    fields = {variable(table, name) for table, names in found.items() for name in names}
    return frozenset(fields | {f"{ENVIRONMENT}{table.upper()}" for table in found})


def plain_variables() -> frozenset[str]:
    """The names in the environment of all settings that are no secrets."""
    found = set()
    for table in msgspec.structs.fields(Config):
        inner = getattr(table.type, "__struct_fields__", ())
        found.add(f"{ENVIRONMENT}{table.name.upper()}")
        found |= {variable(table.name, name) for name in inner}
    return frozenset(found - secret_variables())


def environment_of(role: str, given: Mapping[str, str]) -> dict[str, str]:
    """What a process of this role gets of an environment: all but the secrets of others.

    A simulated venue and a Redis server are roles that no secret belongs to.
    """
    kept: dict[str, str] = {}
    taken = {
        table: fields for table, fields in secret_fields().items() if role not in OWNERS[table]
    }
    barred = {variable(table, field) for table, fields in taken.items() for field in fields}
    barred |= {name for name, roles in OTHERS.items() if role not in roles}
    tables = {f"{ENVIRONMENT}{table.upper()}": table for table in taken}
    for name, text in sorted(given.items()):  # a table before its fields, which override it
        upper = name.upper()  # the configuration takes a name's tail in any case
        if upper in tables:
            kept |= _without(tables[upper], taken[tables[upper]], text)
        elif upper not in barred and not upper.startswith(f"{ENVIRONMENT}{REDIS_PASSWORD}"):
            kept[name] = text
    return kept


def _without(table: str, secrets: tuple[str, ...], text: str) -> dict[str, str]:
    """A whole table that stands in one variable: its other fields, each in a variable."""
    values = from_environment(text)
    if not isinstance(values, dict):
        return {}
    return {
        variable(table, field): value if isinstance(value, str) else json.dumps(value, default=str)
        for field, value in values.items()
        if field not in secrets
    }


def _default(kind: Any, name: str) -> object:
    return getattr(kind(), name)
