"""Commands that need no shell: one program and its plain words. Bash takes a millisecond to begin.

Source: bash(1), "Simple Commands", "BASH_ENV" and "Functions".
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

_PLAIN = re.compile(r"[a-z]+( +[\w./:@%+,^=-]+)*", re.ASCII)
"""A name and words that a shell leaves as they are."""


def without_shell(text: str, root: str, environment: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """Return the program that bash would become for a command, and its words; None where bash is needed.

    Args:
        text: For bash; it begins with a program that is nothing of bash's own.
        root: The workspace: what is in it may be something else to the command.
        environment: All variables of the command.
    """
    text = text.strip(" \t\n")
    if _PLAIN.fullmatch(text) is None or "BASH_ENV" in environment:
        return None
    words = text.split(" ")
    if any(name.startswith(f"BASH_FUNC_{words[0]}") for name in environment):
        return None
    place = shutil.which(words[0], path=environment.get("PATH", ""))
    if place is None or not place.startswith("/") or place.startswith(f"{root}/"):
        return None
    return place, [word for word in words if word]
