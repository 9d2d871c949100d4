"""Commands of other programs, with a deadline and their last words."""

import shutil
import subprocess

COMMAND_S = 60.0


class Failed(Exception):  # noqa: N818  the name says what happened
    """What went wrong, and how to mend it."""


def call(*command: str, timeout_s: float = COMMAND_S, shown: bool = False) -> str:
    """A command's stdout; raises Failed with its last words."""
    try:
        done = subprocess.run(
            command,
            stdout=None if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            text=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command[:3])} took more than {timeout_s:.0f} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout or "").strip().splitlines()[-5:]
        raise Failed(f"{' '.join(command[:3])} failed ({done.returncode}): {' / '.join(said)}")
    return done.stdout or ""


def answers(*command: str) -> bool:
    """Whether a command is here and ends well."""
    if shutil.which(command[0]) is None:
        return False
    try:
        call(*command, timeout_s=20)
    except Failed:
        return False
    return True
