"""The columns that lists of each kind are printed with.

Source: ``k8s.io/kubernetes/pkg/printers/internalversion``; a priority of 1 means "only with ``-o wide``".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

Json = dict[str, Any]


class Column(NamedTuple):
    """One column: its title, what it shows of an object, its type and its priority."""

    title: str
    show: Callable[[Json, datetime], Any]
    type: str = "string"
    priority: int = 0


def age(stamp: str | None, now: datetime) -> str:
    """The time since a timestamp, as short as ``kubectl`` prints it."""
    if not stamp:
        return "<unknown>"
    then = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    seconds = max(0, int((now - then).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"


def _at(path: str, otherwise: Any = "") -> Callable[[Json, datetime], Any]:
    keys = path.split(".")

    def show(obj: Json, _now: datetime) -> Any:
        value: Any = obj
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return otherwise if value is None else value

    return show


def _count(path: str) -> Callable[[Json, datetime], Any]:
    inner = _at(path, {})
    return lambda obj, now: len(inner(obj, now))


def _age(obj: Json, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


NAME = Column("Name", _at("metadata.name"))
AGE = Column("Age", _age)


def _number(title: str, path: str, otherwise: int = 0) -> Column:
    return Column(title, _at(path, otherwise), "integer")


def _ready_of(ready: str, wanted: str) -> Callable[[Json, datetime], str]:
    first, second = _at(ready, 0), _at(wanted, 0)
    return lambda obj, now: f"{first(obj, now)}/{second(obj, now)}"


def _containers(field: str) -> Callable[[Json, datetime], str]:
    def show(obj: Json, _now: datetime) -> str:
        spec = obj["spec"]["template"]["spec"] if "template" in obj.get("spec", {}) else obj["spec"]
        return ",".join(one[field] for one in spec.get("containers") or [])

    return show


def _selector(path: str) -> Callable[[Json, datetime], str]:
    inner = _at(path, {})

    def show(obj: Json, now: datetime) -> str:
        held = inner(obj, now)
        return ",".join(f"{key}={value}" for key, value in sorted(held.items())) or "<none>"

    return show


_WIDE = (
    Column("Containers", _containers("name"), priority=1),
    Column("Images", _containers("image"), priority=1),
    Column("Selector", _selector("spec.selector.matchLabels"), priority=1),
)


def pod_state(pod: Json, _now: datetime | None = None) -> str:
    """What the STATUS column says of a pod."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    initial = status.get("initContainerStatuses") or []
    for index, one in enumerate(initial):
        if "terminated" not in one["state"]:
            reason = (one["state"].get("waiting") or {}).get("reason", "")
            return f"Init:{reason}" if reason else f"Init:{index}/{len(initial)}"
    for one in status.get("containerStatuses") or []:
        for state in ("waiting", "terminated"):
            if (one["state"].get(state) or {}).get("reason"):
                return str(one["state"][state]["reason"])
    return str(status.get("phase", "Unknown"))


def _pod_ready(pod: Json, _now: datetime) -> str:
    held = (pod.get("status") or {}).get("containerStatuses") or []
    return f"{sum(one['ready'] for one in held)}/{len(pod['spec']['containers'])}"


def _restarts(pod: Json, _now: datetime) -> str:
    return str(sum(one["restartCount"] for one in (pod.get("status") or {}).get("containerStatuses") or []))


def _ports(service: Json, _now: datetime) -> str:
    texts = []
    for port in service["spec"].get("ports") or []:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(texts) or "<none>"


def _external(service: Json, _now: datetime) -> str:
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName", ""))
    listed = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    addresses = [one.get("ip") or one.get("hostname", "") for one in listed] + (spec.get("externalIPs") or [])
    return ",".join(addresses) or ("<pending>" if spec["type"] == "LoadBalancer" else "<none>")


def _node_state(node: Json, _now: datetime) -> str:
    held = {one["type"]: one["status"] for one in (node.get("status") or {}).get("conditions") or []}
    state = {"True": "Ready", "False": "NotReady"}.get(held.get("Ready", ""), "Unknown")
    return state + (",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else "")


def _roles(node: Json, _now: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    return (
        ",".join(
            sorted(k[len(prefix) :] for k in node["metadata"].get("labels") or {} if k.startswith(prefix))
        )
        or "<none>"
    )


def _addresses(obj: Json, _now: datetime) -> str:
    texts = []
    for subset in obj.get("subsets") or []:
        for address in subset.get("addresses") or []:
            texts += [f"{address['ip']}:{port['port']}" for port in subset.get("ports") or []] or [
                address["ip"]
            ]
    more = f" + {len(texts) - 3} more..." if len(texts) > 3 else ""
    return ",".join(texts[:3]) + more or "<none>"


def _hosts(obj: Json, _now: datetime) -> str:
    return ",".join(rule.get("host", "*") for rule in (obj.get("spec") or {}).get("rules") or []) or "*"


def _job_state(obj: Json, _now: datetime) -> str:
    held = [
        one["type"] for one in (obj.get("status") or {}).get("conditions") or [] if one["status"] == "True"
    ]
    if obj["spec"].get("suspend"):
        return "Suspended"
    return "Complete" if "Complete" in held else "Failed" if "Failed" in held else "Running"


def _reference(obj: Json, _now: datetime) -> str:
    target = obj["spec"].get("scaleTargetRef") or {}
    return f"{target.get('kind')}/{target.get('name')}"


def _targets(obj: Json, _now: datetime) -> str:
    texts = []
    for metric in obj["spec"].get("metrics") or []:
        target = (metric.get("resource") or {}).get("target") or {}
        name = (metric.get("resource") or {}).get("name", metric.get("type", ""))
        texts.append(f"{name}: <unknown>/{target.get('averageUtilization', target.get('averageValue', ''))}%")
    return ", ".join(texts) or "<none>"


def _seen(obj: Json, now: datetime) -> str:
    return age(obj.get("lastTimestamp") or obj["metadata"].get("creationTimestamp"), now)


def _involved(obj: Json, _now: datetime) -> str:
    held = obj.get("involvedObject") or {}
    return f"{held.get('kind', '').lower()}/{held.get('name', '')}"


def _class(obj: Json, _now: datetime) -> str:
    return str(obj["spec"].get("ingressClassName") or "<none>")


def _role(obj: Json, _now: datetime) -> str:
    return f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"


COLUMNS: dict[str, tuple[Column, ...]] = {
    "deployments": (
        NAME,
        Column("Ready", _ready_of("status.readyReplicas", "spec.replicas")),
        _number("Up-to-date", "status.updatedReplicas"),
        _number("Available", "status.availableReplicas"),
        AGE,
        *_WIDE,
    ),
    "replicasets": (
        NAME,
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
        AGE,
        *_WIDE,
    ),
    "statefulsets": (
        NAME,
        Column("Ready", _ready_of("status.readyReplicas", "spec.replicas")),
        AGE,
        *_WIDE[:2],
    ),
    "daemonsets": (
        NAME,
        _number("Desired", "status.desiredNumberScheduled"),
        _number("Current", "status.currentNumberScheduled"),
        _number("Ready", "status.numberReady"),
        _number("Up-to-date", "status.updatedNumberScheduled"),
        _number("Available", "status.numberAvailable"),
        Column("Node Selector", _selector("spec.template.spec.nodeSelector")),
        AGE,
        *_WIDE,
    ),
    "jobs": (
        NAME,
        Column("Status", _job_state),
        Column("Completions", _ready_of("status.succeeded", "spec.completions")),
        Column("Duration", lambda obj, now: age((obj.get("status") or {}).get("startTime"), now)),
        AGE,
        *_WIDE,
    ),
    "cronjobs": (
        NAME,
        Column("Schedule", _at("spec.schedule")),
        Column("Timezone", _at("spec.timeZone", "<none>")),
        Column("Suspend", lambda obj, _now: str(obj["spec"].get("suspend", False))),
        Column("Active", _count("status.active"), "integer"),
        Column("Last Schedule", _at("status.lastScheduleTime", "<none>")),
        AGE,
    ),
    "pods": (
        NAME,
        Column("Ready", _pod_ready),
        Column("Status", pod_state),
        Column("Restarts", _restarts),
        AGE,
        Column("IP", _at("status.podIP", "<none>"), priority=1),
        Column("Node", _at("spec.nodeName", "<none>"), priority=1),
        Column("Nominated Node", lambda _obj, _now: "<none>", priority=1),
        Column("Readiness Gates", lambda _obj, _now: "<none>", priority=1),
    ),
    "services": (
        NAME,
        Column("Type", _at("spec.type")),
        Column("Cluster-IP", _at("spec.clusterIP", "<none>")),
        Column("External-IP", _external),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", _selector("spec.selector"), priority=1),
    ),
    "endpoints": (NAME, Column("Endpoints", _addresses), AGE),
    "configmaps": (NAME, Column("Data", _count("data"), "integer"), AGE),
    "secrets": (NAME, Column("Type", _at("type")), Column("Data", _count("data"), "integer"), AGE),
    "serviceaccounts": (NAME, Column("Secrets", _count("secrets"), "integer"), AGE),
    "namespaces": (NAME, Column("Status", _at("status.phase")), AGE),
    "nodes": (
        NAME,
        Column("Status", _node_state),
        Column("Roles", _roles),
        AGE,
        Column("Version", _at("status.nodeInfo.kubeletVersion")),
        Column("OS-Image", _at("status.nodeInfo.osImage"), priority=1),
        Column("Kernel-Version", _at("status.nodeInfo.kernelVersion"), priority=1),
        Column("Container-Runtime", _at("status.nodeInfo.containerRuntimeVersion"), priority=1),
    ),
    "events": (
        Column("Last Seen", _seen),
        Column("Type", _at("type")),
        Column("Reason", _at("reason")),
        Column("Object", _involved),
        Column("Message", _at("message")),
    ),
    "persistentvolumeclaims": (
        NAME,
        Column("Status", _at("status.phase", "Pending")),
        Column("Volume", _at("spec.volumeName")),
        Column("Capacity", _at("status.capacity.storage")),
        Column("Access Modes", lambda obj, _now: ",".join(obj["spec"].get("accessModes") or [])),
        Column("StorageClass", _at("spec.storageClassName")),
        AGE,
    ),
    "ingresses": (
        NAME,
        Column("Class", _class),
        Column("Hosts", _hosts),
        Column("Address", lambda _obj, _now: ""),
        Column("Ports", lambda obj, _now: "80, 443" if obj["spec"].get("tls") else "80"),
        AGE,
    ),
    "networkpolicies": (NAME, Column("Pod-Selector", _selector("spec.podSelector.matchLabels")), AGE),
    "horizontalpodautoscalers": (
        NAME,
        Column("Reference", _reference),
        Column("Targets", _targets),
        _number("MinPods", "spec.minReplicas"),
        _number("MaxPods", "spec.maxReplicas"),
        _number("Replicas", "status.currentReplicas"),
        AGE,
    ),
    "poddisruptionbudgets": (
        NAME,
        Column("Min Available", lambda obj, _now: str(obj["spec"].get("minAvailable", "N/A"))),
        Column("Max Unavailable", lambda obj, _now: str(obj["spec"].get("maxUnavailable", "N/A"))),
        _number("Allowed Disruptions", "status.disruptionsAllowed"),
        AGE,
    ),
    "roles": (NAME, Column("Created At", _at("metadata.creationTimestamp"))),
    "clusterroles": (NAME, Column("Created At", _at("metadata.creationTimestamp"))),
    "rolebindings": (NAME, Column("Role", _role), AGE),
    "clusterrolebindings": (NAME, Column("Role", _role), AGE),
    "customresourcedefinitions": (NAME, Column("Created At", _at("metadata.creationTimestamp"))),
}
