"""Answers in the form of tables, which ``kubectl get`` prints.

Source: Kubernetes API concepts, section "Receiving resources as Tables".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kube_emulator.columns import AGE, COLUMNS, NAME, Column, age
from kube_emulator.resources import Resource

Json = dict[str, Any]


def table(
    resource: Resource, objects: list[Json], version: str, now: datetime, include: str, more: Json
) -> Json:
    """A ``Table`` of objects.

    Args:
        resource: their kind, which says what columns there are.
        objects: the rows.
        version: the resource version of the list.
        now: what ages are measured from.
        include: how much of each object goes with its row: ``Object``, ``Metadata`` or ``None``.
        more: further metadata of the list.
    """
    columns = _columns(resource)
    definitions = [
        {
            "name": column.title,
            "type": column.type,
            "format": "name" if column is NAME else "",
            "description": "",
            "priority": column.priority,
        }
        for column in columns
    ]
    rows = [
        {"cells": [column.show(obj, now) for column in columns], "object": _included(obj, include)}
        for obj in objects
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version, **more},
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _included(obj: Json, include: str) -> Json | None:
    if include == "Object":
        return obj
    if include == "None":
        return None
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**partial, "metadata": obj["metadata"]}


def _columns(resource: Resource) -> tuple[Column, ...]:
    if not resource.custom:
        return COLUMNS.get(resource.plural, (NAME, AGE))
    extra = (resource.definition or {}).get("additionalPrinterColumns")
    if not extra:
        return (NAME, AGE)
    return (NAME, *(_custom_column(one) for one in extra))


def _custom_column(entry: Json) -> Column:
    keys = [key.replace("\\.", ".") for key in entry["jsonPath"].lstrip(".").split(".")]

    def show(obj: Json, now: datetime) -> Any:
        value: Any = obj
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return age(value, now) if entry.get("type") == "date" else value

    kind = "string" if entry.get("type") == "date" else entry.get("type", "string")
    return Column(entry["name"], show, kind, entry.get("priority", 0))
