"""The endpoints of a Service: the ready pods its selector matches, as Endpoints and as an EndpointSlice.

Source: Kubernetes documentation, "Service".
"""

from __future__ import annotations

from typing import Any

from kube_emulator.store import Change
from kube_emulator.workloads import is_ready, short_hash
from kube_emulator.world import World, owner_reference

Json = dict[str, Any]
_ENDPOINTS = ("", "endpoints")
_SLICES = ("discovery.k8s.io", "endpointslices")


def concerns(service: Json, change: Change) -> bool:
    """Whether a pod that changed is, or was, behind the service."""
    selector = service["spec"].get("selector")
    if not selector:
        return False
    return any(obj is not None and _matches(selector, obj) for obj in (change.object, change.before))


def _matches(selector: Json, pod: Json) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def reconcile(world: World, service: Json) -> None:
    """Writes the endpoints of a service if they differ from those it has."""
    _load_balancer(world, service)
    selector = service["spec"].get("selector")
    if not selector or service["spec"]["type"] == "ExternalName":
        return
    namespace = service["metadata"]["namespace"]
    pods = [
        pod
        for pod in world.store.of_kind(("", "pods"), namespace)
        if _matches(selector, pod) and (pod.get("status") or {}).get("podIP")
    ]
    pods = [pod for pod in pods if pod["status"]["phase"] == "Running" or not is_ready(pod)]
    ports = [_port(port, pods) for port in service["spec"].get("ports") or []]
    _write(world, _ENDPOINTS, _endpoints(service, pods, ports))
    _write(world, _SLICES, _slice(service, pods, ports))


def _load_balancer(world: World, service: Json) -> None:
    status: Json = {"loadBalancer": {}}
    if service["spec"]["type"] == "LoadBalancer":
        number = service["spec"]["clusterIP"].rsplit(".", 1)[1]
        status = {"loadBalancer": {"ingress": [{"ip": f"192.0.2.{number}", "ipMode": "VIP"}]}}
    world.put_status(("", "services"), service, status)


def _port(port: Json, pods: list[Json]) -> Json:
    target = port.get("targetPort", port["port"])
    if isinstance(target, str):
        target = next((number for pod in pods if (number := _named_port(pod, target))), port["port"])
    made = {"port": target, "protocol": port.get("protocol", "TCP")}
    return ({"name": port["name"]} if port.get("name") else {}) | made


def _named_port(pod: Json, name: str) -> int | None:
    for one in pod["spec"]["containers"]:
        for port in one.get("ports") or []:
            if port.get("name") == name:
                return int(port["containerPort"])
    return None


def _target(pod: Json) -> Json:
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }


def _endpoints(service: Json, pods: list[Json], ports: list[Json]) -> Json:
    metadata = {"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"]}
    made: Json = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    if service["metadata"].get("labels"):
        made["metadata"]["labels"] = dict(service["metadata"]["labels"])

    def addresses(ready: bool) -> list[Json]:
        chosen = [pod for pod in pods if is_ready(pod) == ready]
        return [
            {"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": _target(pod)}
            for pod in chosen
        ]

    subset: Json = {}
    for field, ready in (("addresses", True), ("notReadyAddresses", False)):
        if listed := addresses(ready):
            subset[field] = listed
    if subset:
        made["subsets"] = [subset | {"ports": ports}]
    return made


def _slice(service: Json, pods: list[Json], ports: list[Json]) -> Json:
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    labels = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    metadata: Json = {"name": f"{name}-{short_hash(f'{namespace}/{name}', 5)}", "namespace": namespace}
    metadata |= {"labels": labels, "ownerReferences": [owner_reference(service)]}
    entries = []
    for pod in pods:
        ready = is_ready(pod)
        entry: Json = {"addresses": [pod["status"]["podIP"]], "nodeName": pod["spec"]["nodeName"]}
        entry["conditions"] = {"ready": ready, "serving": ready, "terminating": False}
        entries.append(entry | {"targetRef": _target(pod)})
    made: Json = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
    named = [{"name": port.get("name", ""), **port} for port in ports]
    return made | {"addressType": "IPv4", "endpoints": entries, "ports": named}


def _write(world: World, kind: tuple[str, str], made: Json) -> None:
    held = world.store.get(kind, made["metadata"]["namespace"], made["metadata"]["name"])
    if held is None:
        world.stamp(made)
        world.store.put(kind, made)
        return
    if {**held, "metadata": None} != {**made, "metadata": None}:
        world.store.put(kind, dict(made, metadata=held["metadata"]))
