"""The small controllers: namespaces, nodes, claims, definitions, budgets, autoscalers."""

from __future__ import annotations

from typing import Any

from kube_emulator.selectors import selector_test
from kube_emulator.store import Key
from kube_emulator.validation import amount
from kube_emulator.workloads import is_ready
from kube_emulator.world import World, condition

Json = dict[str, Any]
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nemulated\n-----END CERTIFICATE-----\n"


def namespace(world: World, obj: Json) -> None:
    """Gives a namespace what every namespace has: a service account and the cluster's certificate."""
    name = obj["metadata"]["name"]
    if obj["metadata"].get("deletionTimestamp"):
        return
    account: Json = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    bundle: Json = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": _CERTIFICATE}}
    bundle["metadata"] = {"name": "kube-root-ca.crt"}
    for kind, made in ((("", "serviceaccounts"), account), (("", "configmaps"), bundle)):
        if world.store.get(kind, name, made["metadata"]["name"]) is None:
            made["metadata"]["namespace"] = name
            world.stamp(made)
            world.store.put(kind, made)


def node(world: World, obj: Json) -> None:
    """Makes a node ready unless its status says otherwise."""
    labels = obj["metadata"].get("labels") or {}
    name = obj["metadata"]["name"]
    wanted = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    if missing := {key: value for key, value in wanted.items() if key not in labels}:
        metadata = dict(obj["metadata"], labels={**labels, **missing})
        world.store.put(("", "nodes"), dict(obj, metadata=metadata))
        return
    old = obj.get("status") or {}
    if old.get("conditions"):
        return
    now = world.now()
    size = {"cpu": "4", "memory": "16Gi", "pods": "110"}
    ready = condition(obj, "Ready", "True", "KubeletReady", "kubelet is posting ready status", now)
    ready["lastHeartbeatTime"] = now
    info = {"kubeletVersion": "v1.32.4", "osImage": "Emulated Linux", "kernelVersion": "6.1.0"}
    info |= {
        "containerRuntimeVersion": "containerd://1.7.0",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
    info |= {"machineID": name, "systemUUID": name, "bootID": name, "kubeProxyVersion": "v1.32.4"}
    status = {"capacity": size, "allocatable": size, "conditions": [ready], "nodeInfo": info}
    world.put_status(("", "nodes"), obj, {**status, **old})


def claim(world: World, obj: Json) -> None:
    """Binds a claim at once."""
    spec = obj["spec"]
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "1Gi")
    status = {"phase": "Bound", "accessModes": spec.get("accessModes") or [], "capacity": {"storage": size}}
    if not spec.get("volumeName"):
        obj = world.store.put(
            ("", "persistentvolumeclaims"),
            dict(obj, spec=dict(spec, volumeName=f"pvc-{obj['metadata']['uid']}")),
        )
    world.put_status(("", "persistentvolumeclaims"), obj, status)


def definition(world: World, obj: Json) -> None:
    """Serves the kinds of a definition, and says so in its status."""
    world.catalogue.define(obj)
    now = world.now()
    conditions = [
        condition(obj, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
        condition(
            obj, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now
        ),
    ]
    versions = [version["name"] for version in obj["spec"]["versions"] if version.get("storage")]
    status = {"acceptedNames": obj["spec"]["names"], "conditions": conditions, "storedVersions": versions}
    world.put_status(("apiextensions.k8s.io", "customresourcedefinitions"), obj, status)


def disruption_budget(world: World, obj: Json) -> None:
    """Counts the pods a budget protects."""
    spec = obj.get("spec") or {}
    matches = selector_test(spec.get("selector"))
    pods = world.store.of_kind(("", "pods"), obj["metadata"]["namespace"])
    pods = [pod for pod in pods if matches(pod["metadata"].get("labels") or {})]
    healthy = sum(map(is_ready, pods))

    def number(value: Any) -> int:
        text = str(value)
        return -(-int(text[:-1]) * len(pods) // 100) if text.endswith("%") else int(amount(text))

    if "minAvailable" in spec:
        desired = number(spec["minAvailable"])
    else:
        desired = max(0, len(pods) - number(spec.get("maxUnavailable", 1)))
    status = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": max(0, healthy - desired),
        "expectedPods": len(pods),
        "observedGeneration": obj["metadata"].get("generation", 1),
    }
    world.put_status(("policy", "poddisruptionbudgets"), obj, status)


def autoscaler(world: World, obj: Json) -> None:
    """Says how many replicas the target has; nothing is ever scaled, as no load is measured."""
    target = obj["spec"].get("scaleTargetRef") or {}
    resource = world.catalogue.by_kind(target.get("apiVersion", "apps/v1"), target.get("kind", ""))
    held = resource and world.store.get(resource.key, obj["metadata"]["namespace"], target.get("name", ""))
    count = (held or {}).get("spec", {}).get("replicas", 0)
    status = {"currentMetrics": None, "currentReplicas": count, "desiredReplicas": count}
    world.put_status(("autoscaling", "horizontalpodautoscalers"), obj, status)


def removed(world: World, kind: Key, obj: Json) -> None:
    """What follows from a removal beside the collection of what the object owned."""
    if kind == ("", "namespaces"):
        for other, held in world.store.all():
            if held["metadata"].get("namespace") == obj["metadata"]["name"]:
                world.remove(other, held)
    elif kind == ("", "services"):
        held_endpoints = world.store.get(
            ("", "endpoints"), obj["metadata"]["namespace"], obj["metadata"]["name"]
        )
        if held_endpoints is not None:
            world.remove(("", "endpoints"), held_endpoints)
    elif kind == ("apiextensions.k8s.io", "customresourcedefinitions"):
        key = (obj["spec"]["group"], obj["spec"]["names"]["plural"])
        for held in world.store.of_kind(key):
            world.remove(key, held)
        world.catalogue.undefine(obj)
