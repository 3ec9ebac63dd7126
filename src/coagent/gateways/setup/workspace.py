"""The `.coagent` folder of a workspace: its domain file, and nothing that git need know of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
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
exclude = {exclude}

[tools]
builtin = ["files", "changes"]

[claude]
wait_s = 60.0           # how long a session that has ended its turn waits for those before it
on_leave = "commit"     # unfinished work of a session that ends: "commit", "abort" or "keep"
on_failure = "warn"     # where CoAgent itself fails: "warn" and go on ungoverned, or "stop" the session
"""

_OURS = (
    ".gitignore", NAME, "*.db", "*.db-*", "*.db.*", "daemon.*", "sessions.json", "setup", "shadow", "views",
    "running", "snapshots", "claims", "coagent-*", ".coagent-*",
)  # fmt: skip
"""What CoAgent makes in the folder; grown tools are not of it, for people review and keep them."""
SETUP = "setup"
"""The folder in it where is kept what has been changed outside of it."""
_MADE = "config.made"
_KEPT = f"{NAME}.kept"
_EXCLUDED = ("**/.venv/**",)
_PLAIN_FOLDER = re.compile(r"(?P<here>/?)(?P<path>[\w.][\w./-]*)/\s*")
_GIT_S_MAX = 30
_FOLDERS_MAX = 100


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
            exclude = json.dumps([*_EXCLUDED, *ignored_folders(root)])
            text = _CONFIG.format(exclude=exclude)
            write_private(private_folder(folder / SETUP) / _MADE, text)
            write_private(path, text)
    except OSError as error:
        raise ConfigurationError(f"{str(folder)!r} cannot be made: {error.strerror}") from None
    return path


def remove(root: Path) -> list[str]:
    """Remove the folder with what CoAgent has made in it.

    Returns:
        What is a person's own, and stays there: a domain file that has been changed is among it, under
        another name, since a folder that has one is governed.

    Raises:
        ConfigurationError: Something cannot be removed.
    """
    folder = root / FOLDER
    kept = []
    try:
        if _is_changed(folder):
            (folder / NAME).replace(folder / _KEPT)
        for path in sorted(folder.iterdir()):
            if not any(fnmatch(path.name, pattern) for pattern in _OURS):
                kept.append(path.name)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        if not kept:
            folder.unlink() if folder.is_symlink() else folder.rmdir()
    except OSError as error:
        raise ConfigurationError(
            f"{str(folder)!r} cannot be removed: {error.strerror}", "Remove what is left of it by hand."
        ) from None
    return kept


def _is_changed(folder: Path) -> bool:
    """Tell whether a person has changed the domain file since it was made."""
    try:
        text = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return False
    made = folder / SETUP / _MADE
    if made.is_file():
        return text != made.read_bytes()
    return _without_excluded(text.decode("utf-8", "replace")) != _without_excluded(_CONFIG)


def _without_excluded(config: str) -> list[str]:
    """Return the lines of a domain file that are the same in each workspace."""
    return [line for line in config.splitlines() if not line.startswith("exclude = ")]


def ignored_folders(root: Path) -> list[str]:
    """Return globs of the folders that git ignores: what is built there is not to be governed.

    Those that are there, and those that the `.gitignore` at the top names by plain words.
    """
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    listing = ["git", "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]
    try:
        done = subprocess.run(
            listing, cwd=root, env=known, capture_output=True, check=True, timeout=_GIT_S_MAX, text=True
        )
        lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    there = [path for path in done.stdout.split("\0") if path.endswith("/")]
    found = [f"{path}**" for path in there if _PLAIN_FOLDER.fullmatch(path)]
    for line in lines:
        named = _PLAIN_FOLDER.fullmatch(line)
        if named is not None:
            within = "/" in named["path"] or named["here"]
            found.append(f"{named['path']}/**" if within else f"**/{named['path']}/**")
    covered = ("node_modules/**", "__pycache__/**", ".venv/**", f"{FOLDER}/**")
    return [pattern for pattern in dict.fromkeys(found) if not pattern.endswith(covered)][:_FOLDERS_MAX]
