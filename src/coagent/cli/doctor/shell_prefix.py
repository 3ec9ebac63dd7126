"""What Claude Code runs Bash commands by: our script, somebody else's, or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import Place
from coagent.cli.doctor.settings import Unreadable, claude_settings
from coagent.gateways.setup.shell_script import PREFIX, SCRIPT

_ABOUT = "shell prefix"


def prefix(place: Place) -> Iterator[Finding]:
    """Yield whose shell prefix is set, and whether it can be run: where it cannot, no command can."""
    if not place.is_workspace:
        return
    found = [
        (str(path), str(settings["env"][PREFIX]))
        for path, settings in claude_settings(place.root, place.home).items()
        if not isinstance(settings, Unreadable)
        and isinstance(settings.get("env"), dict)
        and settings["env"].get(PREFIX)
    ]
    if place.environment.get(PREFIX):
        found.append(("the environment", place.environment[PREFIX]))
    ours = place.root / ".claude" / SCRIPT
    if not found:
        if ours.exists():
            text = f"{ours} is there, and no settings file names it: Bash commands are not governed"
            yield Finding(_ABOUT, "warning", text, "coagent init")
        else:
            text = "none is set: Bash commands of sessions run in the tree itself, one at a time"
            yield Finding(_ABOUT, "note", text, "coagent init, where commands get private views (see shell)")
        return
    where, value = found[0]
    if os.path.basename(value) == SCRIPT:
        yield from _ours(where, value, str(ours))
    elif shutil.which(value.split()[0] if value.split() else value) is None:
        text = f"{PREFIX} in {where} names {value!r}, which cannot be run: no Bash command can"
        yield Finding(_ABOUT, "problem", text, f"Correct {PREFIX} there, or take it out.")
    else:
        text = f"{PREFIX} in {where} is yours ({value!r}): it goes before CoAgent's"
        yield Finding(_ABOUT, "note", text, "coagent init says whether Bash commands are governed with it")


def _ours(where: str, value: str, ours: str) -> Iterator[Finding]:
    if not os.access(value, os.X_OK):
        text = f"{where} runs Bash commands by {value}, which is not there: no Bash command can be run"
        yield Finding(_ABOUT, "problem", text, "coagent init")
    elif os.path.realpath(value) != os.path.realpath(ours):
        text = f"{where} runs Bash commands by {value}, the script of another workspace"
        yield Finding(_ABOUT, "problem", text, "coagent init")
    else:
        yield Finding(_ABOUT, "ok", f"Bash commands are run by {value}")
