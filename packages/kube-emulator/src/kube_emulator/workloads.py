"""What the controllers of workloads do: the pods that a ReplicaSet, StatefulSet, DaemonSet or Job has.

Every step brings one object closer to what its spec says and is repeated until nothing changes.

Source: Kubernetes documentation, "Workload Management".
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from kube_emulator import defaults, podstates
from kube_emulator.podstates import NODES, PODS
from kube_emulator.world import World, condition, controlled, owner_reference

Json = dict[str, Any]
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def short_hash(text: str, length: int) -> str:
    """A hash in the letters that generated names use."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)


def template_hash(template: Json) -> str:
    """The hash that tells the pods of one template from those of another."""
    return short_hash(json.dumps(template, sort_keys=True), 10)


def pods_of(world: World, owner: Json) -> list[Json]:
    """The pods that an object controls, by name."""
    uid = owner["metadata"]["uid"]
    return [pod for pod in world.store.of_kind(PODS, owner["metadata"]["namespace"]) if controlled(pod, uid)]


def is_ready(pod: Json) -> bool:
    """Whether a pod's ``Ready`` condition is true."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def make_pod(world: World, owner: Json, name: str, labels: Json, node: str = "", done: bool = False) -> None:
    """Makes a pod from its owner's template, with the status it has at once.

    Without its service account nothing is made, as admission refuses such a pod.
    """
    template = owner["spec"]["template"]
    spec = copy.deepcopy(template["spec"])
    held = template.get("metadata") or {}
    metadata: Json = {
        "name": name,
        "generateName": owner["metadata"]["name"] + "-",
        "namespace": owner["metadata"]["namespace"],
        "labels": {**(held.get("labels") or {}), **labels},
        "ownerReferences": [owner_reference(owner)],
    }
    if held.get("annotations"):
        metadata["annotations"] = dict(held["annotations"])
    pod: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    account = spec.get("serviceAccountName", "default")
    if world.store.get(("", "serviceaccounts"), metadata["namespace"], account) is None:
        return
    defaults.fill("Pod", pod)
    node = node or podstates.place(pod, world.store)[0]
    if node:
        spec["nodeName"] = node
    world.stamp(pod)
    pod["status"] = podstates.status(pod, world.store, world.registry, world.now(), done)
    world.store.put(PODS, pod)


def replica_set(world: World, owner: Json) -> None:
    """Makes or removes pods of a ReplicaSet, and writes its status."""
    pods, wanted = pods_of(world, owner), owner["spec"].get("replicas", 1)
    for pod in sorted(pods, key=lambda one: (is_ready(one), -int(one["metadata"]["resourceVersion"])))[
        : max(0, len(pods) - wanted)
    ]:
        world.remove(PODS, pod)
    labels = (owner["metadata"].get("labels") or {}).get("pod-template-hash")
    for _ in range(wanted - len(pods)):
        name = f"{owner['metadata']['name']}-{short_hash(world.next_name(owner), 5)}"
        make_pod(world, owner, name, {"pod-template-hash": labels} if labels else {})
    pods = pods_of(world, owner)
    status: Json = {"replicas": len(pods), "observedGeneration": owner["metadata"].get("generation", 1)}
    ready = sum(map(is_ready, pods))
    if pods:
        status["fullyLabeledReplicas"] = len(pods)
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    if len(pods) < wanted:
        text = "pods is forbidden: error looking up service account"
        status["conditions"] = [condition(owner, "ReplicaFailure", "True", "FailedCreate", text, world.now())]
    world.put_status(("apps", "replicasets"), owner, status)


def stateful_set(world: World, owner: Json) -> None:
    """Makes, replaces or removes pods of a StatefulSet one by one in order, and writes its status."""
    name, spec = owner["metadata"]["name"], owner["spec"]
    revision = f"{name}-{template_hash(spec['template'])}"
    wanted = [f"{name}-{number}" for number in range(spec["replicas"])]
    held = {pod["metadata"]["name"]: pod for pod in pods_of(world, owner)}
    for extra in sorted(set(held) - set(wanted), reverse=True):
        world.remove(PODS, held[extra])
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        for pod_name in reversed(wanted):
            pod = held.get(pod_name)
            if pod and pod["metadata"]["labels"].get("controller-revision-hash") != revision:
                world.remove(PODS, pod)
                del held[pod_name]
                _ordinal(world, owner, pod_name, revision)
            if pod and not _ready_named(world, owner, pod_name):
                break
    for pod_name in wanted:
        if pod_name not in held and world.store.get(PODS, owner["metadata"]["namespace"], pod_name) is None:
            _ordinal(world, owner, pod_name, revision)
        if spec["podManagementPolicy"] != "Parallel" and not _ready_named(world, owner, pod_name):
            break
    _stateful_status(world, owner, revision)


def _ready_named(world: World, owner: Json, name: str) -> bool:
    pod = world.store.get(PODS, owner["metadata"]["namespace"], name)
    return pod is not None and is_ready(pod)


def _ordinal(world: World, owner: Json, name: str, revision: str) -> None:
    namespace = owner["metadata"]["namespace"]
    claims = ("", "persistentvolumeclaims")
    for template in owner["spec"].get("volumeClaimTemplates") or []:
        claim = f"{template['metadata']['name']}-{name}"
        if world.store.get(claims, namespace, claim) is None:
            made: Json = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
            made |= {
                "metadata": {"name": claim, "namespace": namespace},
                "spec": copy.deepcopy(template["spec"]),
            }
            defaults.fill("PersistentVolumeClaim", made)
            world.stamp(made)
            world.store.put(claims, made)
    labels = {
        "controller-revision-hash": revision,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": name.rsplit("-", 1)[1],
    }
    make_pod(world, owner, name, labels)


def _stateful_status(world: World, owner: Json, revision: str) -> None:
    pods = pods_of(world, owner)
    ready = sum(map(is_ready, pods))
    updated = sum(pod["metadata"]["labels"].get("controller-revision-hash") == revision for pod in pods)
    old = owner.get("status") or {}
    current = revision if updated == len(pods) else old.get("currentRevision", revision)
    status = {
        "observedGeneration": owner["metadata"].get("generation", 1),
        "replicas": len(pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "updatedReplicas": updated,
        "currentReplicas": len(pods) if current == revision else len(pods) - updated,
        "currentRevision": current,
        "updateRevision": revision,
        "collisionCount": 0,
    }
    world.put_status(("apps", "statefulsets"), owner, status)


def daemon_set(world: World, owner: Json) -> None:
    """Gives every fitting node one pod of the present template, and writes the status."""
    template = owner["spec"]["template"]
    revision = template_hash(template)
    tolerations = [*(template["spec"].get("tolerations") or []), {"key": "node.kubernetes.io/unschedulable"}]
    tolerations[-1] |= {"operator": "Exists", "effect": "NoSchedule"}
    spec = dict(template["spec"], tolerations=tolerations)
    fitting = [node for node in world.store.of_kind(NODES) if not podstates.unfit(spec, node)]
    nodes = [node["metadata"]["name"] for node in fitting]
    held = {pod["spec"].get("nodeName"): pod for pod in pods_of(world, owner)}
    for node, pod in list(held.items()):
        stale = pod["metadata"]["labels"].get("controller-revision-hash") != revision
        if node not in nodes or (stale and owner["spec"]["updateStrategy"]["type"] == "RollingUpdate"):
            world.remove(PODS, pod)
            del held[node]
    for node in nodes:
        if node not in held:
            name = f"{owner['metadata']['name']}-{short_hash(world.next_name(owner), 5)}"
            make_pod(world, owner, name, {"controller-revision-hash": revision}, node)
    pods = pods_of(world, owner)
    ready = sum(map(is_ready, pods))
    status = {
        "currentNumberScheduled": len(pods),
        "desiredNumberScheduled": len(nodes),
        "numberMisscheduled": 0,
        "numberReady": ready,
        "observedGeneration": owner["metadata"].get("generation", 1),
        "updatedNumberScheduled": sum(
            pod["metadata"]["labels"].get("controller-revision-hash") == revision for pod in pods
        ),
    }
    status |= {"numberAvailable": ready} if ready else {}
    status |= {"numberUnavailable": len(nodes) - ready} if ready < len(nodes) else {}
    world.put_status(("apps", "daemonsets"), owner, status)


def job(world: World, owner: Json) -> None:
    """Runs a job to its end at once, as far as its pods can run."""
    spec = owner["spec"]
    old = owner.get("status") or {}
    if any(one["type"] == "Complete" for one in old.get("conditions") or []):
        return
    wanted = 0 if spec.get("suspend") else max(spec.get("completions") or spec["parallelism"], 0)
    for _ in range(wanted - len(pods_of(world, owner))):
        name = f"{owner['metadata']['name']}-{short_hash(world.next_name(owner), 5)}"
        make_pod(world, owner, name, {}, done=True)
    pods = pods_of(world, owner)
    ended = sum(pod["status"]["phase"] == "Succeeded" for pod in pods)
    now = world.now()
    status: Json = {"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}
    status["startTime"] = old.get("startTime", now)
    status |= {"active": len(pods) - ended} if len(pods) > ended else {}
    status |= {"succeeded": ended} if ended else {}
    if wanted and ended >= wanted:
        status["completionTime"] = now
        text = "Reached expected number of succeeded pods"
        status["conditions"] = [
            condition(owner, kind, "True", "CompletionsReached", text, now)
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
    world.put_status(("batch", "jobs"), owner, status)
