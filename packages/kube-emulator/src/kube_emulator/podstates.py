"""What becomes of a pod: where it is placed and whether its containers run.

Nothing is run. A pod's status follows from its spec, the nodes, the ConfigMaps and Secrets it names, and
the registry of images that exist.

Source: Kubernetes documentation, "Pod Lifecycle"; reasons and texts as kubelet and scheduler give them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from kube_emulator.defaults import stable_number
from kube_emulator.store import Store

Json = dict[str, Any]
PODS = ("", "pods")
NODES = ("", "nodes")
_IMAGE = re.compile(r"^[a-z0-9][a-z0-9._:/-]*?(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$")
_BROKEN = "-broken"


@dataclass(frozen=True)
class Registry:
    """Which images can be pulled.

    Args:
        images: the images that exist; None for all but those whose tag ends with ``-broken``.
    """

    images: Collection[str] | None = None

    def has(self, image: str) -> bool:
        """Whether the image exists; a missing tag counts as ``latest``."""
        if self.images is None:
            return not image.split("@", maxsplit=1)[0].endswith(_BROKEN)
        return (
            image in self.images
            or f"{image}:latest" in self.images
            or image.removesuffix(":latest") in self.images
        )


def place(pod: Json, store: Store) -> tuple[str, str]:
    """The node for a pod that has none: ``(node, "")``, or ``("", why not)``."""
    spec = pod["spec"]
    nodes = store.of_kind(NODES)
    reasons: dict[str, int] = {}
    fitting = []
    for node in nodes:
        why = unfit(spec, node)
        if why:
            reasons[why] = reasons.get(why, 0) + 1
        else:
            fitting.append(node["metadata"]["name"])
    claim = _missing_claim(pod, store)
    if claim:
        return "", f'0/{len(nodes)} nodes are available: persistentvolumeclaim "{claim}" not found.'
    if fitting:
        return fitting[stable_number(pod["metadata"]["name"], len(fitting))], ""
    text = ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))
    return (
        "",
        f"0/{len(nodes)} nodes are available: {text}." if text else "no nodes available to schedule pods",
    )


def unfit(spec: Json, node: Json) -> str:
    """Why a node cannot take a pod, as the scheduler says it; empty if it can."""
    labels = node["metadata"].get("labels") or {}
    node_spec = node.get("spec") or {}
    tolerations = spec.get("tolerations") or []
    if node_spec.get("unschedulable") and not _tolerates(
        tolerations, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    ):
        return "node(s) were unschedulable"
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in node_spec.get("taints") or []:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerates(tolerations, taint):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return ""


def _tolerates(tolerations: list[Json], taint: Json) -> bool:
    for one in tolerations:
        if one.get("effect") and one["effect"] != taint.get("effect"):
            continue
        if one.get("operator") == "Exists" and one.get("key") in (None, "", taint["key"]):
            return True
        if one.get("key") == taint["key"] and one.get("value", "") == taint.get("value", ""):
            return True
    return False


def _missing_claim(pod: Json, store: Store) -> str:
    namespace = pod["metadata"].get("namespace", "")
    for volume in pod["spec"].get("volumes") or []:
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and store.get(("", "persistentvolumeclaims"), namespace, claim) is None:
            return str(claim)
    return ""


def status(pod: Json, store: Store, registry: Registry, now: str, done: bool = False) -> Json:
    """The status of a pod now; what has not changed keeps its times.

    Args:
        pod: the pod, with the status it had.
        done: whether its containers have come to their end, as a job's do.
    """
    spec, old = pod["spec"], pod.get("status") or {}
    made: Json = {"phase": "Pending", "qosClass": _quality(spec)}
    if not spec.get("nodeName"):
        _, why = place(pod, store)
        made["conditions"] = [_condition("PodScheduled", False, now, "Unschedulable", why)]
        return _keep_times(made, old)
    initial = [_container(one, pod, store, registry, now, True) for one in spec.get("initContainers") or []]
    blocked = any("terminated" not in entry["state"] for entry in initial)
    main = [_container(one, pod, store, registry, now, done, blocked) for one in spec["containers"]]
    ready = all(entry["ready"] for entry in main)
    ended = all("terminated" in entry["state"] for entry in main)
    if ended:
        made["phase"] = "Succeeded"
    elif any("running" in entry["state"] for entry in main):
        made["phase"] = "Running"
    waiting = [entry["name"] for entry in main if not entry["ready"]]
    reason = "PodCompleted" if ended else "ContainersNotReady"
    text = "" if ended else f"containers with unready status: [{' '.join(waiting)}]"
    if ready:
        reason = text = ""
    made["conditions"] = [
        _condition("PodReadyToStartContainers", True, now),
        _condition("Initialized", not blocked, now, "ContainersNotInitialized" if blocked else ""),
        _condition("Ready", ready, now, reason, text),
        _condition("ContainersReady", ready, now, reason, text),
        _condition("PodScheduled", True, now),
    ]
    made["startTime"] = old.get("startTime", now)
    node = stable_number(spec["nodeName"], 250)
    made["hostIP"] = f"10.0.0.{node + 1}"
    made["hostIPs"] = [{"ip": made["hostIP"]}]
    number = stable_number(f"{pod['metadata'].get('namespace')}/{pod['metadata']['name']}", 62_000) + 10
    made["podIP"] = f"10.244.{number // 250}.{number % 250 + 1}"
    made["podIPs"] = [{"ip": made["podIP"]}]
    made["containerStatuses"] = main
    if initial:
        made["initContainerStatuses"] = initial
    return _keep_times(made, old)


def _container(
    one: Json, pod: Json, store: Store, registry: Registry, now: str, done: bool, blocked: bool = False
) -> Json:
    image = one["image"]
    entry: Json = {"name": one["name"], "image": image, "imageID": "", "ready": False, "restartCount": 0}
    entry["started"] = False
    before = _before(pod, one["name"])
    keeps = before.get("image") == image and "running" in (before.get("state") or {})
    reason, text = ("PodInitializing", "") if blocked else ("", "")
    if not blocked and not keeps:
        reason, text = _obstacle(one, pod, store, registry)
    if reason:
        entry["state"] = {"waiting": {"reason": reason} | ({"message": text} if text else {})}
        return entry
    digest = f"{stable_number(image, 2**44):064x}"
    entry["imageID"] = f"{image.split('@')[0].rsplit(':', 1)[0]}@sha256:{digest}"
    entry["containerID"] = f"containerd://{stable_number(pod['metadata']['name'] + one['name'], 2**44):064x}"
    if done:
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
        entry["state"] = {"terminated": ended | {"containerID": entry["containerID"]}}
        return entry
    entry.update(state={"running": {"startedAt": now}}, ready=True, started=True)
    return entry


def _before(pod: Json, name: str) -> Json:
    held = (pod.get("status") or {}).get("containerStatuses") or []
    return next((entry for entry in held if entry.get("name") == name), {})


def _obstacle(one: Json, pod: Json, store: Store, registry: Registry) -> tuple[str, str]:
    image = one["image"]
    if not _IMAGE.match(image):
        return "InvalidImageName", f'Failed to apply default image tag "{image}": couldn\'t parse image name'
    namespace = pod["metadata"].get("namespace", "")
    for volume in pod["spec"].get("volumes") or []:
        for source, plural, field in (
            ("secret", "secrets", "secretName"),
            ("configMap", "configmaps", "name"),
        ):
            named = volume.get(source) or {}
            if (
                named
                and not named.get("optional")
                and store.get(("", plural), namespace, named.get(field, "")) is None
            ):
                return "ContainerCreating", ""
    if not registry.has(image):
        return "ImagePullBackOff", f'Back-off pulling image "{image}"'
    return _missing_reference(one, namespace, store)


def _missing_reference(one: Json, namespace: str, store: Store) -> tuple[str, str]:
    error = "CreateContainerConfigError"
    wanted: list[tuple[str, Json]] = []
    for source in one.get("envFrom") or []:
        wanted += [("secrets", source["secretRef"])] if source.get("secretRef") else []
        wanted += [("configmaps", source["configMapRef"])] if source.get("configMapRef") else []
    for variable in one.get("env") or []:
        source = variable.get("valueFrom") or {}
        wanted += [("secrets", source["secretKeyRef"])] if source.get("secretKeyRef") else []
        wanted += [("configmaps", source["configMapKeyRef"])] if source.get("configMapKeyRef") else []
    for plural, reference in wanted:
        if reference.get("optional"):
            continue
        name, key = reference.get("name", ""), reference.get("key")
        held = store.get(("", plural), namespace, name)
        if held is None:
            return error, f'{plural[:-1]} "{name}" not found'
        if key and key not in {**(held.get("data") or {}), **(held.get("binaryData") or {})}:
            kind = "Secret" if plural == "secrets" else "ConfigMap"
            return error, f"couldn't find key {key} in {kind} {namespace}/{name}"
    return "", ""


def _quality(spec: Json) -> str:
    parts = [one.get("resources") or {} for one in spec["containers"]]
    if not any(part.get("limits") or part.get("requests") for part in parts):
        return "BestEffort"
    full = all({"cpu", "memory"} <= set(part.get("limits") or {}) for part in parts)
    return "Guaranteed" if full and all(p["limits"] == p.get("requests") for p in parts) else "Burstable"


def _condition(kind: str, true: bool, now: str, reason: str = "", message: str = "") -> Json:
    made: Json = {"type": kind, "status": "True" if true else "False", "lastProbeTime": None}
    made["lastTransitionTime"] = now
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def _keep_times(made: Json, old: Json) -> Json:
    """Takes over the times of conditions and container states that are as they were."""
    conditions = {one["type"]: one for one in old.get("conditions") or []}
    for one in made.get("conditions") or []:
        before = conditions.get(one["type"])
        if before and before["status"] == one["status"]:
            one["lastTransitionTime"] = before["lastTransitionTime"]
    for field in ("containerStatuses", "initContainerStatuses"):
        states = {one["name"]: one for one in old.get(field) or []}
        for one in made.get(field) or []:
            before = states.get(one["name"])
            if before and before["image"] == one["image"] and set(before["state"]) == set(one["state"]):
                one["state"] = before["state"] if "waiting" not in one["state"] else one["state"]
    return made
