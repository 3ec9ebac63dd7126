"""Entries of our own in a settings file of somebody else's, put in and taken out to the byte.

What the file was before is kept beside what we have made of it. As long as nobody has changed it since,
taking our entries out puts those very bytes back; else they alone are taken out of what it is now. A byte
order mark, line ends, comments, rights and links stay as they are.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from coagent.errors import ConfigurationError
from coagent.gateways.setup.file_writing import require_writable, write_in_place_of
from coagent.private import private_folder, write_private

Change = Callable[[dict[str, Any]], dict[str, Any]]
_BYTE_ORDER_MARK = "\ufeff"
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")
"""How byte order marks of UTF-16 are read as UTF-8, with surrogates for what is none."""
_OURS = "coagent"
_CORRECT_FIRST = "Correct it first; nothing has been changed."


class WrongEntry(ValueError):
    """Something in the settings stands in the way of our entries; the message says what."""


class Form(Protocol):
    """How settings are written down."""

    name: str

    def read(self, text: str) -> Any:
        """Return what a text holds.

        Raises:
            ValueError: It is not of this form; the message says where and why.
        """

    def require_read_by_client(self, text: str) -> None:
        """Check that the client takes a text of this form as it is written.

        Raises:
            ValueError: It does not; the message says why.
        """

    def changed(self, text: str, wanted: dict[str, Any]) -> str:
        """Return a text that holds what is wanted, by the fewest changes."""


@dataclass(frozen=True)
class Planned:
    """A change of a file that has been checked, and is still to be made."""

    path: Path
    make: Callable[[], bool]
    """Makes it, and tells whether the file is another now."""


class SettingsFile:
    """A settings file of somebody else's.

    Args:
        path: The file, or a link to it.
        memory: A folder where what it was before is kept.
        form: How it is written.
        with_ours: Returns the content with our entries, whether or not they are there already.
        without_ours: Returns the content without them.
    """

    def __init__(self, path: Path, memory: Path, form: Form, with_ours: Change, without_ours: Change) -> None:
        self.path = path
        self._form, self._with, self._without = form, with_ours, without_ours
        self._made = self._remembered(memory)
        self._before, self._made_folder = self._made.with_suffix(".before"), self._made.with_suffix(".folder")

    @property
    def known(self) -> bool:
        """Whether our entries were put in, and not taken out since."""
        return self._made.exists()

    @property
    def created(self) -> bool:
        """Whether the file is there because of us alone."""
        return self._made.exists() and not self._before.exists()

    def put_in(self) -> Planned | None:
        """Check that our entries can be put in.

        Returns:
            The change that does so; None where they are in it already.

        Raises:
            ConfigurationError: The file is wrong, or cannot be written; it is left as it is.
        """
        text = self._text()
        data = self._data(text)
        self._require_read_by_client(text)
        new = self._changed(text, data, self._with)
        if new is None:
            return None
        before: str | None = text
        if text is not None and self._untouched(text):
            before = (
                self._before.read_bytes().decode("utf-8", "surrogateescape") if not self.created else None
            )
        elif text is not None:
            before = self._changed(text, data, self._without) or text
        require_writable(self.path)
        return Planned(self.path, lambda: self._put(new, before))

    def take_out(self) -> Planned | None:
        """Check that our entries can be taken out.

        Returns:
            The change that does so; None where nothing of ours is in it.

        Raises:
            ConfigurationError: The file has something of ours and is wrong, or cannot be written; it is left
                as it is.
        """
        text = self._text()
        if text is None:
            return None
        new: str | None
        if self._untouched(text):
            new = None if self.created else self._before.read_bytes().decode("utf-8", "surrogateescape")
        elif _OURS not in text:
            return None
        else:
            new = self._changed(text, self._data(text), self._without)
            if new is None:
                return None
            if self.created and not self._data(new):
                new = None
        require_writable(self.path)
        return Planned(self.path, lambda: self._take(new))

    def _remembered(self, memory: Path) -> Path:
        """Return the file in the memory that tells of this one, also where the workspace has moved since."""
        key = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        made = memory / f"{self.path.name}-{key}.made"
        if not made.exists() and memory.is_dir() and os.access(self.path, os.R_OK) and self.path.is_file():
            digest = _digest(self._text() or "")
            found = (path for path in memory.glob("*.made") if path.name.startswith(f"{self.path.name}-"))
            return next((path for path in found if path.read_text() == digest), made)
        return made

    def _put(self, new: str, before: str | None) -> bool:
        private_folder(self._made.parent)
        if before is None:
            self._before.unlink(missing_ok=True)
        else:
            write_private(self._before, before)
        write_private(self._made, _digest(new))
        if not self.path.parent.exists():
            write_private(self._made_folder, "")
        write_in_place_of(self.path, new.encode("utf-8", "surrogateescape"))
        return True

    def _take(self, new: str | None) -> bool:
        target = Path(os.path.realpath(self.path))
        if new is None:
            try:
                target.unlink(missing_ok=True)
            except OSError as error:
                raise ConfigurationError(f"{self.path} cannot be removed: {error.strerror}") from None
        else:
            write_in_place_of(self.path, new.encode("utf-8", "surrogateescape"))
        folder = self.path.parent
        if self._made_folder.exists() and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        for path in (self._before, self._made, self._made_folder):
            path.unlink(missing_ok=True)
        return True

    def _changed(self, text: str | None, data: dict[str, Any], change: Change) -> str | None:
        """Return the text after a change; None where it changes nothing."""
        text = text or ""
        mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
        try:
            wanted = change(copy.deepcopy(data))
            return None if wanted == data else mark + self._form.changed(text[len(mark) :], wanted)
        except WrongEntry as error:
            raise ConfigurationError(f"{self.path}: {error}", _CORRECT_FIRST) from None

    def _untouched(self, text: str) -> bool:
        return self._made.exists() and self._made.read_text() == _digest(text)

    def _text(self) -> str | None:
        try:
            return self.path.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} cannot be read: {error.strerror}", _CORRECT_FIRST
            ) from None

    def _data(self, text: str | None) -> dict[str, Any]:
        text = (text or "").removeprefix(_BYTE_ORDER_MARK)
        if not text.strip():
            return {}
        if text.startswith(_UTF_16):
            raise ConfigurationError(f"{self.path} is not UTF-8 text", "Save it as UTF-8 first.")
        try:
            data = self._form.read(text)
        except ValueError as error:
            raise ConfigurationError(
                f"{self.path} is not valid {self._form.name}: {error}", _CORRECT_FIRST
            ) from None
        if not isinstance(data, dict):
            raise ConfigurationError(f"{self.path} holds no {self._form.name} object", _CORRECT_FIRST)
        return data

    def _require_read_by_client(self, text: str | None) -> None:
        try:
            self._form.require_read_by_client((text or "").removeprefix(_BYTE_ORDER_MARK))
        except ValueError as error:
            raise ConfigurationError(
                f"{self.path} is not read by its client: {error}", _CORRECT_FIRST
            ) from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
