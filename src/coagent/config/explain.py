"""What is wrong with a TOML file, by line, and the nearest right name."""

from __future__ import annotations

import contextlib
import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, runtime_checkable

from pydantic import ValidationError

from coagent.errors import ConfigurationError
from coagent.masking.values import masked
from coagent.systems.base import Table

Location = tuple[int | str, ...]
_ERRORS_SHOWN_MAX = 5
_T = TypeVar("_T", bound=Table)


@runtime_checkable
class ByContent(Protocol):
    """In an annotation: which table it is says what stands in it."""

    def table(self, data: Any) -> type[Table] | None:
        """Return the one that it is; None where that is none."""


def read_toml(path: Path, table: type[_T], *, what: str, cure: str) -> _T:
    """Read and check a file.

    Args:
        path: The file.
        table: Its schema.
        what: What it is called in messages, such as "the run file".
        cure: Where its format is told.

    Raises:
        ConfigurationError: It cannot be read, is no TOML, or says something that such a file does not say;
            the message names the line, and for an unknown key the nearest right one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(
            f"{what} {str(path)!r} cannot be read: {reason}", "Name a TOML file."
        ) from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}", cure) from error
    try:
        return table.model_validate(data)
    except ValidationError as error:
        raise explain_error(path, text, error, table, cure) from error


def at(path: Path, text: str, location: Location) -> str:
    """Return `file:line` of a key, or of the table that it should be in."""
    line = line_of(text, location)
    return str(path) if line is None else f"{path}:{line}"


def line_of(text: str, location: Location) -> int | None:
    """Return the line of a key in TOML text, counted from 1; None where it does not stand in it.

    A plain search by headers and keys: good for the flat files that run files are, and only for messages.

    Args:
        text: The TOML text.
        location: For instance ("agents", 1, "goal"): the key `goal` in the second `[[agents]]`.
    """
    lines = text.splitlines()
    names = [step for step in location if isinstance(step, str)]
    found: int | None = None
    first, last = 0, len(lines)
    if not names:
        return None
    headers = [index for index, line in enumerate(lines) if re.match(r"\s*\[", line)]
    section = _header(lines, location)
    if section is None:
        last = headers[0] if headers else len(lines)
    else:
        found, names = section[0], names[section[1] :]
        first, last = found + 1, next((index for index in headers if index > section[0]), len(lines))
    for name in names:
        pattern = re.compile(rf"""(?:^\s*|[{{,.]\s*)["']?{re.escape(name)}["']?\s*[=.]""")
        match = next((index for index in range(first, last) if pattern.search(lines[index])), None)
        if match is None:
            break
        found = first = match
    return None if found is None else found + 1


def _header(lines: list[str], location: Location) -> tuple[int, int] | None:
    """Return the line of the innermost table header on the way to a key, and how many names it covers."""
    best: tuple[int, int] | None = None
    names: list[str] = []
    for step, following in zip(location, (*location[1:], None), strict=True):
        if isinstance(step, int):
            continue
        names.append(step)
        dotted = r"\s*\.\s*".join(rf"""["']?{re.escape(name)}["']?""" for name in names)
        pattern = re.compile(rf"\s*\[\[?\s*{dotted}\s*\]\]?")
        found = [index for index, line in enumerate(lines) if pattern.match(line)]
        which = following if isinstance(following, int) else 0
        if which < len(found):
            best = (found[which], len(names))
    return best


def nearest(name: str, known: list[str]) -> str:
    """Return a cure that names the nearest of the right names, or all of them."""
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(known) or 'none'}."


def explain_error(
    path: Path, text: str, error: ValidationError, table: type[Table], cure: str
) -> ConfigurationError:
    """Return what is wrong with a file, by line.

    Args:
        path: The file.
        text: What stands in it.
        error: What the schema says.
        table: The schema.
        cure: Where the format is told.
    """
    faults = error.errors(include_url=False, include_context=True, include_input=True)
    faults.sort(key=lambda fault: line_of(text, _location(dict(fault))) or 0)
    told = [_fault(path, text, dict(fault), table) for fault in faults[:_ERRORS_SHOWN_MAX]]
    if len(faults) > len(told):
        told.append(f"(and {len(faults) - len(told)} more)")
    return ConfigurationError("\n".join(told), cure if len(told) > 1 else "")


def _location(fault: dict[str, Any]) -> Location:
    return tuple(fault["loc"])


def _fault(path: Path, text: str, fault: dict[str, Any], table: type[Table]) -> str:
    location = _location(fault)
    place, name = at(path, text, location), str(location[-1]) if location else ""
    where = ".".join(str(step) for step in location[:-1] if isinstance(step, str))
    inside = f" in [{where}]" if where else ""
    match fault["type"]:
        case "extra_forbidden":
            known = _names_at(tomllib.loads(text), location, table)
            return f"{place}: unknown key {name!r}{inside}. {nearest(name, known)}"
        case "missing":
            return f"{place}: {name!r} is missing{inside}."
        case "system":
            return f"{place}: {fault['msg']}"
        case "value_error":
            return f"{place}: {fault['ctx']['error']!s}."
        case _:
            (given,) = masked({name: fault["input"]}).values()
            return f"{place}: {name!r}{inside}: {fault['msg']} (it is {given!r})."


def _names_at(data: Any, location: Location, top: type[Table]) -> list[str]:
    """Return the keys that may stand where an unknown one was found.

    Args:
        data: What stands in the file.
        location: Of the unknown key.
        top: The schema of the file.
    """
    tables = [top]
    for step in location[:-1]:
        with contextlib.suppress(LookupError, TypeError):
            data = data[step]
        if not isinstance(step, int):
            inner = [table.inner(step) for table in tables]
        tables = [table for argument in inner for table in _tables_in(argument, data)]
    return sorted({name for table in tables for name in table.names()})


def _tables_in(annotation: Any, data: Any) -> list[type[Table]]:
    """Return the tables that an annotation allows, for what stands in the file."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    if isinstance(annotation, ByContent):
        found = annotation.table(data)
        return [] if found is None else [found]
    return [table for argument in get_args(annotation) for table in _tables_in(argument, data)]
