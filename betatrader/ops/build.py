"""Which build this is: the revision that the image was labelled with, or the checkout's."""

import os
import subprocess
from pathlib import Path

VARIABLE = "GIT_REVISION"
"""Set by the Dockerfile to the value of the image's own label."""


def revision() -> str:
    """The image's revision, "unknown" outside of one; costs nothing."""
    return os.environ.get(VARIABLE) or "unknown"


def checked_out() -> str:
    """The image's revision, else that of the checkout that this runs from; asks git."""
    project = Path(__file__).resolve().parents[2]
    if os.environ.get(VARIABLE) or not (project / ".git").exists():
        return revision()
    command = ["git", "-C", str(project), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or "unknown"
