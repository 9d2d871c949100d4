"""What must hold after each app before the next is touched. Pure: sights in, problems out."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from betatrader.release.apps import SEVERAL
from betatrader.release.fly import UNKNOWN, AppSecret, Machine

_HASH = re.compile(r"[0-9a-f]{7,64}")


class Wanted(NamedTuple):
    """What an app is to be: one machine of `image` (intel: one or more of it), and of `digest`
    where another app has one."""

    role: str
    image: str
    digest: str
    most_errors: int
    """Error lines that a new process may log before it counts as a burst."""

    immediate: bool = False
    """Nothing but the machine counts: that it has started, with this image."""

    revision: str = ""
    """The commit that its fly files are of; "" where that is not known, or not asked."""

    @property
    def several(self) -> bool:
        """Whether more than one machine is as well."""
        return self.role in SEVERAL


class Sight(NamedTuple):
    """What was seen of one app at one moment: fly's machines, the role's heartbeat, the lease."""

    machines: tuple[Machine, ...]
    beat: Mapping[str, str]
    lease: Mapping[str, str]


class Problem(NamedTuple):
    """What does not hold; `final` where waiting does not mend it."""

    text: str
    final: bool = False


def judge(wanted: Wanted, sight: Sight) -> list[Problem]:
    """All that does not hold; nothing: the gate is passed."""
    found = _of_machines(wanted, sight.machines)
    if wanted.immediate:
        return found
    return found or _of_role(wanted, sight.beat) + _of_trader(wanted, sight)


def _of_machines(wanted: Wanted, machines: tuple[Machine, ...]) -> list[Problem]:
    running = [machine for machine in machines if machine.runs]
    if not running or (len(running) > 1 and not wanted.several):
        named = ", ".join(f"{m.id} {m.state} {m.image}" for m in running)
        return [Problem(f"{len(running)} machines run, not one ({named})".replace(" ()", ""))]
    return [problem for one in running for problem in _of_machine(wanted, one)]


def _of_machine(wanted: Wanted, one: Machine) -> list[Problem]:
    found = []
    if one.image != wanted.image:
        found.append(Problem(f"machine {one.id} runs {one.image}"))
    elif wanted.digest and one.image_ref.digest != wanted.digest:
        text = f"machine {one.id} runs {one.image_ref.digest}, and the other apps {wanted.digest}"
        found.append(Problem(text, final=True))
    if one.host_status != "ok":
        found.append(Problem(f"the host of machine {one.id} is {one.host_status}"))
    if one.state != "started":
        found.append(Problem(f"machine {one.id} is {one.state}"))
    elif not one.healthy and not wanted.immediate:
        failing = [f"{c.name} {c.status}" for c in one.checks or () if c.status != "passing"]
        found.append(Problem(f"machine {one.id}: {', '.join(failing) or 'no health check'}"))
    return found


def _of_role(wanted: Wanted, beat: Mapping[str, str]) -> list[Problem]:
    if not beat:
        return [Problem("it shows no heartbeat in Redis")]
    found = []
    if _named(beat.get("image", "")) != wanted.image:
        found.append(Problem(f"the role says that it is {beat.get('image') or 'no image'}"))
    elif not same_revision(beat.get("revision", ""), wanted.revision):
        text = f"it is built from revision {beat['revision'][:12]}, and its tag names "
        found.append(Problem(f"{text}{wanted.revision[:12]} today", final=True))
    if beat.get("not_ready"):
        found.append(Problem(f"the role is not ready: {beat['not_ready']}"))
    errors = int(beat.get("errors", "0"))
    if errors > wanted.most_errors:
        found.append(
            Problem(f"{errors} errors in its log, more than {wanted.most_errors}", final=True)
        )
    return found


def _of_trader(wanted: Wanted, sight: Sight) -> list[Problem]:
    """The new machine leads, alone, and its books agree with the venue's."""
    if wanted.role != "trading":
        return []
    machine = next(m.id for m in sight.machines if m.runs)
    holder = sight.lease.get("holder", "").partition(" ")[0]
    found = []
    if holder != machine:
        found.append(Problem(f"the lease is with {holder or 'nobody'}, not machine {machine}"))
    if sight.beat.get("machine") != machine or sight.beat.get("leads") != "1":
        found.append(Problem(f"machine {machine} does not lead"))
    if sight.beat.get("reconciling", "1") != "0":
        found.append(Problem("it has not agreed with the venue yet"))
    if int(sight.beat.get("unexplained", "0")):
        text = f"{sight.beat['unexplained']} differences to the venue that no order explains"
        found.append(Problem(text, final=True))
    return found


def same_revision(told: str, wanted: str) -> bool:
    """Whether two may be one commit: a short hash is a beginning, and what is none says nothing."""
    if not (_HASH.fullmatch(told) and _HASH.fullmatch(wanted)):
        return True
    return told.startswith(wanted) or wanted.startswith(told)


def surplus(wanted: Wanted, sight: Sight) -> list[Machine]:
    """Machines that a deploy should have removed, and has not: another image's, and of this image,
    where there is to be one, all but the leader's, or the newest."""
    running = [machine for machine in sight.machines if machine.runs]
    right = [machine for machine in running if machine.image == wanted.image]
    well = [m for m in right if m.state == "started" and (m.healthy or wanted.immediate)]
    if not well:
        return []  # nothing is well yet that could take over: what runs stays
    if wanted.several:
        return [m for m in running if m not in right] if len(well) == len(right) else []
    holder = sight.lease.get("holder", "").partition(" ")[0] if wanted.role == "trading" else ""
    kept = next((m for m in right if m.id == holder), max(well, key=lambda m: m.created_at))
    return [machine for machine in running if machine.id != kept.id]


def one_colour(
    role: str, running: Sequence[Machine], wanted: str, *, immediate: bool = False
) -> list[Machine]:
    """Of two colours that a release left in its middle the wanted one stays, if it is well; else
    the other one does, until a deploy replaces it."""
    if len({m.image for m in running}) < 2:
        return list(running)
    right = [m for m in running if m.image == wanted and m.state == "started"]
    well = [m for m in right if m.healthy or immediate]
    if well and role in SEVERAL:  # those that are not well may become so
        well = [m for m in running if m.image == wanted]
    return well or [m for m in running if m.image != wanted]


def stands(role: str, running: Sequence[Machine], wanted: str) -> bool:
    """Whether an app runs an image already, on as many machines as it may: no deploy is needed."""
    alone = len(running) == 1 or (bool(running) and role in SEVERAL)
    return alone and all(m.image == wanted and m.state == "started" for m in running)


def in_force(app: str, machines: Sequence[Machine], secrets: Sequence[AppSecret]) -> str:
    """What runs at an app, and whether with its secrets as they were set last: one clause."""
    named = ", ".join(f"machine {m.id} ({m.state})" for m in machines if m.runs)
    if not named:
        return f"{app} runs no machine"
    waiting = [f"{s.name} ({s.status.lower()})" for s in secrets if s.waits]
    unknown = [s.name for s in secrets if s.status == UNKNOWN]
    if unknown and not waiting:
        return f"{app} runs {named}, and fly cannot say whether it has {', '.join(unknown)}"
    if not waiting:
        return f"{app} runs {named}, and all its secrets are in force"
    return f"{app} runs {named}, and not in force before its next deploy: {', '.join(waiting)}"


def _named(image: str) -> str:
    """Without the digest that fly may add."""
    return image.partition("@")[0]
