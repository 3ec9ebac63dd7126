"""The Kubernetes workloads' tools, over the small cluster model of the workload files.

The model holds one object per node, Deployment, Service, ConfigMap and Secret, and the list of images in the
registry; pod status and endpoints are derived from them, as a controller would.
"""

from __future__ import annotations

from typing import Any

from coagent.protocol.values import Value
from coagent.tools.native import tool
from coagent.tools.state import State

_KINDS = ("nodes", "deployments", "services", "configmaps", "secrets")
_IMAGES = "k8s:images"
_HOSTNAME = "kubernetes.io/hostname"


def _key(kind: str, name: str) -> str:
    if kind not in _KINDS:
        raise ValueError(f"there is no kind {kind!r}; there are {', '.join(_KINDS)}")
    return f"k8s:{kind}/{name}"


def initial(state: dict[str, Any]) -> dict[str, Value]:
    """Return the objects of a Kubernetes workload's initial state."""
    objects: dict[str, Value] = {_IMAGES: list(state["images"])}
    for kind in _KINDS:
        objects.update({_key(kind, name): one for name, one in state.get(kind, {}).items()})
    return objects


def final(snapshot: dict[str, Value]) -> Value:
    """Return the final state in the workload's form: the cluster object with its derived fields."""
    cluster: dict[str, Any] = {kind: {} for kind in _KINDS}
    for key, value in snapshot.items():
        kind, _, name = key.removeprefix("k8s:").partition("/")
        if name:
            cluster[kind][name] = value
    cluster["images"] = snapshot[_IMAGES]
    cluster["status"] = {name: _status(cluster, name) for name in cluster["deployments"]}
    cluster["endpoints"] = {name: _endpoints(cluster, name) for name in cluster["services"]}
    cluster["total_replicas"] = sum(one["replicas"] for one in cluster["deployments"].values())
    return cluster


def _status(cluster: dict[str, Any], name: str) -> str:
    deployment = cluster["deployments"].get(name)
    if deployment is None:
        return "NotFound"
    if deployment["replicas"] == 0:
        return "ScaledToZero"
    host = deployment.get("nodeSelector", {}).get(_HOSTNAME)
    if host and (host not in cluster["nodes"] or cluster["nodes"][host].get("unschedulable")):
        return "Pending"
    if deployment["image"] not in cluster["images"]:
        return "ImagePullBackOff"
    for reference, kind in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
        if deployment.get(reference) and deployment[reference] not in cluster[kind]:
            return "CreateContainerConfigError"
    command = deployment.get("command")
    if command and command[0] != deployment["labels"].get("app"):
        return "CrashLoopBackOff"
    return "Running"


def _endpoints(cluster: dict[str, Any], name: str) -> int | str:
    service = cluster["services"].get(name)
    if service is None:
        return "NotFound"
    ready: int = sum(
        one["replicas"]
        for deployment, one in cluster["deployments"].items()
        if _selected(one, service["selector"])
        and one["port"] == service["targetPort"]
        and _status(cluster, deployment) == "Running"
    )
    return ready


def _selected(one: dict[str, Any], selector: dict[str, str] | None) -> bool:
    return not selector or all(one.get("labels", {}).get(key) == value for key, value in selector.items())


async def _all(state: State, kind: str) -> dict[str, Any]:
    prefix = _key(kind, "")
    return {key.removeprefix(prefix): await state.get(key) for key in await state.list(prefix)}


async def _surroundings(state: State, deployments: dict[str, Any]) -> dict[str, Any]:
    """Read just what the status of these Deployments depends on."""
    cluster: dict[str, Any] = {kind: {} for kind in _KINDS}
    cluster["deployments"] = deployments
    cluster["images"] = await state.get(_IMAGES)
    for one in deployments.values():
        wanted = [
            ("nodes", one.get("nodeSelector", {}).get(_HOSTNAME)),
            ("secrets", one.get("secretRef")),
            ("configmaps", one.get("configMapRef")),
        ]
        for kind, name in wanted:
            if name and (found := await state.get(_key(kind, name))) is not None:
                cluster[kind][name] = found
    return cluster


@tool(name="k8s.get")
async def get(state: State, kind: str, name: str) -> Any:
    """An object, or 'NotFound'. Kinds: nodes, deployments, services, configmaps, secrets."""
    return await state.get(_key(kind, name)) or "NotFound"


@tool(name="k8s.list")
async def list_objects(state: State, kind: str, selector: dict[str, str] | None = None) -> dict[str, Any]:
    """The objects of a kind, by name; with a selector only those with all these labels.

    Kinds: nodes, deployments, services, configmaps, secrets.
    """
    return {name: one for name, one in (await _all(state, kind)).items() if _selected(one, selector)}


@tool(name="k8s.images")
async def images(state: State) -> list[str]:
    """The image tags present in the registry."""
    return list(await state.get(_IMAGES))


@tool(name="k8s.pod_status")
async def pod_status(state: State, name: str) -> str:
    """The status of a Deployment's pods."""
    deployment = await state.get(_key("deployments", name))
    if deployment is None:
        return "NotFound"
    return _status(await _surroundings(state, {name: deployment}), name)


@tool(name="k8s.endpoints")
async def endpoints(state: State, service: str) -> int | str:
    """The number of ready pods behind a Service."""
    found = await state.get(_key("services", service))
    if found is None:
        return "NotFound"
    deployments = {
        name: one
        for name, one in (await _all(state, "deployments")).items()
        if _selected(one, found["selector"])
    }
    cluster = await _surroundings(state, deployments)
    cluster["services"][service] = found
    return _endpoints(cluster, service)


@tool(name="k8s.create")
async def create(state: State, kind: str, name: str, manifest: dict[str, Any]) -> str:
    """Create an object. Kinds: nodes, deployments, services, configmaps, secrets."""
    if await state.get(_key(kind, name)) is not None:
        return "AlreadyExists"
    await state.put(_key(kind, name), manifest)
    return "created"


@tool(name="k8s.patch")
async def patch(state: State, kind: str, name: str, patch: dict[str, Any]) -> str:
    """Merge a patch into an object (RFC 7386): nested objects merge, null deletes."""
    found = await state.get(_key(kind, name))
    if found is None:
        return "NotFound"
    _merge(found, patch)
    await state.put(_key(kind, name), found)
    return "patched"


def _merge(found: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict) and isinstance(found.get(key), dict):
            _merge(found[key], value)
        else:
            found[key] = value


async def _patched(state: State, name: str, change: dict[str, Any]) -> str:
    return str(await patch(state, "deployments", name, change))


@tool(name="k8s.set_image")
async def set_image(state: State, name: str, image: str) -> str:
    """Set the image of a Deployment."""
    return await _patched(state, name, {"image": image})


@tool(name="k8s.scale")
async def scale(state: State, name: str, replicas: int) -> str:
    """Set the number of replicas of a Deployment."""
    return await _patched(state, name, {"replicas": replicas})


@tool(name="k8s.delete")
async def delete(state: State, kind: str, name: str) -> str:
    """Delete an object. Kinds: nodes, deployments, services, configmaps, secrets."""
    if await state.get(_key(kind, name)) is None:
        return "NotFound"
    await state.delete(_key(kind, name))
    return "deleted"


TOOLS = (get, list_objects, images, pod_status, endpoints, create, patch, set_image, scale, delete)
