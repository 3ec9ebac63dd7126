"""Which manager owns which field: sets of field paths and their ``fieldsV1`` form.

A path is a tuple of steps in ``fieldsV1`` spelling: ``f:name`` for a field, ``k:{...}`` for the list element
with these key values, ``v:...`` for a plain value of a set, and a last ``.`` for the thing itself.

Source: Kubernetes documentation, "Server-Side Apply"; ``sigs.k8s.io/structured-merge-diff``.
"""

from __future__ import annotations

import json
from typing import Any

from kube_emulator.mergekeys import inner_kind, list_rule

Json = dict[str, Any]
Path = tuple[str, ...]
_UNOWNED = {
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    ("f:metadata", "f:name"),
    ("f:metadata", "f:namespace"),
    ("f:metadata", "f:uid"),
    ("f:metadata", "f:resourceVersion"),
    ("f:metadata", "f:creationTimestamp"),
    ("f:metadata", "f:generation"),
    ("f:metadata", "f:managedFields"),
    ("f:metadata", "f:deletionTimestamp"),
}
_NAMES_DEFAULTS = {"protocol": "TCP"}


def element_step(keys: tuple[str, ...], item: Json) -> str:
    """The step to a list element, by the values of its keys; absent keys count as their defaults."""
    chosen = {key: item.get(key, _NAMES_DEFAULTS.get(key)) for key in keys}
    named = {key: value for key, value in sorted(chosen.items()) if value is not None}
    return "k:" + json.dumps(named, separators=(",", ":"))


def values(obj: Any, kind: str) -> dict[Path, Any]:
    """Every owned path of an object with the value it has; list elements and empty maps own themselves."""
    found: dict[Path, Any] = {}
    _collect(obj, kind, (), found)
    return {
        path: value for path, value in found.items() if path not in _UNOWNED and path[:2] not in _UNOWNED_TWO
    }


_UNOWNED_TWO = {path for path in _UNOWNED if len(path) == 2}


def _collect(value: Any, kind: str, path: Path, found: dict[Path, Any]) -> None:
    for key, item in value.items():
        step = (*path, f"f:{key}")
        rule = list_rule(kind, key) if isinstance(item, list) else None
        if isinstance(item, dict):
            if item:
                _collect(item, inner_kind(kind, key), step, found)
            else:
                found[step] = item
        elif rule is not None and rule.apply_keys:
            for entry in item:
                at = (*step, element_step(rule.apply_keys, entry))
                found[(*at, ".")] = True
                _collect(entry, inner_kind(kind, key), at, found)
        elif rule is not None:
            for entry in item:
                found[(*step, "v:" + json.dumps(entry))] = True
        else:
            found[step] = item


def to_fields(paths: set[Path]) -> Json:
    """The ``fieldsV1`` object of a set of paths."""
    root: Json = {}
    for path in sorted(paths):
        at = root
        for step in path:
            at = at.setdefault(step, {})
    return root


def from_fields(fields: Json) -> set[Path]:
    """The set of paths of a ``fieldsV1`` object."""
    found: set[Path] = set()

    def walk(at: Json, path: Path) -> None:
        for step, below in at.items():
            if below:
                walk(below, (*path, step))
            else:
                found.add((*path, step))

    walk(fields, ())
    return found


def remove_path(obj: Any, path: Path, kind: str) -> None:
    """Takes the field or element at a path out of an object, in place; nothing if it is not there."""
    step, rest = path[0], path[1:]
    if not isinstance(obj, dict) or not step.startswith("f:"):
        return
    key = step[2:]
    below = obj.get(key)
    if below is None:
        return
    if not rest:
        del obj[key]
        return
    rule = list_rule(kind, key)
    if isinstance(below, list) and rule is not None:
        _remove_element(obj, key, rest, inner_kind(kind, key), rule.apply_keys)
        return
    remove_path(below, rest, inner_kind(kind, key))
    if below == {}:
        del obj[key]


def _remove_element(obj: Json, key: str, path: Path, kind: str, keys: tuple[str, ...]) -> None:
    step, rest = path[0], path[1:]
    if step.startswith("v:"):
        obj[key] = [item for item in obj[key] if item != json.loads(step[2:])]
        return
    for item in list(obj[key]):
        if element_step(keys, item) == step:
            if rest == (".",):
                obj[key].remove(item)
            else:
                remove_path(item, rest, kind)
    if not obj[key]:
        del obj[key]
