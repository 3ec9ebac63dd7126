"""The library: a folder of tools as readable files that a team can review and commit, one file a tool.

How often each was used stands apart, in `uses.json`, so that the files change only when a tool does. A file
that cannot be read is named, with the cure, and takes no other with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit
import tomlkit.exceptions
from pydantic import ValidationError

from coagent.errors import ConfigurationError
from coagent.private import HOME, private_folder, write_private
from coagent.toolsmith.spec import ToolSpec

_USES = "uses.json"
_LOCK = ".lock"
_HEADER = "A grown tool (docs/toolsmith.md). After an edit: coagent tools verify {name}"


class Fault(NamedTuple):
    """A file of the library that cannot be used, and why."""

    file: str
    why: str


class Library:
    """A folder of tools; several processes may use it at once.

    Args:
        folder: It is made when the first tool is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, tuple[tuple[int, int, int], ToolSpec | None, list[Fault]]] = {}

    def load(self) -> tuple[dict[str, ToolSpec], list[Fault]]:
        """Return the tools by name, and the files that are none."""
        found: dict[str, ToolSpec] = {}
        faults: list[Fault] = []
        known = {}
        for path in sorted(self.folder.glob("*.toml")):
            try:
                status = path.stat()
                signature = (status.st_ino, status.st_mtime_ns, status.st_size)
            except OSError:
                signature = (0, 0, 0)
            if path not in self._known or self._known[path][0] != signature:
                wrong: list[Fault] = []
                known[path] = (signature, self._read(path, wrong), wrong)
            else:
                known[path] = self._known[path]
            _, spec, said = known[path]
            faults += said
            if spec is not None:
                found[spec.name] = spec
        self._known = known
        return found, faults

    def add(self, spec: ToolSpec, *, reserved: Collection[str] = ()) -> ToolSpec:
        """Keep a tool, unless one of its shape is there already, and return the one that is.

        Args:
            spec: The tool; where another shape has its name, it gets a number.
            reserved: Names that it cannot have.

        Raises:
            ConfigurationError: The folder cannot be written.
        """
        with self._lock():
            tools, _ = self.load()
            for candidate in tools.values():
                if candidate.skeleton == spec.skeleton and candidate.is_verified:
                    return candidate
            taken = {*reserved, *(path.stem for path in self.folder.glob("*.toml"))}
            name, number = spec.name, 1
            while name in taken:  # also by an edit of somebody's that is not verified yet: it stays
                number += 1
                name = f"{spec.name}_{number}"
            if name != spec.name:
                renamed = spec.model_copy(update={"name": name})
                verified = spec.verified and spec.verified.model_copy(update={"digest": renamed.digest})
                spec = renamed.model_copy(update={"verified": verified})
            self._write(self.folder / f"{name}.toml", _document(spec))
            return spec

    def replace(self, spec: ToolSpec) -> None:
        """Write a tool's file anew.

        Raises:
            ConfigurationError: The folder cannot be written.
        """
        with self._lock():
            self._write(self.folder / f"{spec.name}.toml", _document(spec))

    def remove(self, name: str) -> None:
        """Remove a tool.

        Raises:
            ConfigurationError: There is none of that name, or it cannot be removed.
        """
        path = self.folder / f"{Path(name).name}.toml"
        if not os.path.lexists(path):
            raise self.unknown(name)
        with self._lock():
            try:
                path.unlink()
            except FileNotFoundError:
                raise self.unknown(name) from None
            except OSError as error:
                why = f"{str(path)!r} cannot be removed: {error.strerror}"
                raise ConfigurationError(why, "Check what it is, and its permissions.") from error

    def unknown(self, name: str) -> ConfigurationError:
        """Return the error for a name that no tool has."""
        known = ", ".join(path.stem for path in sorted(self.folder.glob("*.toml"))) or "none"
        return ConfigurationError(f"{self.folder} has no tool {name!r}", f"It has {known}.")

    def uses(self) -> dict[str, int]:
        """Return how often each tool was called."""
        try:
            found = json.loads((self.folder / _USES).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        counts = found.items() if isinstance(found, dict) else ()
        return {str(name): int(count) for name, count in counts if isinstance(count, int)}

    def count_use(self, name: str) -> None:
        """Count one call of a tool; where that cannot be written, the call goes on."""
        with contextlib.suppress(ConfigurationError), self._lock():
            uses = self.uses()
            uses[name] = uses.get(name, 0) + 1
            self._write(self.folder / _USES, json.dumps(dict(sorted(uses.items())), indent=2) + "\n")

    def _read(self, path: Path, faults: list[Fault]) -> ToolSpec | None:
        if path.exists() and not path.is_file():  # to open a pipe would wait for whoever writes to it
            faults.append(Fault(path.name, "is no file. Correct or remove it."))
            return None
        try:
            spec = ToolSpec.model_validate(tomlkit.parse(path.read_text(encoding="utf-8")).unwrap())
        except (OSError, UnicodeDecodeError) as error:
            faults.append(Fault(path.name, f"cannot be read: {error}. Correct or remove it."))
        except tomlkit.exceptions.TOMLKitError as error:
            faults.append(Fault(path.name, f"is no TOML: {error}. Correct or remove it."))
        except ValidationError as error:
            what = "; ".join(
                f"{'.'.join(str(step) for step in fault['loc']) or 'tool'}: {fault['msg']}"
                for fault in error.errors()
            )
            faults.append(Fault(path.name, f"is no tool: {what}. Correct or remove it."))
        else:
            if spec.name == path.stem:
                return spec
            faults.append(Fault(path.name, f"holds the tool {spec.name!r}. Rename the file or the tool."))
        return None

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            if HOME in self.folder.parts or not self.folder.is_dir():
                private_folder(self.folder)
            descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, self._mode())
        except OSError as error:
            raise ConfigurationError(
                f"the library {str(self.folder)!r} cannot be written: {error.strerror}",
                "Check its permissions.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _mode(self) -> int:
        """Return the rights of its files, whose examples hold values: those of the folder."""
        return 0o666 & stat.S_IMODE(self.folder.stat().st_mode)

    def _write(self, path: Path, text: str) -> None:
        try:
            write_private(path, text, self._mode())
        except OSError as error:
            raise ConfigurationError(
                f"{str(path)!r} cannot be written: {error.strerror}", "Free some space, or check permissions."
            ) from error


def _document(spec: ToolSpec) -> str:
    """Return a tool as TOML, with texts of several lines as such."""
    document = tomlkit.document()
    document.add(tomlkit.comment(_HEADER.format(name=spec.name)))
    plain = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    plain = {"schema": spec.schema_, **plain}
    for name, value in plain.items():
        document.add(name, _item(value))
    return tomlkit.dumps(document)


def _item(value: Any) -> Any:
    if isinstance(value, str) and ("\n" in value or '"' in value) and "'''" not in value and _literal(value):
        return tomlkit.string(value, literal=True, multiline=True)
    return tomlkit.item(value)


def _literal(value: str) -> bool:
    return not value.endswith("'") and all(sign in "\n\t" or sign >= " " for sign in value)
