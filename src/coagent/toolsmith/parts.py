"""What a structured file is made of, so that a footprint can be finer than a file.

A part is named by a key and has a text as its value; equal texts are equal parts.

| key | what it names |
|---|---|
| `json:FILE#/limits/rate` | a value of a document, by JSON Pointer (RFC 6901); also `yaml:` and `toml:` |
| `ini:FILE#server/port` | a key of a section, the case of both kept; without a section `ini:FILE#/port` |
| `line:FILE#ann` | a line of `passwd` or `group`, by its first field |
| `row:FILE#products/3` | a row of an SQLite database, by primary key, otherwise by rowid |
| `schema:FILE#table/products` | how an SQLite database defines a table, index, view or trigger; a pragma |
| `layout:FILE` | all that is not a part: comments, spaces, quoting, the order of members |

- A container is a part as well, and its value is only that it is an object or a list. So to add a member
  changes the member's key alone, and to put an object where there was none changes its key and its members'.
- Lists go by index: to insert an element changes all that shift, and the one that is new at the end.
- The documents of a YAML file after the first are numbered: `yaml:FILE#2/kind`. Aliases stand for what they
  name, so to change an anchored value changes its copies too. Merge keys (`<<`) are members like any other.
- Where a key stands twice, programs differ in which they take: such a file has no parts.
- Layout counts only where no part changes. Programs that rewrite a value (jq) lay the whole file out anew,
  and a tool that may set a value must be able to. Comments lost on the way are therefore not seen here.

Whatever cannot be read safely, quickly and in one way only has no parts, and counts as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from coagent.toolsmith.part_documents import json_parts, toml_parts, yaml_parts
from coagent.toolsmith.part_lines import ini_parts, table_parts
from coagent.toolsmith.part_rows import MAGIC, sqlite_parts

Reader: TypeAlias = Callable[[str, bytes], dict[str, str] | None]

_SUFFIXES: dict[str, Reader] = {
    "json": json_parts,
    "yaml": yaml_parts,
    "yml": yaml_parts,
    "toml": toml_parts,
    **dict.fromkeys(("ini", "cfg", "conf", "env", "properties", "service", "timer", "socket"), ini_parts),
}
_NAMES: dict[str, Reader] = {"passwd": table_parts, "group": table_parts}


def parts_of(path: str, data: bytes) -> dict[str, str] | None:
    """Return the parts of a file, by key, or None where it has none that could be told apart.

    Args:
        path: The file, relative to the workspace; its name tells the format (a database's bytes do).
        data: What is in it. It may be anything: nothing of it is executed, and the work is bounded.
    """
    if data.startswith(MAGIC):
        return sqlite_parts(path, data)
    name = path.rpartition("/")[2]
    reader = _NAMES.get(name)
    if reader is None:
        suffix = "env" if name.startswith(".env.") else name.rpartition(".")[2]
        reader = _SUFFIXES.get(suffix.lower()) if "." in name else None
    return None if reader is None else reader(path, data)


def changed_keys(path: str, before: bytes | None, after: bytes | None) -> frozenset[str] | None:
    """Return the keys of what differs between two states of a file.

    Args:
        path: The file, relative to the workspace.
        before: What was in it; None where it did not exist.
        after: What is in it; None where it no longer exists.

    Returns:
        Nothing for equal bytes; `layout:PATH` alone where no part differs; `file:PATH` and all parts where
        the file is made or removed. None where the parts cannot be told: then the whole file counts.
    """
    if before == after:
        return frozenset()
    old = {} if before is None else parts_of(path, before)
    new = {} if after is None else parts_of(path, after)
    if old is None or new is None:
        return None
    if before is None or after is None:
        return frozenset({f"file:{path}", *old, *new})
    changed = frozenset(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return changed or frozenset({f"layout:{path}"})
