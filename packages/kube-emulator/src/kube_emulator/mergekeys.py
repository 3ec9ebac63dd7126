"""How lists of the built-in kinds are merged: by which keys, as a set, or as a whole.

Source: the ``x-kubernetes-patch-merge-key``, ``x-kubernetes-patch-strategy`` and
``x-kubernetes-list-map-keys`` extensions in the OpenAPI document of Kubernetes 1.32.
"""

from __future__ import annotations

from typing import NamedTuple

from kube_emulator.schemas import element, field_kind


class ListRule(NamedTuple):
    """How the list in one field is merged.

    Attributes:
        key: the key that a strategic merge patch goes by; empty for lists of plain values.
        apply_keys: the keys that server-side apply goes by.
        retain: whether ``$retainKeys`` is honoured in its elements.
    """

    key: str
    apply_keys: tuple[str, ...]
    retain: bool = False


def _by(key: str, *apply_keys: str) -> ListRule:
    return ListRule(key, apply_keys or (key,))


_CONTAINER = {
    "env": _by("name"),
    "ports": _by("containerPort", "containerPort", "protocol"),
    "volumeMounts": _by("mountPath"),
    "volumeDevices": _by("devicePath"),
}
_CONDITIONS = {"conditions": _by("type")}
SET = ListRule("", ())

RULES: dict[str, dict[str, ListRule]] = {
    "V1ObjectMeta": {"ownerReferences": _by("uid"), "finalizers": SET},
    "V1PodSpec": {
        "containers": _by("name"),
        "initContainers": _by("name"),
        "ephemeralContainers": _by("name"),
        "volumes": ListRule("name", ("name",), True),
        "imagePullSecrets": _by("name"),
        "hostAliases": _by("ip"),
        "topologySpreadConstraints": _by("topologyKey", "topologyKey", "whenUnsatisfiable"),
        "resourceClaims": _by("name"),
        "schedulingGates": _by("name"),
    },
    "V1Container": _CONTAINER,
    "V1EphemeralContainer": _CONTAINER,
    "V1ServiceSpec": {"ports": _by("port", "port", "protocol")},
    "V1ServiceAccount": {"secrets": _by("name")},
    "V1NodeSpec": {"podCIDRs": SET},
    "V1NodeStatus": {**_CONDITIONS, "addresses": _by("type")},
    "V1PodStatus": {**_CONDITIONS, "podIPs": _by("ip"), "hostIPs": _by("ip")},
    "V1DeploymentStatus": _CONDITIONS,
    "V1ReplicaSetStatus": _CONDITIONS,
    "V1StatefulSetStatus": _CONDITIONS,
    "V1DaemonSetStatus": _CONDITIONS,
    "V1JobStatus": _CONDITIONS,
    "V1ServiceStatus": _CONDITIONS,
    "V1NamespaceStatus": _CONDITIONS,
    "V1PersistentVolumeClaimStatus": _CONDITIONS,
    "V1PodDisruptionBudgetStatus": _CONDITIONS,
}


def list_rule(kind: str, field: str) -> ListRule | None:
    """The rule of the list in a field of a type; None if it is replaced as a whole."""
    return RULES.get(kind, {}).get(field)


def inner_kind(kind: str, field: str) -> str:
    """The type of a field's value, or of the elements if it is a list or a map."""
    if kind.startswith("Dict["):
        return element(kind)
    return element(field_kind(kind, field))
