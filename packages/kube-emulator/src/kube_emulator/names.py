"""The rules of names and labels.

Source: Kubernetes documentation, "Object Names and IDs" and "Labels and Selectors"; texts after
``k8s.io/apimachinery/pkg/util/validation``.
"""

from __future__ import annotations

import re
from typing import Any

from kube_emulator.statuses import Cause

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SERVICE = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")
_PATH_KINDS = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SERVICE_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def bad(field: str, value: Any, why: str) -> Cause:
    """The cause of a field whose value breaks a rule."""
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", field)


def required(field: str, why: str = "") -> Cause:
    """The cause of a field that must be given."""
    return Cause("FieldValueRequired", "Required value" + (f": {why}" if why else ""), field)


def unsupported(field: str, value: Any, supported: list[str]) -> Cause:
    """The cause of a field whose value is not among those allowed."""
    listed = ", ".join(f'"{one}"' for one in supported)
    return Cause("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {listed}', field)


def duplicate(field: str, value: Any) -> Cause:
    """The cause of an element that is there twice."""
    return Cause("FieldValueDuplicate", f'Duplicate value: "{value}"', field)


def check_object_name(kind: str, name: str) -> list[Cause]:
    """What is wrong with an object's name."""
    if kind in _PATH_KINDS:
        return [bad("metadata.name", name, "may not contain '/'")] if "/" in name else []
    if kind == "Service":
        return [] if len(name) <= 63 and _SERVICE.match(name) else [bad("metadata.name", name, _SERVICE_TEXT)]
    if kind == "Namespace":
        return check_label_name("metadata.name", name)
    if len(name) > 253:
        return [bad("metadata.name", name, "must be no more than 253 characters")]
    return [] if _SUBDOMAIN.match(name) else [bad("metadata.name", name, _SUBDOMAIN_TEXT)]


def check_label_name(field: str, name: str) -> list[Cause]:
    """What is wrong with a name that must be a DNS label."""
    if len(name) > 63:
        return [bad(field, name, "must be no more than 63 characters")]
    return [] if _LABEL.match(name) else [bad(field, name, _LABEL_TEXT)]


def check_labels(labels: dict[str, str], field: str) -> list[Cause]:
    """What is wrong with a map of labels."""
    causes = check_keys(labels, field)
    for value in labels.values():
        if len(value) > 63:
            causes.append(bad(field, value, "must be no more than 63 characters"))
        elif value and not _QUALIFIED.match(value):
            causes.append(bad(field, value, _VALUE_TEXT))
    return causes


def check_keys(labels: dict[str, str], field: str) -> list[Cause]:
    """What is wrong with the keys of a map of labels or annotations."""
    causes = []
    for key in labels:
        prefix, slash, name = key.rpartition("/")
        if slash and not _SUBDOMAIN.match(prefix):
            causes.append(bad(field, key, f"prefix part {_SUBDOMAIN_TEXT}"))
        if not name or len(name) > 63 or not _QUALIFIED.match(name):
            causes.append(bad(field, key, _NAME_TEXT))
    return causes


def check_data_keys(data: dict[str, Any], field: str) -> list[Cause]:
    """What is wrong with the keys of a ConfigMap's or Secret's data."""
    text = (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
        "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )
    return [bad(f"{field}[{key}]", key, text) for key in data if not _KEY.match(key) or key in (".", "..")]
