"""Five Kubernetes incidents, after the paper's case study and kinds of conflict (arXiv 2606.15376)."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any, TypeAlias

from coagent_lab.bench.contended import cluster
from coagent_lab.bench.contended.scenario import Role, Scenario

Calls: TypeAlias = Generator[tuple[str, dict[str, Any]], Any, None]
_HOST = "kubernetes.io/hostname"
_REGISTRY = "registry.example"


def _image(name: str, tag: str = "v1.2") -> str:
    return f"{_REGISTRY}/{name}:{tag}"


def _deployment(name: str, replicas: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "labels": {"app": name},
        "annotations": {},
        "replicas": replicas,
        "image": _image(name),
        "port": 8080,
        "env": {},
        **more,
    }


def _cluster(deployments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "nodes": {f"node-{number}": {"unschedulable": False} for number in (1, 2, 3)},
        "images": sorted({_image(name) for name in deployments}),
        "deployments": deployments,
        "services": {},
        "configmaps": {},
        "secrets": {},
        **more,
    }


# ---- canary ------------------------------------------------------------------------------------------------


def _repair_images() -> Calls:
    deployments = yield "k8s.list", {"kind": "deployments"}
    present = yield "k8s.images", {}
    released = yield "k8s.get", {"kind": "configmaps", "name": "releases"}
    for name, one in sorted(deployments.items()):
        if one["image"] not in present:
            yield "k8s.set_image", {"name": name, "image": released["data"][one["labels"]["app"]]}


def _make_canary() -> Calls:
    geo = yield "k8s.get", {"kind": "deployments", "name": "geo"}
    services = yield "k8s.list", {"kind": "services"}
    policy = yield "k8s.get", {"kind": "configmaps", "name": "canary-policy"}
    selectors = [one["selector"] for one in services.values() if one["selector"].get("app") == "geo"]
    labels = {**(selectors[0] if selectors else {"app": "geo"}), "track": "canary"}
    manifest = {**geo, "labels": labels, "replicas": int(policy["data"]["replicas"])}
    yield "k8s.create", {"kind": "deployments", "name": "geo-canary", "manifest": manifest}


def _canary() -> Scenario:
    deployments = {
        "frontend": _deployment("frontend"),
        "geo": _deployment("geo", image=_image("geo", "v1.3")),
        "profile": _deployment("profile", image=_image("profile", "v1.3")),
        "rate": _deployment("rate", 1),
    }
    releases = {"data": {name: _image(name) for name in deployments}}
    return Scenario(
        "k8s-canary",
        "Bad images are repaired while a canary of geo is created",
        cluster.initial(
            _cluster(
                deployments,
                services={"geo": {"selector": {"app": "geo"}, "port": 80, "targetPort": 8080}},
                configmaps={"releases": releases, "canary-policy": {"data": {"replicas": "1"}}},
            )
        ),
        (
            Role(
                "A",
                "Set every Deployment whose image is not in the registry to its released image.",
                _repair_images,
            ),
            Role("B", "Create a canary of Deployment geo (one replica, label track=canary).", _make_canary),
        ),
    )


# ---- quota -------------------------------------------------------------------------------------------------


def _scale_within_quota(name: str, wanted: int, quota: int) -> Calls:
    deployments = yield "k8s.list", {"kind": "deployments"}
    used = sum(one["replicas"] for one in deployments.values())
    now = deployments[name]["replicas"]
    possible = min(wanted, now + quota - used)
    if possible > now:
        yield "k8s.scale", {"name": name, "replicas": possible}


def _quota() -> Scenario:
    deployments = {
        "user": _deployment("user", 0),
        "text": _deployment("text", 2),
        "media": _deployment("media", 2),
        "nginx": _deployment("nginx", 2),
    }
    goal = "Scale {} to {} replicas, or as many as fit: never more than 10 in the namespace."
    return Scenario(
        "k8s-quota",
        "Two services scale up under one quota of replicas",
        cluster.initial(_cluster(deployments)),
        (
            Role("A", goal.format("user", 3), partial(_scale_within_quota, "user", 3, 10)),
            Role("B", goal.format("text", 5), partial(_scale_within_quota, "text", 5, 10)),
        ),
    )


# ---- secret rotation ---------------------------------------------------------------------------------------


def _rotate(old: str, new: str) -> Calls:
    secret = yield "k8s.get", {"kind": "secrets", "name": old}
    rotated = {"data": {**secret["data"], "password": "rotated"}}
    yield "k8s.create", {"kind": "secrets", "name": new, "manifest": rotated}
    deployments = yield "k8s.list", {"kind": "deployments"}
    for name, one in sorted(deployments.items()):
        if one.get("secretRef") == old:
            yield "k8s.patch", {"kind": "deployments", "name": name, "patch": {"secretRef": new}}
    yield "k8s.delete", {"kind": "secrets", "name": old}


def _deploy_worker() -> Calls:
    rate = yield "k8s.get", {"kind": "deployments", "name": "rate"}
    defaults = yield "k8s.get", {"kind": "configmaps", "name": "worker-defaults"}
    manifest = {**rate, "labels": {"app": "rate-worker"}, "replicas": int(defaults["data"]["replicas"])}
    yield "k8s.create", {"kind": "deployments", "name": "rate-worker", "manifest": manifest}


def _rotation() -> Scenario:
    deployments = {
        "geo": _deployment("geo", secretRef="mongo-v1"),
        "rate": _deployment("rate", secretRef="mongo-v1"),
        "frontend": _deployment("frontend"),
    }
    return Scenario(
        "k8s-secret-rotation",
        "Credentials are rotated while a new consumer of them is deployed",
        cluster.initial(
            _cluster(
                deployments,
                secrets={"mongo-v1": {"data": {"user": "app", "password": "first"}}},
                configmaps={"worker-defaults": {"data": {"replicas": "2"}}},
            )
        ),
        (
            Role(
                "A",
                "Replace secret mongo-v1 by mongo-v2 with a new password, everywhere.",
                partial(_rotate, "mongo-v1", "mongo-v2"),
            ),
            Role(
                "B",
                "Deploy rate-worker like rate, with the replicas of ConfigMap worker-defaults.",
                _deploy_worker,
            ),
        ),
    )


# ---- target port -------------------------------------------------------------------------------------------


def _mend_target_port() -> Calls:
    services = yield "k8s.list", {"kind": "services"}
    deployments = yield "k8s.list", {"kind": "deployments"}
    for name, service in sorted(services.items()):
        ports = [one["port"] for one in deployments.values() if one["labels"] == service["selector"]]
        if ports and service["targetPort"] not in ports:
            yield "k8s.patch", {"kind": "services", "name": name, "patch": {"targetPort": ports[0]}}


def _move_port(name: str, port: int) -> Calls:
    deployment = yield "k8s.get", {"kind": "deployments", "name": name}
    services = yield "k8s.list", {"kind": "services"}
    yield "k8s.patch", {"kind": "deployments", "name": name, "patch": {"port": port}}
    for service, one in sorted(services.items()):
        if (
            one["selector"] == {"app": deployment["labels"]["app"]}
            and one["targetPort"] == deployment["port"]
        ):
            yield "k8s.patch", {"kind": "services", "name": service, "patch": {"targetPort": port}}


def _target_port() -> Scenario:
    services = {
        "user": {"selector": {"app": "user"}, "port": 80, "targetPort": 9090},
        "text": {"selector": {"app": "text"}, "port": 80, "targetPort": 8080},
    }
    deployments = {"user": _deployment("user"), "text": _deployment("text", 1)}
    return Scenario(
        "k8s-target-port",
        "A Service's wrong target port is mended while the container's port moves",
        cluster.initial(_cluster(deployments, services=services)),
        (
            Role(
                "A",
                "Give every Service without ready endpoints the port that its Deployment listens on.",
                _mend_target_port,
            ),
            Role(
                "B",
                "Move user to port 9191: its Deployment, and the Services that target its port.",
                partial(_move_port, "user", 9191),
            ),
        ),
    )


# ---- drain -------------------------------------------------------------------------------------------------


def _emptiest(nodes: dict[str, Any], deployments: dict[str, Any]) -> str:
    pinned = dict.fromkeys((name for name, node in sorted(nodes.items()) if not node["unschedulable"]), 0)
    for one in deployments.values():
        host = one.get("nodeSelector", {}).get(_HOST)
        if host in pinned:
            pinned[host] += one["replicas"]
    return min(pinned, key=lambda name: (pinned[name], name))


def _pin(name: str, node: str) -> tuple[str, dict[str, Any]]:
    patch = {"nodeSelector": {_HOST: node}}
    return "k8s.patch", {"kind": "deployments", "name": name, "patch": patch}


def _drain(node: str) -> Calls:
    yield "k8s.patch", {"kind": "nodes", "name": node, "patch": {"unschedulable": True}}
    nodes = yield "k8s.list", {"kind": "nodes"}
    deployments = yield "k8s.list", {"kind": "deployments"}
    for name, one in sorted(deployments.items()):
        if one.get("nodeSelector", {}).get(_HOST) == node:
            target = _emptiest(nodes, deployments)
            yield _pin(name, target)
            one["nodeSelector"] = {_HOST: target}


def _unpin(name: str) -> Calls:
    status = yield "k8s.pod_status", {"name": name}
    if status == "Pending":
        nodes = yield "k8s.list", {"kind": "nodes"}
        deployments = yield "k8s.list", {"kind": "deployments"}
        yield _pin(name, _emptiest(nodes, deployments))


def _drain_node() -> Scenario:
    deployments = {
        "frontend": _deployment("frontend", 3, nodeSelector={_HOST: "node-1"}),
        "geo": _deployment("geo", 1, nodeSelector={_HOST: "node-2"}),
        "rate": _deployment("rate", 2, nodeSelector={_HOST: "node-3"}),
        "search": _deployment("search", 1, nodeSelector={_HOST: "node-9"}),
    }
    return Scenario(
        "k8s-drain",
        "A node is drained while a pod that is pinned to a missing node is moved",
        cluster.initial(_cluster(deployments)),
        (
            Role(
                "A",
                "Take node-2 out of service and move what is pinned to it to the emptiest node.",
                partial(_drain, "node-2"),
            ),
            Role(
                "B",
                "Move search, which is pending, to the schedulable node with the fewest replicas.",
                partial(_unpin, "search"),
            ),
        ),
    )


def incidents() -> list[Scenario]:
    """Return the five incidents."""
    return [_canary(), _drain_node(), _quota(), _rotation(), _target_port()]
