"""Writes the emulator's ``data/``: the field tables of the kinds the emulator serves.

The tables are taken from the model classes of the official Python client, which are themselves generated
from the OpenAPI document of Kubernetes (Apache License 2.0). Keeping the result as data spares the
emulator a dependency on that client, whose import alone costs more than the emulator's whole start.

Run it by hand after an upgrade of the client: ``python tests/emulator/make_schemas.py``.
"""

import importlib
import json
import re
import textwrap
from pathlib import Path
from typing import Any

ROOTS = [
    "V1Namespace", "V1Pod", "V1Service", "V1ConfigMap", "V1Secret", "V1ServiceAccount", "V1Node",
    "CoreV1Event", "V1Endpoints", "V1PersistentVolumeClaim", "V1PersistentVolume", "V1ResourceQuota",
    "V1LimitRange", "V1Deployment", "V1ReplicaSet", "V1StatefulSet", "V1DaemonSet", "V1ControllerRevision",
    "V1Job", "V1CronJob", "V1Ingress", "V1IngressClass", "V1NetworkPolicy", "V2HorizontalPodAutoscaler",
    "V1PodDisruptionBudget", "V1Role", "V1RoleBinding", "V1ClusterRole", "V1ClusterRoleBinding",
    "V1CustomResourceDefinition", "V1EndpointSlice", "V1Lease", "V1StorageClass", "V1PriorityClass",
    "V1Scale", "V1Eviction", "V1SelfSubjectAccessReview", "V1DeleteOptions",
]  # fmt: skip
QUANTITY_MAPS = {
    "limits", "requests", "hard", "used", "capacity", "allocatable", "default", "defaultRequest", "max",
    "min", "maxLimitRequestRatio", "allocatedResources", "overhead",
}  # fmt: skip
QUANTITIES = {"sizeLimit", "divisor", "averageValue", "value"}
DATA = Path(__file__).parents[2] / "packages/kube-emulator/src/kube_emulator/data"


def field_type(model: str, name: str, python_type: str) -> str:
    """The type of a field as the emulator writes it, quantities told apart from plain strings."""
    if python_type == "Dict[str, str]" and name in QUANTITY_MAPS and model != "V1ConfigMap":
        return "Dict[str, quantity]"
    if (
        python_type == "str"
        and name in QUANTITIES
        and model.startswith(("V2Metric", "V1ResourceField", "V1Empty"))
    ):
        return "quantity"
    return python_type


def describe(model: Any, attribute: str) -> str:
    """The first sentences of a field's documentation, at most 300 characters."""
    return textwrap.shorten(model.model_fields[attribute].description or "", 300, placeholder=" ...")


def required_fields(model: Any) -> list[str]:
    """The fields a caller must give, in their JSON spelling."""
    return sorted(
        model.attribute_map[name] for name, field in model.model_fields.items() if field.is_required()
    )


def main() -> None:
    """Walks from the roots through every type they use, and writes one line for each."""
    client = importlib.import_module("kubernetes.client")
    tables: dict[str, Any] = {}
    documentation: dict[str, Any] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        model = getattr(client, name, None)
        if name in tables or model is None:
            continue
        fields = {
            model.attribute_map[attribute]: field_type(name, model.attribute_map[attribute], kind)
            for attribute, kind in model.openapi_types.items()
        }
        docs = {
            model.attribute_map[a]: describe(model, a) for a in model.openapi_types if a in model.model_fields
        }
        tables[name] = {"fields": fields, "required": required_fields(model)}
        documentation[name] = {field: text for field, text in docs.items() if text}
        waiting += [t for kind in fields.values() for t in re.findall(r"\b[A-Z]\w+", kind)]
    write("schemas.json", tables)
    write("documentation.json", documentation)


def write(name: str, table: dict[str, Any]) -> None:
    """Writes a table with one type a line, so that a change shows as a small difference."""
    lines = [f"{json.dumps(key)}: {json.dumps(table[key], sort_keys=True)}" for key in sorted(table)]
    DATA.mkdir(exist_ok=True)
    (DATA / name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
