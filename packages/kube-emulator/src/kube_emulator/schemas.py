"""What fields the built-in kinds have: reading bodies against the tables in ``data/schemas.json``.

A table names, for each type, its fields with their types and which are required. Types are written
``str``, ``int``, ``bool``, ``float``, ``datetime``, ``bytes``, ``quantity``, ``object`` (anything),
``List[T]``, ``Dict[str, T]`` or the name of another table.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from kube_emulator.statuses import QUANTITY_RULE, Cause, bad_request

Json = dict[str, Any]
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_GO_TYPES = {"str": "string", "int": "int32", "bool": "bool", "float": "float64"}


@cache
def tables() -> dict[str, Any]:
    """Every type's table: ``{"fields": {name: type}, "required": [names]}``."""
    text = files("kube_emulator").joinpath("data/schemas.json").read_text()
    return dict(json.loads(text))


@cache
def documentation() -> dict[str, dict[str, str]]:
    """The documentation of each type's fields, for ``kubectl explain``."""
    text = files("kube_emulator").joinpath("data/documentation.json").read_text()
    return dict(json.loads(text))


def element(kind: str) -> str:
    """The element type of a list or map type; the type itself for every other."""
    if kind.startswith("List["):
        return kind[5:-1]
    if kind.startswith("Dict[str, "):
        return kind[10:-1]
    return kind


def field_kind(kind: str, name: str) -> str:
    """The type of a field of a table; ``object`` for what no table tells."""
    table = tables().get(kind)
    return str(table["fields"].get(name, "object")) if table else "object"


@dataclass
class Reading:
    """A body read against its table: unknown fields dropped and noted, missing ones noted."""

    go_type: str
    unknown: list[str] = field(default_factory=list)
    missing: list[Cause] = field(default_factory=list)

    def read(self, kind: str, value: Any, path: str = "") -> Any:
        """A copy of ``value`` with only the fields its type has.

        Raises:
            ApiError: 400 if a value is of another type than its field, as Go's decoder refuses it.
        """
        table = tables().get(kind)
        if table is not None:
            return self._read_table(kind, table, value, path)
        if kind.startswith("List["):
            self._expect(value, list, path, kind)
            inner = element(kind)
            return [self.read(inner, item, f"{path}[{index}]") for index, item in enumerate(value)]
        if kind.startswith("Dict["):
            self._expect(value, dict, path, kind)
            inner = element(kind)
            return {key: self.read(inner, item, path) for key, item in value.items()}
        return self._read_scalar(kind, value, path)

    def _read_table(self, kind: str, table: Any, value: Any, path: str) -> Json:
        self._expect(value, dict, path, kind)
        read: Json = {}
        fields = table["fields"]
        for name, item in value.items():
            where = f"{path}.{name}" if path else name
            known = fields.get(name)
            if known is None:
                self.unknown.append(where)
            elif item is not None:
                read[name] = self.read(known, item, where)
        for name in table["required"]:
            if name not in read:
                where = f"{path}.{name}" if path else name
                self.missing.append(Cause("FieldValueRequired", "Required value", where))
        return read

    def _read_scalar(self, kind: str, value: Any, path: str) -> Any:
        if kind == "quantity":
            return value if isinstance(value, str) else _plain_number(value)
        if kind == "bytes":
            self._expect(value, str, path, "str")
            _check_base64(value)
        elif kind in ("str", "datetime"):
            self._expect(value, str, path, "str")
        elif kind == "bool":
            self._expect(value, bool, path, kind)
        elif kind == "int":
            if isinstance(value, float) and value.is_integer():
                return int(value)
            if isinstance(value, bool):
                self._refuse(value, path, kind)
            self._expect(value, int, path, kind)
        elif kind == "float" and (isinstance(value, bool) or not isinstance(value, int | float)):
            self._refuse(value, path, kind)
        return value

    def _expect(self, value: Any, wanted: type, path: str, kind: str) -> None:
        if not isinstance(value, wanted):
            self._refuse(value, path, kind)

    def _refuse(self, value: Any, path: str, kind: str) -> None:
        found = _GO_KINDS.get(type(value), "null")
        wanted = _GO_TYPES.get(kind, _go_name(kind))
        raise bad_request(
            f"{self.go_type} cannot be handled as a {self.go_type}: json: cannot unmarshal {found} into "
            f"Go struct field {self.go_type}.{path} of type {wanted}"
        )


def _go_name(kind: str) -> str:
    if kind.startswith("List["):
        return "[]" + _GO_TYPES.get(element(kind), _go_name(element(kind)))
    if kind.startswith("Dict["):
        return "map[string]" + _GO_TYPES.get(element(kind), _go_name(element(kind)))
    return f"v1.{kind[2:]}" if kind[:2] in ("V1", "V2") else kind


def _plain_number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise bad_request(QUANTITY_RULE)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check_base64(value: str) -> None:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request("illegal base64 data at input byte 0") from None


def walk_tables(roots: list[str]) -> Iterator[str]:
    """Every table that the given types use, themselves included, each once."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        table = tables().get(name)
        if table is None or name in seen:
            continue
        seen.add(name)
        yield name
        for kind in table["fields"].values():
            while element(kind) != kind:
                kind = element(kind)
            waiting.append(kind)
