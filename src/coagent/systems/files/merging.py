"""How an edit of a file is merged where its text is gone by the time it has to be made again (rule 11).

By lines and words. What both agents wrote well-formed has to stay so: a merge that breaks a program's or a
data file's syntax is none. A JSON file whose lines clash is merged by its fields, where its text is just what
Python's `json` writes of its value.
"""

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from coagent.protocol.edit_merging import merge_texts
from coagent.protocol.keys import Key
from coagent.protocol.merging import merge
from coagent.protocol.values import Value

_LENGTH_MAX = 300_000
"""Above this, to merge and to parse would hold up everybody else."""
_INDENTS: Final = (None, 2, 4, "\t")


def merge_file(key: Key, saw: Value, found: Value, now: Value) -> Value | None:
    """Merge what an edit changed from `saw` to `found` into `now`; None where they clash.

    Args:
        key: The file.
        saw: Its text when the edit was made.
        found: What the edit made of it.
        now: Its text now.
    """
    if not (type(saw) is str and type(found) is str and type(now) is str):
        return None
    if max(len(saw), len(found), len(now)) > _LENGTH_MAX:
        return None
    merged = merge_texts(saw, found, now)
    read = _READERS.get(key.rpartition(".")[2].lower())
    if read is None or not (_reads(read, found) and _reads(read, now)):
        return merged
    if merged is not None and _reads(read, merged):
        return merged
    return _merge_fields(saw, found, now) if read is _read_json else None


def _merge_fields(saw: str, found: str, now: str) -> str | None:
    for indent in _INDENTS:
        end = "\n" if now.endswith("\n") else ""

        def dump(value: Any, indent: int | str | None = indent, end: str = end) -> str:
            return json.dumps(value, indent=indent, ensure_ascii=False) + end

        values = [json.loads(text) for text in (saw, found, now)]
        if [dump(value) for value in values] == [saw, found, now]:
            merged = merge(*values)
            return dump(merged.value) if merged.clean else None
    return None


def _read_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a merge may have put the same field into it twice."""
    if len(made := dict(pairs)) < len(pairs):
        raise ValueError("a field stands twice")
    return made


def _compiles(text: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        compile(text, "merged", "exec", dont_inherit=True)


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "py": _compiles,
    "pyi": _compiles,
    "json": _read_json,
    "toml": tomllib.loads,
}
"""What reads a file of that ending, and raises where it is not well-formed."""


def _reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return True
