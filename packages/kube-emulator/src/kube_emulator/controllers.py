"""The round of the controllers: after every write, everything that depends on it is brought in line at once.

A real cluster does the same over seconds, in no fixed order; here the order is that of the changes, so the
same requests always end in the same objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kube_emulator import deployments, endpoints, plain, podstates, workloads
from kube_emulator.store import Change, Key
from kube_emulator.world import World

Json = dict[str, Any]
_PODS = ("", "pods")
_OWNERS: dict[Key, Callable[[World, Json], None]] = {
    ("apps", "deployments"): deployments.reconcile,
    ("apps", "replicasets"): workloads.replica_set,
    ("apps", "statefulsets"): workloads.stateful_set,
    ("apps", "daemonsets"): workloads.daemon_set,
    ("batch", "jobs"): workloads.job,
    ("", "services"): endpoints.reconcile,
    ("", "nodes"): plain.node,
    ("", "namespaces"): plain.namespace,
    ("", "persistentvolumeclaims"): plain.claim,
    ("apiextensions.k8s.io", "customresourcedefinitions"): plain.definition,
    ("policy", "poddisruptionbudgets"): plain.disruption_budget,
    ("autoscaling", "horizontalpodautoscalers"): plain.autoscaler,
}
_KINDS: dict[str, Key] = {
    "Deployment": ("apps", "deployments"),
    "ReplicaSet": ("apps", "replicasets"),
    "StatefulSet": ("apps", "statefulsets"),
    "DaemonSet": ("apps", "daemonsets"),
    "Job": ("batch", "jobs"),
}
_NEEDED_BY_PODS = {("", "configmaps"), ("", "secrets"), ("", "persistentvolumeclaims"), ("", "nodes")}
_DEPENDENTS = (("apps", "replicasets"), _PODS, ("batch", "jobs"))
_ROUNDS = 100_000


def settle(world: World) -> None:
    """Works off all changes, those made on the way included.

    Raises:
        RuntimeError: if the controllers do not come to rest, which is a defect of the emulator.
    """
    for _ in range(_ROUNDS):
        change = world.store.next_pending()
        if change is None:
            return
        _follow(world, change)
    raise RuntimeError("the controllers do not come to rest")


def _follow(world: World, change: Change) -> None:
    kind, obj = change.kind, change.object
    namespace = obj["metadata"].get("namespace", "")
    deleted = change.type == "DELETED"
    if deleted:
        _collect_garbage(world, obj)
        plain.removed(world, kind, obj)
    else:
        _reconcile(world, kind, namespace, obj["metadata"]["name"])
    _wake_owner(world, obj)
    if kind == _PODS:
        _wake_services(world, namespace, change)
        if not deleted:
            _refresh_pod(world, obj)
    elif kind in _NEEDED_BY_PODS:
        for pod in world.store.of_kind(_PODS, namespace):
            _refresh_pod(world, pod)
    if kind == ("", "nodes"):
        _nodes_changed(world, deleted, obj["metadata"]["name"])
    if kind == ("", "serviceaccounts") and not deleted:
        for one in world.store.of_kind(("apps", "replicasets"), namespace):
            _reconcile(world, ("apps", "replicasets"), namespace, one["metadata"]["name"])


def _reconcile(world: World, kind: Key, namespace: str, name: str) -> None:
    held = world.store.get(kind, namespace, name)
    if held is not None and kind in _OWNERS:
        _OWNERS[kind](world, held)


def _wake_owner(world: World, obj: Json) -> None:
    for reference in obj["metadata"].get("ownerReferences") or []:
        kind = _KINDS.get(reference["kind"])
        if reference.get("controller") and kind:
            _reconcile(world, kind, obj["metadata"].get("namespace", ""), reference["name"])


def _wake_services(world: World, namespace: str, change: Change) -> None:
    for service in world.store.of_kind(("", "services"), namespace):
        if endpoints.concerns(service, change):
            endpoints.reconcile(world, service)
    for budget in world.store.of_kind(("policy", "poddisruptionbudgets"), namespace):
        plain.disruption_budget(world, budget)


def _refresh_pod(world: World, pod: Json) -> None:
    held = world.store.get(_PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
    if held is None or (held.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return
    placed = held
    if not held["spec"].get("nodeName"):
        node, _ = podstates.place(held, world.store)
        placed = dict(held, spec=dict(held["spec"], nodeName=node)) if node else held
    done = any(one["kind"] == "Job" for one in held["metadata"].get("ownerReferences") or [])
    status = podstates.status(placed, world.store, world.registry, world.now(), done)
    if placed is not held or status != held.get("status"):
        world.store.put(_PODS, dict(placed, status=status))


def _nodes_changed(world: World, deleted: bool, name: str) -> None:
    if deleted:
        for pod in world.store.of_kind(_PODS):
            if pod["spec"].get("nodeName") == name:
                world.remove(_PODS, pod)
    for one in world.store.of_kind(("apps", "daemonsets")):
        workloads.daemon_set(world, one)


def _collect_garbage(world: World, owner: Json) -> None:
    """Removes what only the deleted object owned."""
    uid = owner["metadata"].get("uid")
    for kind, obj in world.store.all():
        references = obj["metadata"].get("ownerReferences") or []
        if any(one["uid"] == uid for one in references):
            left = [one for one in references if one["uid"] != uid]
            if not left:
                world.remove(kind, obj)
            else:
                world.store.put(kind, dict(obj, metadata=dict(obj["metadata"], ownerReferences=left)))
