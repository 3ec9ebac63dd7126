"""Who it is that acts on a domain from outside."""

from __future__ import annotations

import getpass


def person() -> str:
    """Return the login name of the person whose process this is, as records have it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name in the environment, and no entry in the list of users
        return "somebody without a name"
