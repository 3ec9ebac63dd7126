"""``metadata.managedFields``: who wrote what, kept up to date at each write; and server-side apply.

Source: Kubernetes documentation, "Server-Side Apply".
"""

from __future__ import annotations

import copy
from typing import Any

from kube_emulator.mergekeys import inner_kind, list_rule
from kube_emulator.ownership import Path, element_step, from_fields, remove_path, to_fields, values
from kube_emulator.statuses import Cause, apply_conflict

Json = dict[str, Any]


def track(
    old: Json | None, new: Json, kind: str, manager: str, now: str, subresource: str = ""
) -> list[Json]:
    """The ``managedFields`` after a plain write: what it changed is now its manager's alone.

    Args:
        old: the object before, None when it is created.
        new: the object as it will be stored.
        kind: the type of the object in the field tables.
        manager: the name of the writer.
        now: the time of the write, as written in objects.
        subresource: the subresource written to, if any.
    """
    before = values(old, kind) if old else {}
    after = values(new, kind)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    entries = [dict(entry) for entry in (old or {}).get("metadata", {}).get("managedFields") or []]
    return _rewrite(entries, manager, "Update", changed, set(after), new["apiVersion"], now, subresource)


def _rewrite(
    entries: list[Json],
    manager: str,
    operation: str,
    owned: set[Path],
    existing: set[Path],
    api_version: str,
    now: str,
    subresource: str = "",
) -> list[Json]:
    """The entries after ``manager`` got ``owned``: paths that no longer exist are dropped from all."""
    kept: list[Json] = []
    mine: set[Path] = set()
    before: Json = {}
    for entry in entries:
        paths = from_fields(entry.get("fieldsV1") or {})
        same = (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            manager,
            operation,
            subresource,
        )
        if same:
            before = entry
            mine = paths & existing if operation == "Update" else set()
            continue
        left = paths & existing
        left = left if operation == "Apply" or not owned else left - {p for p in owned if p[-1] != "."}
        if left == paths:
            kept.append(entry)
        elif left:
            kept.append(dict(entry, fieldsV1=to_fields(left)))
    paths = mine | owned
    if paths:
        made: Json = {
            "manager": manager,
            "operation": operation,
            "apiVersion": api_version,
            "time": now,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields(paths),
        }
        if subresource:
            made["subresource"] = subresource
        # A write that changes nothing of its manager's fields leaves their time as it was.
        unchanged = {**before, "time": now} == made
        kept.append(before if unchanged else made)
    return kept


def apply(old: Json | None, applied: Json, kind: str, manager: str, now: str, force: bool) -> Json:
    """Server-side apply: the object that results, its ``managedFields`` included.

    Args:
        old: the object as it is, None if there is none.
        applied: the fields that the manager wants.
        force: whether to take over fields that others own with other values.

    Raises:
        ApiError: 409 if others own such fields and ``force`` is not given.
    """
    wanted = values(applied, kind)
    entries = [dict(entry) for entry in (old or {}).get("metadata", {}).get("managedFields") or []]
    live = values(old, kind) if old else {}
    contested = _contested(entries, wanted, live, manager)
    if contested and not force:
        raise apply_conflict(_causes(contested), " and ".join(sorted({f'"{who}"' for who, _ in contested})))
    result: Json = copy.deepcopy(old) if old else {}
    for path in _released(entries, manager, set(wanted)):
        remove_path(result, path, kind)
    result = merge_applied(result, applied, kind)
    taken = {path for _, path in contested}
    for entry in entries:
        if taken and not _is_mine(entry, manager):
            entry["fieldsV1"] = to_fields(from_fields(entry.get("fieldsV1") or {}) - taken)
    entries = [entry for entry in entries if entry.get("fieldsV1")]
    existing = set(values(result, kind))
    result.setdefault("metadata", {})["managedFields"] = _rewrite(
        entries, manager, "Apply", set(wanted), existing, applied["apiVersion"], now
    )
    return result


def _is_mine(entry: Json, manager: str) -> bool:
    return bool(entry["manager"] == manager and entry["operation"] == "Apply")


def _contested(
    entries: list[Json], wanted: dict[Path, Any], live: dict[Path, Any], manager: str
) -> list[tuple[str, Path]]:
    found = []
    for entry in entries:
        if _is_mine(entry, manager):
            continue
        for path in sorted(from_fields(entry.get("fieldsV1") or {})):
            if path in wanted and path in live and live[path] != wanted[path]:
                found.append((str(entry["manager"]), path))
    return found


def _causes(contested: list[tuple[str, Path]]) -> list[Cause]:
    return [
        Cause("FieldManagerConflict", f'conflict with "{manager}"', _shown(path))
        for manager, path in contested
    ]


def _shown(path: Path) -> str:
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += "." + step[2:]
        elif step.startswith("k:"):
            text += "[" + step[3:-1].replace(":", "=", 1).replace('"name"', "name") + "]"
    return text


def _released(entries: list[Json], manager: str, wanted: set[Path]) -> list[Path]:
    """What the manager applied before, wants no longer, and nobody else owns; elements before their parts."""
    mine: set[Path] = set()
    others: set[Path] = set()
    for entry in entries:
        paths = from_fields(entry.get("fieldsV1") or {})
        if _is_mine(entry, manager):
            mine |= paths
        else:
            others |= paths
    return sorted(mine - wanted - others, key=lambda path: (path[-1] != ".", path))


def merge_applied(old: Any, applied: Any, kind: str) -> Any:
    """The old value with the applied one laid over it; keyed lists are merged, all others replaced."""
    if not isinstance(applied, dict) or not isinstance(old, dict):
        return copy.deepcopy(applied)
    merged = dict(old)
    for key, item in applied.items():
        inner = inner_kind(kind, key)
        rule = list_rule(kind, key) if isinstance(item, list) else None
        if rule is None:
            merged[key] = merge_applied(old.get(key), item, inner)
        elif not rule.apply_keys:
            held = old.get(key) or []
            merged[key] = held + [entry for entry in item if entry not in held]
        else:
            merged[key] = _merge_elements(old.get(key) or [], item, rule.apply_keys, inner)
    return merged


def _merge_elements(old: list[Json], applied: list[Json], keys: tuple[str, ...], kind: str) -> list[Json]:
    steps = [element_step(keys, item) for item in applied]
    held = {element_step(keys, item): item for item in old}
    others = [item for step, item in held.items() if step not in steps]
    return [
        merge_applied(held.get(step), item, kind) for step, item in zip(steps, applied, strict=True)
    ] + others
