"""Entries of our own in a JSON file of somebody else's, put in and taken out to the byte.

What the file was before is kept beside what we have made of it. As long as nobody has changed it since,
taking our entries out puts those very bytes back; else they are taken out of what it is now.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coagent.errors import ConfigurationError
from coagent.private import private_folder, write_private

_MARK = "\ufeff"
"""The byte order mark that some editors begin a file with."""
Change = Callable[[dict[str, Any]], dict[str, Any]]


class JsonFile:
    """A JSON file of somebody else's.

    Args:
        path: The file.
        memory: A folder where what it was before is kept.
    """

    def __init__(self, path: Path, memory: Path) -> None:
        self.path = path
        self._place = Path(os.path.realpath(path))  # a link stays one
        name = hashlib.sha256(str(path).encode()).hexdigest()[:12]
        self._before = memory / f"{path.name}-{name}.before"
        self._made = memory / f"{path.name}-{name}.made"

    def change(self, with_ours: Change) -> bool:
        """Put our entries in.

        Args:
            with_ours: Returns the content with them, whether or not they are there already.

        Returns:
            Whether the file has changed.

        Raises:
            ConfigurationError: It is no JSON object, or cannot be written; it is left as it is.
        """
        text = self._text()
        data = self._parsed(text)
        made = with_ours(json.loads(json.dumps(data)))
        if made == data:
            return False
        new = _written(made, text)
        private_folder(self._before.parent)
        if not (self._made.exists() and text is not None and self._made.read_text() == _digest(text)):
            self._before.unlink(missing_ok=True)
            if text is not None:
                write_private(self._before, text)
        write_private(self._made, _digest(new))
        self._write(new)
        return True

    def check(self) -> None:
        """See whether entries could be put in.

        Raises:
            ConfigurationError: It is no JSON object, or cannot be read.
        """
        self._parsed(self._text())

    def restore(self, without_ours: Change) -> bool:
        """Take our entries out.

        Args:
            without_ours: Returns the content without them.

        Returns:
            Whether the file has changed.

        Raises:
            ConfigurationError: It is no JSON object, or cannot be written; it is left as it is.
        """
        text = self._text()
        if text is None:
            return False
        untouched = self._made.exists() and self._made.read_text() == _digest(text)
        if untouched and self._before.exists():
            self._write(self._before.read_bytes().decode("utf-8", "surrogateescape"))
        elif untouched:
            self._place.unlink()
        else:
            data = self._parsed(text)
            made = without_ours(json.loads(json.dumps(data)))
            if made == data:
                return False
            self._write(_written(made, text))
        self._before.unlink(missing_ok=True)
        self._made.unlink(missing_ok=True)
        return True

    def _text(self) -> str | None:
        try:
            return self.path.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error.strerror}") from None

    def _parsed(self, text: str | None) -> dict[str, Any]:
        if text is None or not text.strip():
            return {}
        try:
            data = json.loads(text.removeprefix(_MARK))
        except ValueError as error:
            comments = " (comments are none of it)" if re.search(r"^\s*//|/\*", text, re.M) else ""
            raise ConfigurationError(
                f"{self.path} is not valid JSON{comments}: {error}",
                "Mend it first; nothing has been changed.",
            ) from None
        if not isinstance(data, dict):
            raise ConfigurationError(f"{self.path} holds no JSON object", "Mend it first.")
        return data

    def _write(self, text: str) -> None:
        place = self._place
        partial = place.with_name(f".{place.name}.coagent-new")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(text.encode("utf-8", "surrogateescape"))
            if place.exists():
                partial.chmod(place.stat().st_mode & 0o7777)
            partial.replace(place)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be written: {error.strerror}") from None


def _written(data: dict[str, Any], like: str | None) -> str:
    """Return JSON text, indented as another one is."""
    found = re.search(r"^([ \t]+)\S", like or "", re.M)
    indent: int | str = 2 if found is None else found[1]
    end = "" if like and not like.endswith("\n") else "\n"
    mark = _MARK if like and like.startswith(_MARK) else ""
    return mark + json.dumps(data, indent=indent, ensure_ascii=False) + end


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
