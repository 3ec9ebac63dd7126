"""Label and field selectors.

Source: Kubernetes documentation, "Labels and Selectors" and "Field Selectors".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kube_emulator.statuses import bad_request

Json = dict[str, Any]
Test = Callable[[Json], bool]
_SET = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^()]*)\)$")
_EQUAL = re.compile(r"^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$")
_BARE = re.compile(r"^(!?)\s*([^\s=!()]+)$")
_COMMA = re.compile(r",(?![^()]*\))")

FIELDS: dict[str, dict[str, str]] = {
    "pods": {
        path: path
        for path in ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName")
    }
    | {"status.phase": "status.phase", "status.podIP": "status.podIP"},
    "events": {
        path: path
        for path in (
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        )
    },
    "secrets": {"type": "type"},
    "nodes": {"spec.unschedulable": "spec.unschedulable"},
    "namespaces": {"status.phase": "status.phase"},
    "replicasets": {"status.replicas": "status.replicas"},
    "jobs": {"status.successful": "status.succeeded"},
    "services": {"spec.clusterIP": "spec.clusterIP", "spec.type": "spec.type"},
}


def label_test(text: str) -> Callable[[Mapping[str, str]], bool]:
    """A test of label maps for a selector as written in ``?labelSelector=``.

    Raises:
        ApiError: 400 if the selector cannot be read.
    """
    tests = [_requirement(part.strip(), text) for part in _COMMA.split(text) if part.strip()]
    return lambda labels: all(test(labels) for test in tests)


def _requirement(part: str, whole: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        key, operator, listed = found[1], found[2], {value.strip() for value in found[3].split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in listed
        return lambda labels: labels.get(key) not in listed
    if found := _EQUAL.match(part):
        key, operator, value = found[1], found[2], found[3]
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _BARE.match(part):
        absent, key = bool(found[1]), found[2]
        return lambda labels: (key in labels) != absent
    raise bad_request(f'unable to parse requirement: found "{part}" in selector "{whole}"')


def selector_test(selector: Json | None) -> Callable[[Mapping[str, str]], bool]:
    """A test of label maps for a ``LabelSelector`` object; an absent selector matches nothing."""
    if selector is None:
        return lambda _labels: False
    wanted = dict(selector.get("matchLabels") or {})
    expressions = list(selector.get("matchExpressions") or [])

    def test(labels: Mapping[str, str]) -> bool:
        if any(labels.get(key) != value for key, value in wanted.items()):
            return False
        return all(_expression(entry, labels) for entry in expressions)

    return test


def _expression(entry: Json, labels: Mapping[str, str]) -> bool:
    key, operator, values = entry.get("key", ""), entry.get("operator"), entry.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) == (operator == "Exists")


def field_test(text: str, plural: str) -> Test:
    """A test of objects for a selector as written in ``?fieldSelector=``.

    Raises:
        ApiError: 400 for a field that this kind cannot be selected by.
    """
    tests = [_field_requirement(part.strip(), plural) for part in text.split(",") if part.strip()]
    return lambda obj: all(test(obj) for test in tests)


def _field_requirement(part: str, plural: str) -> Test:
    found = re.match(r"^([^=!]+)(==|=|!=)(.*)$", part)
    if not found:
        raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
    label, operator, value = found[1].strip(), found[2], found[3].strip()
    general = {"metadata.name", "metadata.namespace"}
    path = label if label in general else FIELDS.get(plural, {}).get(label)
    if path is None:
        raise bad_request(f"field label not supported: {label}")
    keys = path.split(".")
    return lambda obj: (_text_at(obj, keys) == value) == (operator != "!=")


def _text_at(obj: Any, keys: list[str]) -> str:
    for key in keys:
        obj = obj.get(key) if isinstance(obj, dict) else None
    if isinstance(obj, bool):
        return str(obj).lower()
    if obj is None:
        return "false" if keys[-1] == "unschedulable" else ""
    return str(obj)
