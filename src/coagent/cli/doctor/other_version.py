"""The version of CoAgent that another interpreter has."""

from __future__ import annotations

import subprocess

from coagent.cli.doctor.installation import PACKAGE

_ANSWER_S_MAX = 5
_ASKING = f"from importlib.metadata import version; print(version({PACKAGE!r}))"


def version_beside(python: str) -> str:
    """Return the version of CoAgent that an interpreter has installed; empty where it has none.

    Args:
        python: Its path.
    """
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASKING],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_ANSWER_S_MAX,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = done.stdout.strip()
    return f"CoAgent {found}" if done.returncode == 0 and found else ""
