"""The names of files that are being written before they take another's place, and those that the dead left.

For CoAgent's own files and settings; files of workspaces are `systems/files/temporaries.py`.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

from coagent.processes import label, lives


def partial_of(path: Path) -> Path:
    """Return a name beside a path that nobody uses, and that says whose it is."""
    return path.with_name(f".{path.name}.{label()}.{secrets.token_hex(4)}")


def drop_left(path: Path) -> None:
    """Remove what processes of this host that have died left under such names for a path."""
    name = re.compile(rf"\.{re.escape(path.name)}\.([0-9a-f]+\.\d+\.[0-9a-f]*)\.[0-9a-f]{{8}}")
    with contextlib.suppress(OSError):
        for entry in os.listdir(path.parent):
            known = name.fullmatch(entry)
            if known is not None and lives(known[1]) is False:
                (path.parent / entry).unlink()
