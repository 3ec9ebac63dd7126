"""What the API server lets nobody change in an object that is there, as far as it can be known beforehand.

The server itself compares with what is live, which may hold the work of later agents. An agent's own call is
to be compared with what the object held at its place in the order. Source: the `Validate*Update` functions of
Kubernetes; what they say beyond this is found when the object is put.
"""

from __future__ import annotations

from typing import Any

from coagent.protocol.values import Value, same

_FIXED: dict[str, tuple[str, ...]] = {
    "Deployment": ("spec/selector",),
    "ReplicaSet": ("spec/selector",),
    "DaemonSet": ("spec/selector",),
    "StatefulSet": (
        "spec/selector",
        "spec/serviceName",
        "spec/volumeClaimTemplates",
        "spec/podManagementPolicy",
    ),
    "Job": ("spec/selector", "spec/template", "spec/completions", "spec/completionMode"),
    "Secret": ("type",),
    "Service": ("spec/clusterIP",),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "PriorityClass": ("value", "preemptionPolicy"),
    "PersistentVolumeClaim": (
        "spec/accessModes",
        "spec/selector",
        "spec/storageClassName",
        "spec/volumeMode",
    ),
}
_SEALED = ("immutable", "data", "binaryData")
REPLACEABLE = frozenset(_FIXED) - {"StatefulSet", "PersistentVolumeClaim"} | {"ConfigMap"}
"""The kinds of which nothing is lost that is not made again where one is deleted and created again."""
_OF_THE_JOB = "controller-uid"


def fixed_parts(kind: str, held: Value, wanted: Value) -> list[str]:
    """Return the parts that differ though nobody may change them.

    Args:
        kind: The kind of the object, of Kubernetes itself; of others nothing is known.
        held: The object as it was.
        wanted: As it is to be, with its defaults.
    """
    if not isinstance(held, dict) or not isinstance(wanted, dict):
        return []
    paths = _FIXED.get(kind, ())
    if kind in ("ConfigMap", "Secret") and held.get("immutable"):
        paths = (*paths, *_SEALED)
    return [path.replace("/", ".") for path in paths if not _agree(_at(held, path), _at(wanted, path))]


def _at(value: Any, path: str) -> Any:
    for step in path.split("/"):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _agree(held: Any, wanted: Any) -> bool:
    """Tell whether two parts are the same; what is left out is kept or assigned by the server."""
    if held is None or wanted is None:
        kept = wanted is None and not isinstance(held, dict | bool)
        return kept or (not held and not wanted)
    return same(_plain(held), _plain(wanted))


def _plain(value: Any) -> Any:
    """Leave out the labels by which a Job finds its pods, which the server adds."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items() if not _is_added(name)}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _is_added(name: str) -> bool:
    label = name.removeprefix("batch.kubernetes.io/")
    return label in (_OF_THE_JOB, "job-name")
