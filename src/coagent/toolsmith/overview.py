"""What a model that cannot call tools is shown of a workspace: its files, and how some of them begin."""

from __future__ import annotations

import re
from typing import Any

from coagent.toolsmith.model_look import Look

_LISTED_MAX = 120
_OPENED_MAX = 3
_LINES_MAX = 12
_LENGTH_MAX = 600


async def overview(look: Look, asked: str) -> dict[str, Any]:
    """Return the files of a workspace without those of git, and the first lines of a few that are meant.

    Args:
        look: Looks at the workspace.
        asked: Names files, by path or by name, or in words of their paths.

    Returns:
        `files`, `files_left_out` where there are more, and `first_lines` by file.
    """
    files = [path for path in await look.files() if ".git" not in path.split("/")]
    opened = _meant(files, asked)[:_OPENED_MAX]
    listed = [*opened, *(path for path in files if path not in opened)][:_LISTED_MAX]
    found: dict[str, Any] = {"files": sorted(listed)}
    if len(files) > _LISTED_MAX:
        found["files_left_out"] = len(files) - _LISTED_MAX
    found["first_lines"] = {path: await look.first_lines(path, _LINES_MAX, _LENGTH_MAX) for path in opened}
    return found


def _meant(files: list[str], asked: str) -> list[str]:
    """Return the files that a text names; without any, those that share words with it, likeliest first."""
    named = {word.strip("./") for word in re.findall(r"[\w./-]+", asked)}
    outright = [file for file in files if file in named or file.rpartition("/")[2] in named]
    if outright:
        return outright
    words = _words(asked)
    shared = {file: len(words & _words(file)) for file in files}
    return sorted((file for file in files if shared[file]), key=lambda file: (-shared[file], file))


def _words(text: str) -> set[str]:
    """Return the words of a text, without the s that many of them end in."""
    return {word.rstrip("s") for word in re.findall(r"[a-z]{3,}", text.lower())}
