"""What of a Kubernetes object is tracked, and what the cluster owns."""

from __future__ import annotations

from typing import Any

from coagent.protocol.values import Value, same

_SERVER_METADATA = (
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_SERVER_ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
)
# What the cluster assigns to an object once it exists, which no dry run can foretell.
_ASSIGNED = ("clusterIP", "clusterIPs", "healthCheckNodePort", "nodeName", "nodePort", "volumeName")


def tracked_part(live: dict[str, Any]) -> dict[str, Any]:
    """Return an object as agents see it: without status and the metadata that the server writes.

    Owners go by their names: an owner that comes back after it was deleted has another uid.
    """
    value = {name: part for name, part in live.items() if name != "status"}
    metadata = {
        name: part for name, part in (live.get("metadata") or {}).items() if name not in _SERVER_METADATA
    }
    annotations = {
        name: text
        for name, text in (metadata.pop("annotations", None) or {}).items()
        if name not in _SERVER_ANNOTATIONS
    }
    if annotations:
        metadata["annotations"] = annotations
    if owners := metadata.get("ownerReferences"):
        metadata["ownerReferences"] = [{k: v for k, v in owner.items() if k != "uid"} for owner in owners]
    value["metadata"] = metadata
    return value


def with_server_fields(body: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with what the server owns of the live object put back, so that a replace keeps it."""
    old = live.get("metadata") or {}
    metadata = {**body["metadata"], **{name: old[name] for name in ("resourceVersion", "uid") if name in old}}
    kept = {
        name: text for name, text in (old.get("annotations") or {}).items() if name in _SERVER_ANNOTATIONS
    }
    if kept:
        metadata["annotations"] = {**kept, **(metadata.get("annotations") or {})}
    spec, live_spec = body.get("spec"), live.get("spec")
    if isinstance(spec, dict) and isinstance(live_spec, dict):
        assigned = {name: live_spec[name] for name in _ASSIGNED if name in live_spec}
        body = {**body, "spec": {**assigned, **spec}}
    # Where status is no subresource, as in some custom resources, a replace without it would erase it.
    status = {"status": live["status"]} if "status" in live else {}
    return {**body, "metadata": metadata, **status}


def with_assigned_fields(body: Any, made: Any) -> Any:
    """Return what the server made of a body elsewhere, with what it assigns as it is in the body."""
    if isinstance(body, dict) and isinstance(made, dict):
        found = {
            name: with_assigned_fields(body.get(name), part)
            for name, part in made.items()
            if name not in _ASSIGNED
        }
        return found | {name: body[name] for name in _ASSIGNED if name in body}
    if isinstance(body, list) and isinstance(made, list) and len(body) == len(made):
        return [with_assigned_fields(*pair) for pair in zip(body, made, strict=True)]
    return made


def without_assigned_fields(body: Any) -> Any:
    """Return a body without what the server has assigned, as another object of another name would be."""
    if isinstance(body, dict):
        return {name: without_assigned_fields(part) for name, part in body.items() if name not in _ASSIGNED}
    return [without_assigned_fields(part) for part in body] if isinstance(body, list) else body


def terminating(live: dict[str, Any] | None) -> bool:
    """Tell whether an object is deleted already but for what its finalizers or its grace period wait for."""
    return live is not None and bool((live.get("metadata") or {}).get("deletionTimestamp"))


def holds(expected: Value, found: Value) -> bool:
    """Tell whether `found` is `expected`, but for what the cluster may have assigned since."""
    if type(expected) is dict and type(found) is dict:
        return all(name in expected or name in _ASSIGNED for name in found) and all(
            name in found and holds(part, found[name]) for name, part in expected.items()
        )
    if type(expected) is list and type(found) is list:
        return len(expected) == len(found) and all(map(holds, expected, found))
    return same(expected, found)
