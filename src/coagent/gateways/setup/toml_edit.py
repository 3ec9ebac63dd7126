"""A TOML text made to hold something else, by the fewest changes.

A table of its own is put in behind all that is there, and cut out again, as text: every other byte stays.
tomlkit does what that cannot: tables inside of others, and entries that are to be changed. It keeps comments,
and moves tables that do not stand together.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, MutableMapping
from typing import Any

from coagent.gateways.setup.settings_file import WrongEntry

_HEADER = re.compile(r"[ \t]*\[")
_NOTHING = re.compile(r"[ \t]*(#.*)?$")
_Path = tuple[str, ...]


def changed(text: str, wanted: dict[str, Any]) -> str:
    """Return a text that holds what is wanted; what it holds already keeps its form and its comments.

    Args:
        text: What is there.
        wanted: What it is to hold.

    Raises:
        WrongEntry: tomlkit is needed and not installed, or cannot do it either.
    """
    now = tomllib.loads(text)
    for attempt in (_as_text, _by_tomlkit):
        new = attempt(text, now, wanted)
        try:
            if new is not None and tomllib.loads(new) == wanted:
                return new
        except ValueError:
            continue
    raise WrongEntry(
        "its tables are written in a way that an entry cannot be put into, or taken out of: "
        "write them as [table], each in one place"
    )


def _as_text(text: str, now: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    added, gone = _tables_only_in(wanted, now), _tables_only_in(now, wanted)
    if len(added) == 1 and not gone:
        return _with_table(text, added[0], wanted)
    if len(gone) == 1 and not added:
        return _without_table(text, gone[0])
    return None


def _tables_only_in(one: Mapping[str, Any], other: Mapping[str, Any], path: _Path = ()) -> list[_Path]:
    """Return the paths of the innermost tables that one has and the other has not."""
    found: list[_Path] = []
    for name, value in one.items():
        if isinstance(value, dict):
            there = other.get(name)
            inner = _tables_only_in(value, there if isinstance(there, dict) else {}, (*path, name))
            found += inner if inner or name in other else [(*path, name)]
    return found


def _with_table(text: str, path: _Path, wanted: Mapping[str, Any]) -> str:
    table: Any = wanted
    for name in path:
        table = table[name]
    lines = [f"[{'.'.join(path)}]", *(f"{name} = {_value(value)}" for name, value in table.items())]
    line_end = "\r\n" if "\r\n" in text else "\n"
    start = "" if not text or text.endswith("\n") else line_end
    gap = line_end if text.strip() and not text.endswith(("\n\n", "\n\r\n")) else ""
    return f"{text}{start}{gap}{line_end.join(lines)}{line_end}"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _without_table(text: str, path: _Path) -> str | None:
    lines = text.splitlines(keepends=True)
    dotted = r"[ \t]*\.[ \t]*".join(re.escape(name) for name in path)
    header = re.compile(rf"[ \t]*\[[ \t]*{dotted}[ \t]*\][ \t]*(#.*)?$")
    begin = next((at for at, line in enumerate(lines) if header.match(line.rstrip("\r\n"))), None)
    if begin is None:
        return None
    end = begin + 1
    for at in range(begin + 1, len(lines)):
        if _HEADER.match(lines[at]):
            break
        if not _NOTHING.match(lines[at].rstrip("\r\n")):
            end = at + 1
    if begin and not lines[begin - 1].strip():
        begin -= 1
    return "".join(lines[:begin] + lines[end:])


def _by_tomlkit(text: str, now: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    try:
        import tomlkit
    except ImportError:
        raise WrongEntry("tomlkit is needed to change it: run pip install 'coagent-mtpo[mcp]'") from None
    document = tomlkit.parse(text)
    _change(document, now, wanted)
    return tomlkit.dumps(document)


def _change(table: MutableMapping[str, Any], now: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in now:
        if name not in wanted:
            del table[name]
    for name, value in wanted.items():
        there = now.get(name)
        if there == value:
            continue
        if isinstance(there, dict) and isinstance(value, dict):
            _change(table[name], there, value)
        else:
            table[name] = value
