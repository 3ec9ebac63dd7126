"""Merging manifests: RFC 7386 for plain mappings, and lists of named things item by item.

The merge keys are those of the Kubernetes API's strategic merge patch for the parts of a pod template
(Kubernetes documentation, "Update API objects in place using kubectl patch").
"""

from __future__ import annotations

import json
from typing import Any, Final

_GONE: Final = object()
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "ownerReferences": "name",
    "secrets": "name",
}


def merge(current: Any, patch: Any) -> Any:
    """Return `current` with a merge patch (RFC 7386): mappings merge, null deletes, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for name, part in patch.items():
        if part is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), part)
    return result


def merge_strategically(current: Any, patch: Any, field: str = "") -> Any:
    """Return `current` with a strategic merge patch: as `merge`, but lists of named items merge by name.

    Of the directives it knows `$patch` (replace, delete) and `$retainKeys`.
    """
    if isinstance(patch, dict):
        return _merge_mapping(current if isinstance(current, dict) else {}, patch)
    key = _merge_key(field, patch)
    if key is None:
        return patch
    if {"$patch": "replace"} in patch:
        return [item for item in patch if item != {"$patch": "replace"}]
    result: list[Any] = list(current) if isinstance(current, list) else []
    places: dict[str, int] = {}  # of the first item of each name, so that long lists merge in linear time
    for index, item in enumerate(result):
        if isinstance(item, dict) and key in item:
            places.setdefault(_lookup_name(item[key]), index)
    for item in patch:
        name = _lookup_name(item[key])
        at = places.get(name)
        if item.get("$patch") == "delete":
            if at is not None:
                result[at] = _GONE
                del places[name]
        elif at is None:
            places[name] = len(result)
            result.append(_merge_mapping({}, item))
        else:
            result[at] = _merge_mapping(result[at], item)
    return [item for item in result if item is not _GONE]


def _lookup_name(value: Any) -> str:
    """Return a merge key's value as something that can be looked up; numbers are equal as JSON has them."""
    return json.dumps(value, sort_keys=True)


def _merge_mapping(current: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    retained = patch.get("$retainKeys")
    result = {} if directive == "replace" else dict(current)
    if isinstance(retained, list):
        result = {name: part for name, part in result.items() if name in retained}
    for name, part in patch.items():
        if part is None:
            result.pop(name, None)
        elif not name.startswith("$"):
            result[name] = merge_strategically(result.get(name), part, name)
    return result


def _merge_key(field: str, items: Any) -> str | None:
    """Return by what the items of a list are told apart; None where the list is replaced whole."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    named = [item for item in items if item != {"$patch": "replace"}]
    if field == "ports":  # a container's ports go by containerPort, a Service's by port
        keys: tuple[str, ...] = ("containerPort", "port")
    elif field in _MERGE_KEYS:
        keys = (_MERGE_KEYS[field],)
    else:
        return None
    return next((key for key in keys if all(key in item for item in named)), None)
