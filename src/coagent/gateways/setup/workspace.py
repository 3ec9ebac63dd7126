"""The `.coagent` folder of a workspace: its domain file, and nothing that git need know of."""

from __future__ import annotations

import shutil
from pathlib import Path

from coagent.config.domain_file import FOLDER, NAME
from coagent.errors import ConfigurationError
from coagent.private import private_folder, write_private

_CONFIG = """\
# CoAgent: what the agents in this workspace share. All settings: docs/serve.md and docs/claude-code.md.
log = "sqlite:log.db"

[[targets]]
kind = "files"
root = ".."

[tools]
builtin = ["files", "changes"]

[claude]
wait_s = 600.0          # how long a session that has ended its turn waits for those before it
on_end = "commit"       # of a session that ends before its commit: "commit", "abort" or "park"
on_failure = "warn"     # where CoAgent itself fails: "warn" and go on ungoverned, or "stop" the session
"""


def make(root: Path) -> Path:
    """Make the folder, unless it is there, and return the domain file.

    Raises:
        ConfigurationError: It cannot be made.
    """
    folder = root / FOLDER
    try:
        private_folder(folder)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            write_private(ignore, "/*\n!/tools/\n")  # grown tools are for review
        path = folder / NAME
        if not path.exists():
            write_private(path, _CONFIG)
    except OSError as error:
        raise ConfigurationError(f"{str(folder)!r} cannot be made: {error.strerror}") from None
    return path


def remove(root: Path) -> None:
    """Remove the folder with all that is in it."""
    shutil.rmtree(root / FOLDER, ignore_errors=True)
