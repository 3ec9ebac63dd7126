"""What the deployment controller does: its ReplicaSets, the steps of a rolling update, and its status.

Source: Kubernetes documentation, "Deployments".
"""

from __future__ import annotations

import copy
import math
from typing import Any

from kube_emulator.workloads import template_hash
from kube_emulator.world import World, condition, controlled, owner_reference

Json = dict[str, Any]
SETS = ("apps", "replicasets")
DEPLOYMENTS = ("apps", "deployments")
REVISION = "deployment.kubernetes.io/revision"


def reconcile(world: World, owner: Json) -> None:
    """Takes one step towards the Deployment's spec, and writes its status."""
    held = sets_of(world, owner)
    digest = template_hash(owner["spec"]["template"])
    current = next(
        (one for one in held if one["metadata"]["labels"].get("pod-template-hash") == digest), None
    )
    if current is None and not owner["spec"].get("paused"):
        current = _make_set(world, owner, digest, held)
    elif current is not None:
        current = _renew_revision(world, current, held)
    if current is not None:
        others = [
            one for one in sets_of(world, owner) if one["metadata"]["uid"] != current["metadata"]["uid"]
        ]
        _scale(world, owner, current, others)
        _forget_old(world, owner, others)
    elif held:
        _resize(world, max(held, key=_revision), owner["spec"]["replicas"])
    _write_status(world, owner, current)


def sets_of(world: World, owner: Json) -> list[Json]:
    """The ReplicaSets that a Deployment controls, by name."""
    uid = owner["metadata"]["uid"]
    return [one for one in world.store.of_kind(SETS, owner["metadata"]["namespace"]) if controlled(one, uid)]


def _revision(one: Json) -> int:
    return int((one["metadata"].get("annotations") or {}).get(REVISION, "0"))


def _make_set(world: World, owner: Json, digest: str, held: list[Json]) -> Json:
    template = copy.deepcopy(owner["spec"]["template"])
    labels = {**(template["metadata"].get("labels") or {}), "pod-template-hash": digest}
    template["metadata"]["labels"] = labels
    selector = copy.deepcopy(owner["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), "pod-template-hash": digest}
    revision = max([_revision(one) for one in held], default=0) + 1
    metadata = {
        "name": f"{owner['metadata']['name']}-{digest}",
        "namespace": owner["metadata"]["namespace"],
        "labels": labels,
        "annotations": _annotations(owner, revision),
        "generation": 1,
        "ownerReferences": [owner_reference(owner)],
    }
    made: Json = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata}
    made["spec"] = {"replicas": 0, "selector": selector, "template": template}
    world.stamp(made)
    return world.store.put(SETS, made)


def _annotations(owner: Json, revision: int) -> Json:
    own = owner["metadata"].get("annotations") or {}
    kept = {
        key: value for key, value in own.items() if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    counts = {
        "deployment.kubernetes.io/desired-replicas": str(owner["spec"]["replicas"]),
        "deployment.kubernetes.io/max-replicas": str(owner["spec"]["replicas"] + _limits(owner)[0]),
    }
    return kept | counts | {REVISION: str(revision)}


def _renew_revision(world: World, current: Json, held: list[Json]) -> Json:
    """A template that is used again is the newest revision again."""
    newest = max(_revision(one) for one in held)
    if _revision(current) == newest:
        return current
    annotations = dict(current["metadata"].get("annotations") or {}, **{REVISION: str(newest + 1)})
    return world.store.put(SETS, dict(current, metadata=dict(current["metadata"], annotations=annotations)))


def _limits(owner: Json) -> tuple[int, int]:
    """How many pods may be there too many, and how many may be missing, during an update."""
    rolling = (owner["spec"].get("strategy") or {}).get("rollingUpdate")
    count = owner["spec"]["replicas"]
    if rolling is None:
        return 0, count

    def number(value: Any, up: bool) -> int:
        if isinstance(value, str) and value.endswith("%"):
            share = int(value[:-1]) * count / 100
            return int(math.ceil(share) if up else math.floor(share))
        return int(value)

    surge, missing = number(rolling["maxSurge"], True), number(rolling["maxUnavailable"], False)
    return surge, 1 if surge == 0 and missing == 0 else min(missing, count)


def _pods(one: Json) -> int:
    return int((one.get("status") or {}).get("replicas", 0))


def _ready(one: Json) -> int:
    return int((one.get("status") or {}).get("readyReplicas", 0))


def _observed(one: Json) -> bool:
    seen = (one.get("status") or {}).get("observedGeneration")
    return bool(seen == one["metadata"].get("generation"))


def _scale(world: World, owner: Json, current: Json, others: list[Json]) -> None:
    wanted = owner["spec"]["replicas"]
    surge, missing = _limits(owner)
    recreate = (owner["spec"].get("strategy") or {}).get("type") == "Recreate"
    old = sum(one["spec"]["replicas"] for one in others)
    if not all(map(_observed, [current, *others])):
        return  # The pods still follow the step before; they wake this controller when they have.
    if not old:
        _resize(world, current, wanted)
        return
    if recreate:
        for one in others:
            _resize(world, one, 0)
        return
    room = max(wanted + surge - old, 0)
    size = min(wanted, max(current["spec"]["replicas"], room))
    if size != current["spec"]["replicas"]:
        _resize(world, current, size)
        return
    excess = sum(map(_ready, others)) + _ready(current) - (wanted - missing)
    for one in sorted(others, key=_revision):
        # Pods that are not ready keep nothing up: they may go whatever the limits say.
        useless = one["spec"]["replicas"] - _ready(one)
        drop = useless + max(0, min(excess, _ready(one)))
        if drop > 0:
            excess -= drop - useless
            _resize(world, one, one["spec"]["replicas"] - drop)


def _resize(world: World, one: Json, replicas: int) -> None:
    if one["spec"]["replicas"] == replicas:
        return
    metadata = dict(one["metadata"], generation=one["metadata"].get("generation", 1) + 1)
    world.store.put(SETS, dict(one, metadata=metadata, spec=dict(one["spec"], replicas=replicas)))


def _forget_old(world: World, owner: Json, others: list[Json]) -> None:
    empty = sorted((one for one in others if not one["spec"]["replicas"] and not _pods(one)), key=_revision)
    for one in empty[: max(0, len(empty) - owner["spec"].get("revisionHistoryLimit", 10))]:
        world.remove(SETS, one)


def _write_status(world: World, owner: Json, current: Json | None) -> None:
    held = sets_of(world, owner)
    now, wanted = world.now(), owner["spec"]["replicas"]
    fresh = next(
        (one for one in held if current and one["metadata"]["uid"] == current["metadata"]["uid"]), None
    )
    total, ready = sum(map(_pods, held)), sum(map(_ready, held))
    updated = _pods(fresh) if fresh else 0
    status: Json = {"observedGeneration": owner["metadata"].get("generation", 1)}
    lacking = max(0, max(total, wanted) - ready)
    counts = {
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    status |= {key: count for key, count in (counts | {"unavailableReplicas": lacking}).items() if count}
    name = fresh["metadata"]["name"] if fresh else ""
    if ready >= wanted - _limits(owner)[1]:
        text = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        text = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    conditions = [condition(owner, "Available", *text, now)]
    if fresh and updated == wanted == total == ready:
        done = ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
    elif owner["spec"].get("paused"):
        done = ("Unknown", "DeploymentPaused", "Deployment is paused")
    else:
        done = ("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    conditions.append(condition(owner, "Progressing", *done, now))
    status["conditions"] = conditions
    latest = world.store.get(DEPLOYMENTS, owner["metadata"]["namespace"], owner["metadata"]["name"])
    if latest is None:
        return
    metadata = latest["metadata"]
    if fresh and (metadata.get("annotations") or {}).get(REVISION) != str(_revision(fresh)):
        annotations = dict(metadata.get("annotations") or {}, **{REVISION: str(_revision(fresh))})
        metadata = dict(metadata, annotations=annotations)
    if latest.get("status") != status or metadata is not latest["metadata"]:
        world.store.put(DEPLOYMENTS, dict(latest, metadata=metadata, status=status))
