"""The rules about what an update may change.

Source: the ``Validate*Update`` functions in ``k8s.io/kubernetes/pkg/apis/*/validation``.
"""

from __future__ import annotations

from typing import Any

from kube_emulator.names import bad
from kube_emulator.statuses import Cause

Json = dict[str, Any]
_FIXED: dict[str, tuple[tuple[str, ...], ...]] = {
    "Deployment": (("spec", "selector"),),
    "ReplicaSet": (("spec", "selector"),),
    "DaemonSet": (("spec", "selector"),),
    "Job": (("spec", "selector"), ("spec", "template"), ("spec", "completions")),
    "Secret": (("type",),),
    "RoleBinding": (("roleRef",),),
    "ClusterRoleBinding": (("roleRef",),),
    "StorageClass": (("provisioner",), ("parameters",)),
    "PriorityClass": (("value",),),
}
_STATEFUL_FREE = {
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
}
_POD_FREE = {
    "activeDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "tolerations",
    "nodeName",
    "schedulingGates",
}
_IMMUTABLE = "field is immutable"


def check_change(kind: str, old: Json, new: Json) -> list[Cause]:
    """Every rule that the step from ``old`` to ``new`` breaks."""
    causes = [
        bad(".".join(path), _shown(_at(new, path)), _IMMUTABLE)
        for path in _FIXED.get(kind, ())
        if _at(old, path) != _at(new, path)
    ]
    if kind == "StatefulSet":
        causes += _stateful_set(old, new)
    elif kind == "Pod":
        causes += _pod(old, new)
    elif kind == "Service":
        causes += _service(old, new)
    elif kind in ("ConfigMap", "Secret"):
        causes += _sealed(old, new)
    elif kind == "PersistentVolumeClaim":
        causes += _claim(old, new)
    return causes


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def _shown(value: Any) -> Any:
    """A selector as Go prints it, everything else as it is."""
    if not isinstance(value, dict) or not set(value) <= {"matchLabels", "matchExpressions"}:
        return value
    labels = ", ".join(f'"{key}":"{text}"' for key, text in sorted((value.get("matchLabels") or {}).items()))
    # Not the string itself: it must be printed without quotes.
    return _Bare(
        f"v1.LabelSelector{{MatchLabels:map[string]string{{{labels}}}, "
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}"
    )


class _Bare:
    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def _stateful_set(old: Json, new: Json) -> list[Cause]:
    fixed_old = {key: value for key, value in old["spec"].items() if key not in _STATEFUL_FREE}
    fixed_new = {key: value for key, value in new["spec"].items() if key not in _STATEFUL_FREE}
    if fixed_old == fixed_new:
        return []
    text = (
        "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
        "'minReadySeconds' are forbidden"
    )
    return [Cause("FieldValueForbidden", text, "spec")]


def _pod(old: Json, new: Json) -> list[Cause]:
    def fixed(pod: Json) -> Json:
        spec = {key: value for key, value in pod["spec"].items() if key not in _POD_FREE}
        for field in ("containers", "initContainers"):
            if field in spec:
                spec[field] = [{k: v for k, v in one.items() if k != "image"} for one in spec[field]]
        return spec

    if fixed(old) == fixed(new):
        return []
    text = (
        "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
        "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
        "previously negative)"
    )
    return [Cause("FieldValueForbidden", text, "spec")]


def _service(old: Json, new: Json) -> list[Cause]:
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if not before or before == after or "ExternalName" in (old["spec"]["type"], new["spec"]["type"]):
        return []
    return [bad("spec.clusterIPs[0]", [after], "may not change once set")]


def _sealed(old: Json, new: Json) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = []
    if not new.get("immutable"):
        text = "Forbidden: field is immutable when `immutable` is set"
        causes.append(Cause("FieldValueForbidden", text, "immutable"))
    for field in ("data", "binaryData"):
        if (old.get(field) or {}) != (new.get(field) or {}):
            text = "Forbidden: field is immutable when `immutable` is set"
            causes.append(Cause("FieldValueForbidden", text, field))
    return causes


def _claim(old: Json, new: Json) -> list[Cause]:
    def fixed(claim: Json) -> Json:
        free = ("resources", "volumeName", "volumeAttributesClassName")
        return {key: value for key, value in claim["spec"].items() if key not in free}

    if fixed(old) == fixed(new):
        return []
    text = (
        "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName "
        "for bound claims"
    )
    return [Cause("FieldValueForbidden", text, "spec")]
