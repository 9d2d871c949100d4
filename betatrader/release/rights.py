"""What a version's users may do in Redis, beside what the server that runs lets them.

Compared before anything changes: no release deploys Redis, and its users' rights come with its own
image (`store.acl`). A version that needs one which the server lacks would start, be refused its
work, and only then be taken back. What it needs is what the code of its tag says, from git.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from redis.exceptions import NoPermissionError

from betatrader.model.errors import RefusedError
from betatrader.release import configuration
from betatrader.release.apps import Image, apps_of
from betatrader.release.releasing import Setup
from betatrader.store.connection import Client

RIGHTS_FILE = "betatrader/store/acl.py"
PRINT = (
    "from betatrader.model.secret import Secret; from betatrader.store import acl; "
    "print(acl.acl_file({name: Secret(name) for name in acl.USERS}))"
)
SHOWN = 3

Rights = frozenset[tuple[str, str]]
"""Commands, each with a pattern of keys, as R~ or W~, or with none."""

_SELECTOR = re.compile(r"\(([^)]*)\)")


async def check(setup: Setup, kind: str, image: Image, revision: str) -> None:
    """Raises RefusedError where a user lacks a right that the version needs. In an emergency
    (`--immediate`), and where nobody knows, that is told alone."""
    app = apps_of(setup.settings.prefix, setup.settings.redis_app).get("redis")
    if app is None or kind == "rotate":  # its users are made otherwise; or the version runs already
        return
    wanted = needed(setup.settings.project, revision)
    if wanted is None:
        setup.tell(f"nobody knows which rights in Redis {image.tag} needs: git has no code of it")
        return
    known = True
    try:
        found = await lacking(setup.redis, wanted)
    except NoPermissionError:  # the operator's rights are of an image before this question
        known, found = False, ["operator: acl|getuser"]
    if not found:
        return
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    text = f"{app} does not give what {image.tag} needs: {'; '.join(found[:SHOWN])}{more}"
    if setup.settings.immediate or (kind == "rollback" and not known):
        setup.tell(text)
        return
    raise RefusedError(
        f"{text}\nDeploy Redis with it first (docs/deploy.md), with its own fly/redis.toml: fly "
        f"deploy -c fly/redis.toml -a {app} --remote-only --ha=false --yes --image {image}"
    )


def needed(project: Path, revision: str) -> dict[str, Rights] | None:
    """Of each user, by the code of a revision; None where git does not have it, or it says none."""
    told = configuration.asked(project, revision, RIGHTS_FILE, PRINT)
    if told is None:
        return None
    lines = [line.split(maxsplit=2) for line in told.splitlines() if "(" in line]
    return {name: of_rules(rules) for _, name, rules in lines} or None


async def lacking(redis: Client, wanted: Mapping[str, Rights]) -> list[str]:
    """Which of these rights the server does not give, a line each; nothing where it has no users of
    ours, and so no rights of theirs. Raises NoPermissionError to who may not ask."""
    given = {name: await _given(redis, name) for name in wanted}
    if all(rights is None for rights in given.values()):
        return []
    return [
        f"{name}: {command} on {key}" if key else f"{name}: {command}"
        for name, rights in sorted(wanted.items())
        for command, key in sorted(rights - (given[name] or frozenset()))
    ]


async def _given(redis: Client, name: str) -> Rights | None:
    found = await redis.acl_getuser(name)
    if found is None:
        return None
    groups = [f"{one['commands']} {one['keys']}" for one in found["selectors"]]
    root = " ".join([*found["commands"], *found["keys"]])
    return of_rules(f"{root} {' '.join(f'({group})' for group in groups)}")


def of_rules(text: str) -> Rights:
    """Of a user's rules, as a server's ACL file has them."""
    found: set[tuple[str, str]] = set()
    for rules in (_SELECTOR.sub("", text), *_SELECTOR.findall(text)):
        words = rules.split()
        keys: list[str] = []
        for word in words:
            if word[0] in "~%":
                ways, _, pattern = word.partition("~")
                keys += [f"{way}~{pattern}" for way in ways.strip("%") or "RW"]
        found |= {(word[1:], key) for word in words if word[0] == "+" for key in keys or [""]}
    return frozenset(found)
