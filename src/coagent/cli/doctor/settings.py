"""Settings files of other programs, read as they may stand there: with comments, or broken."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

_COMMENT_OR_STRING = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.S)
_LAST_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.S)


class Unreadable(Exception):
    """A file that is there and cannot be used; the message says why."""


def settings_of(path: Path) -> dict[str, Any] | None:
    """Return what a TOML or JSON file holds, comments and last commas left out; None where there is none.

    Raises:
        Unreadable: It cannot be read, or is not of that kind.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not text.strip():
        return {}
    try:
        found = tomllib.loads(text) if path.suffix == ".toml" else _json(text)
    except ValueError as error:
        raise Unreadable(f"{path} is not valid: {error}") from None
    if not isinstance(found, dict):
        raise Unreadable(f"{path} holds no object")
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        plain = _COMMENT_OR_STRING.sub(lambda match: match[1] or " ", text)
        plain = _LAST_COMMA.sub(lambda match: match[1] or "", plain)
        if plain == text:
            raise
        return json.loads(plain)


def claude_settings(root: Path, home: Path) -> dict[Path, dict[str, Any] | Unreadable]:
    """Return the settings files of Claude Code that are there, what goes first first.

    Args:
        root: The workspace.
        home: The user's own folder.
    """
    places = (
        root / ".claude" / "settings.local.json",
        root / ".claude" / "settings.json",
        home / ".claude" / "settings.json",
    )
    found: dict[Path, dict[str, Any] | Unreadable] = {}
    for place in places:
        try:
            held = settings_of(place)
        except Unreadable as error:
            found[place] = error
            continue
        if held is not None:
            found[place] = held
    return found
