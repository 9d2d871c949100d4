"""The apps of one setup, the order in which they are released, and references of images."""

import re
from typing import NamedTuple

from betatrader.model.errors import UsageError

ORDER = ("jobs", "intel", "trading")
"""What can do least harm comes first."""

SEVERAL = frozenset({"intel"})
"""Those that may have several machines of one image (docs/scaling.md); every other has one."""

APPS = (*ORDER, "redis")
REGISTRY = "registry.fly.io"
PREFIX = "betatrader"
NO_REDIS = "none"

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REPOSITORY = re.compile(r"[a-z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9._-]+)+")
_PREFIX = re.compile(r"[a-z][a-z0-9-]{0,40}")


class Image(NamedTuple):
    """An image by its unique tag: flyctl cannot tell two versions apart by digests alone."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def app_name(role: str, prefix: str = PREFIX) -> str:
    """The app of a role; names are the whole world's at fly, hence the prefix."""
    return f"{prefix}-{role}"


def apps_of(prefix: str = PREFIX, redis: str = "") -> dict[str, str]:
    """Each of a setup's apps by what it runs. `redis` names the app that has its Redis, where that
    is not PREFIX-redis; NO_REDIS: none of ours, it is managed by others or serves from elsewhere.
    """
    named = {role: app_name(role, prefix) for role in APPS}
    if redis == NO_REDIS:
        del named["redis"]
    elif redis:
        if not _PREFIX.fullmatch(redis):
            raise UsageError(
                f"{redis!r} is no name of an app\nName the app of its Redis, or write {NO_REDIS}."
            )
        named["redis"] = redis
    return named


def image(text: str, prefix: str = PREFIX) -> Image:
    """A reference, or a tag in the repository of this setup; raises UsageError."""
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(
            f"{prefix!r} is no prefix for apps\nWrite lower-case letters, digits and hyphens."
        )
    if "@" in text:
        raise UsageError(
            f"{text} names a digest, by which fly cannot tell two versions apart\n"
            "Name the tag; the digest is compared after each step."
        )
    head, _, tail = text.rpartition("/")
    name, colon, tag = tail.partition(":")
    repository = f"{head}/{name}" if head else f"{REGISTRY}/{app_name('trading', prefix)}"
    tag = tag if colon else "" if head else name
    if not _TAG.fullmatch(tag) or not _REPOSITORY.fullmatch(repository) or (colon and not head):
        raise UsageError(f"{text!r} is no image\nWrite a tag (sha-1a2b3c4), or REGISTRY/NAME:TAG.")
    if tag == "latest":
        raise UsageError("the tag latest names no version\nName the tag of one build.")
    return Image(repository, tag)
