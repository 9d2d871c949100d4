"""Who acts, as the record of it names them."""

import getpass
import os


def user() -> str:
    """The user's name; `uid 10001` where the system knows none, as in most containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # Python 3.13 raises the latter
        return f"uid {os.getuid()}"
