"""What we make in a repository, kept out of `git add -A`: lines of ours in its `.git/info/exclude`.

Source: gitignore(5), "Patterns which are specific to a particular repository".
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from coagent.errors import ConfigurationError

_BEGIN, _END = "# coagent: begin", "# coagent: end"
_NEW_FILE, _NO_LINE_END = _MARKS = (" (new file)", " (no line end)")
_GIT_S_MAX = 30


def put_in(root: Path, paths: Sequence[str]) -> bool:
    """Have git ignore some paths of a workspace.

    Args:
        root: The workspace.
        paths: Relative to it.

    Returns:
        Whether the file has changed; never where there is no repository.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    place, within = _place(root)
    if place is None:
        return False
    before = _without(_text(place), _begin(within))
    started = "" if before is None or not before or before.endswith("\n") else "\n"
    mark = f"{_begin(within)}{_NEW_FILE if before is None else _NO_LINE_END if started else ''}"
    lines = [mark, *(f"/{within}{path}" for path in paths), _END]
    return _write(place, f"{before or ''}{started}" + "".join(f"{line}\n" for line in lines))


def take_out(root: Path) -> bool:
    """Take our lines out again, to the byte.

    Returns:
        Whether the file has changed.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    place, within = _place(root)
    text = None if place is None else _text(place)
    if place is None or text is None:
        return False
    left = _without(text, _begin(within))
    if left is None:
        place.unlink()
        return True
    return _write(place, left)


def _begin(within: str) -> str:
    """Return the line with which the lines of a workspace begin: a repository may hold several."""
    return f"{_BEGIN} {within}" if within else _BEGIN


def _without(text: str | None, begin: str) -> str | None:
    """Return a text without the lines of a workspace; None where the file was made for them."""
    if text is None:
        return None
    for mark in ("", *_MARKS):
        head, found, rest = f"\n{text}".partition(f"\n{begin}{mark}\n")
        _, end, tail = rest.partition(f"{_END}\n")
        if not found or not end:
            continue
        head = f"{head}\n"[1:]
        if mark and tail.startswith(_BEGIN):  # what it says of the file holds for the next ones then
            line, _, rest = tail.partition("\n")
            return f"{head}{line}{mark}\n{rest}"
        if mark == _NO_LINE_END:
            head = head.removesuffix("\n")
        return None if mark == _NEW_FILE and not head + tail else head + tail
    return text


def _place(root: Path) -> tuple[Path | None, str]:
    """Return the file, and how the workspace is called in the repository; no file where there is none."""
    asked = ["git", "-C", str(root), "rev-parse", "--show-prefix", "--git-path", "info/exclude"]
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            asked, capture_output=True, check=True, timeout=_GIT_S_MAX, env=known, encoding="utf-8"
        )
        within, place = done.stdout.split("\n")[:2]
    except (OSError, subprocess.SubprocessError, ValueError):
        return None, ""
    return root / place, within


def _text(place: Path) -> str | None:
    try:
        return place.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{str(place)!r} cannot be read: {error.strerror}") from None


def _write(place: Path, text: str) -> bool:
    data = text.encode("utf-8", "surrogateescape")
    try:
        if place.is_file() and place.read_bytes() == data:
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    except OSError as error:
        raise ConfigurationError(f"{str(place)!r} cannot be written: {error.strerror}") from None
    return True
