"""Programs of others that CoAgent may use."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence

from coagent.cli.doctor.finding import Finding

_ANSWER_S_MAX = 5
_GIT_MIN = (2, 31)


def programs() -> Iterator[Finding]:
    """Yield which git and strace there are; only git is used, and only in git repositories."""
    git = said_version(["git", "--version"])
    if not git:
        text = "not found: what git ignores is not known, and commits of agents are not kept apart"
        yield Finding("git", "warning", text, "apt install git, or what installs it here")
    else:
        old = tuple(map(int, git.split(".")[:2])) < _GIT_MIN
        text = f"version {git}{f', older than {_GIT_MIN[0]}.{_GIT_MIN[1]}, is not tried' if old else ''}"
        yield Finding("git", "warning" if old else "ok", text)
    strace = said_version(["strace", "--version"])
    yield Finding("strace", "ok", f"version {strace}, not needed" if strace else "not there, not needed")


def said_version(command: Sequence[str]) -> str:
    """Return the version that a program tells of itself, digits and points; empty where it does not."""
    path = shutil.which(command[0])
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_ANSWER_S_MAX,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found and done.returncode == 0 else ""
