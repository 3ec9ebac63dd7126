"""The governed shell: whether commands can have private views here, and what is used where they cannot."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import Place

_ABOUT = "shell"
_SWITCHES = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
)
"""What keeps users other than root from namespaces of their own, and what allows them."""


def shell(place: Place) -> Iterator[Finding]:
    """Yield how commands would run here, tried as the user of this process."""
    from coagent.systems.shell.views import copied, overlay

    why_not, no_copies = overlay.available(), copied.available()
    user = f"as user {_user()}"
    if not why_not:
        how = "" if os.geteuid() == 0 else " of users"
        yield Finding(_ABOUT, "ok", f"commands get private views: overlays in namespaces{how}, tried {user}")
        return
    view = "auto" if place.domain is None else place.domain.tools.settings("bash").view
    offered = place.domain is not None and "bash" in (place.domain.tools.builtin or ())
    cure = _cure()
    if view == "overlay" and offered:
        yield Finding(_ABOUT, "problem", f'view = "overlay" cannot be had ({user}): {why_not}', cure)
    elif no_copies:
        text = f"there are no private views {user}: {why_not}; nor copies: {no_copies}"
        yield Finding(_ABOUT, "problem" if offered else "warning", text, cure)
    else:
        text = f"the tool bash uses copies of the tree, which is slower: {why_not} ({user})"
        yield Finding(_ABOUT, "note", text, cure)
    if place.is_workspace:
        text = "Bash commands of Claude Code run in the tree itself, one that may write at a time"
        yield Finding(_ABOUT, "note", text)


def _user() -> str:
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _cure() -> str:
    for name, off, on in _SWITCHES:
        try:
            found = Path("/proc/sys", name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if found == off:
            return f"sudo sysctl -w {name.replace('/', '.')}={on}"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "Start the container with --security-opt seccomp=unconfined, or as --privileged."
    return ""
