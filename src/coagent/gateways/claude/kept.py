"""Which sessions a workspace has, as it is kept for the next daemon and for whoever only looks."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from coagent.config.domain_file import FOLDER

NAME = "sessions.json"
"""The file in the folder of a workspace: session to (agent, process, the rest of `Family.kept`)."""


def known_processes(root: Path) -> set[int]:
    """Return the processes of the sessions that are governed in a workspace."""
    with contextlib.suppress(OSError, ValueError, TypeError, IndexError):
        kept = json.loads((root / FOLDER / NAME).read_text())
        return {int(entry[1]) for entry in kept.values()}
    return set()
