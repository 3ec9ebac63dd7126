"""Whether, and over which other one, our shell prefix is set for a workspace."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from coagent.gateways.setup.claude_code import is_our_prefix
from coagent.gateways.setup.shell_script import PREFIX
from coagent.systems.shell.views.overlay import available


class Choice(NamedTuple):
    """What is to become of the prefix.

    Args:
        ours: Whether ours is set.
        chained: Another one, which what is not governed is run by.
        local: Whether that one stands in the workspace's own settings file.
        said: What a person is told, if anything.
    """

    ours: bool
    chained: str
    local: bool
    said: str


def choose(root: Path) -> Choice:
    """Decide for a workspace, by what the machine can do and what prefix is there already."""
    why_not = available()
    if why_not:
        said = (
            f"Bash commands run in the tree itself, one that may write at a time: {why_not}. What they read "
            "is not followed, and commits are not kept apart."
        )
        return Choice(False, "", False, said)
    folder, home = root / ".claude", Path.home() / ".claude"
    places = (folder / "settings.local.json", folder / "settings.json", home / "settings.json")
    for place in places:
        found = _named(place)
        if found and not is_our_prefix(found):
            return _over(found, str(place), local=place == places[0])
    found = os.environ.get(PREFIX, "")
    if found and not is_our_prefix(found):
        return _over(found, "the environment", local=False)
    return Choice(True, "", False, "")


def _over(found: str, where: str, *, local: bool) -> Choice:
    if shutil.which(found) is None:  # it has arguments: only Claude Code knows how it takes them apart
        said = (
            f"{PREFIX} is {found!r} in {where}, and is left as it is: Bash commands run in the tree itself. "
            "Make it the path of one program, and run coagent init again, to have them governed."
        )
        return Choice(False, "", local, said)
    said = f"{PREFIX} was {found!r} in {where}: what CoAgent does not govern is still run by it."
    return Choice(True, found, local, said)


def _named(place: Path) -> str:
    try:
        settings = json.loads(place.read_text(encoding="utf-8-sig"))
        return str(settings["env"][PREFIX])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
