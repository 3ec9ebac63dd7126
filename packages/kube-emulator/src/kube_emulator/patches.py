"""The three patch forms that change an object field by field; server-side apply is in ``apply.py``.

Sources: RFC 6902 (JSON Patch), RFC 7386 (JSON Merge Patch), and the Kubernetes community document
"Strategic Merge Patch" for the directives ``$patch``, ``$setElementOrder``, ``$retainKeys`` and
``$deleteFromPrimitiveList``.
"""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import jsonpointer

from kube_emulator.mergekeys import ListRule, inner_kind, list_rule
from kube_emulator.statuses import ApiError, bad_request

Json = dict[str, Any]


def json_patch(obj: Json, operations: Any) -> Any:
    """Applies a JSON Patch.

    Raises:
        ApiError: 400 if it is not a patch, 422 if an operation cannot be done or a test fails.
    """
    try:
        return jsonpatch.JsonPatch(operations).apply(copy.deepcopy(obj))
    except (jsonpatch.InvalidJsonPatch, TypeError, AttributeError) as error:
        raise bad_request(f"error decoding patch: {error}") from None
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise ApiError(
            422, "Invalid", f"the server rejected our request due to an error in our request: {error}", {}
        ) from None


def merge_patch(target: Any, patch: Any) -> Any:
    """Applies a JSON Merge Patch: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_patch(target: Any, patch: Json, kind: str) -> Any:
    """Applies a strategic merge patch.

    Args:
        target: the value as it is.
        patch: the patch, an object.
        kind: the type of both, whose list rules say how lists are merged.

    Raises:
        ApiError: 400 if a list element lacks its merge key or a directive is not known.
    """
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type found: {directive}")
    merged = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(merged, key, value, patch, kind)
    for key, value in patch.items():
        _directive(merged, key, value, kind, patch)
    return merged


def _merge_field(merged: Json, key: str, value: Any, patch: Json, kind: str) -> None:
    inner = inner_kind(kind, key)
    if value is None:
        merged.pop(key, None)
    elif isinstance(value, dict):
        merged[key] = strategic_patch(merged.get(key), value, inner)
    elif isinstance(value, list) and (rule := list_rule(kind, key)) is not None:
        before = merged.get(key) if isinstance(merged.get(key), list) else []
        merged[key] = _merge_list(before or [], value, rule, inner)
    else:
        merged[key] = copy.deepcopy(value)


def _directive(merged: Json, key: str, value: Any, kind: str, patch: Json) -> None:
    if key.startswith("$setElementOrder/"):
        field = key.split("/", 1)[1]
        rule = list_rule(kind, field)
        if rule is not None and isinstance(merged.get(field), list):
            merged[field] = _in_order(merged[field], value, rule)
    elif key.startswith("$deleteFromPrimitiveList/"):
        field = key.split("/", 1)[1]
        merged[field] = [item for item in merged.get(field) or [] if item not in value]


def _merge_list(before: list[Any], patch: list[Any], rule: ListRule, inner: str) -> list[Any]:
    if not rule.key:
        return before + [item for item in patch if item not in before]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if item.get("$patch") != "replace"]
    merged = list(before)
    for item in patch:
        if not isinstance(item, dict) or rule.key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {rule.key}")
        at = next((i for i, old in enumerate(merged) if old.get(rule.key) == item[rule.key]), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(rule.key) != item[rule.key]]
        elif at is None:
            merged.append(strategic_patch({}, item, inner))
        else:
            merged[at] = strategic_patch(merged[at], item, inner)
    return merged


def _in_order(items: list[Any], order: list[Any], rule: ListRule) -> list[Any]:
    """The elements the order names, in that order; the others keep their place relative to what precedes."""

    def name(item: Any) -> Any:
        return item.get(rule.key) if rule.key and isinstance(item, dict) else item

    wanted = [name(entry) for entry in order]
    named = sorted(
        (item for item in items if name(item) in wanted), key=lambda item: wanted.index(name(item))
    )
    result: list[Any] = []
    remaining = iter(named)
    for item in items:
        result.append(next(remaining) if name(item) in wanted else item)
    return result
