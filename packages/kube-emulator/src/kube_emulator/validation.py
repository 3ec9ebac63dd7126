"""The rules that objects of the built-in kinds must keep, beyond the types of their fields.

Source: ``k8s.io/kubernetes/pkg/apis/*/validation``, the part that everyday manifests run into.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kube_emulator.names import (
    bad,
    check_data_keys,
    check_keys,
    check_label_name,
    check_labels,
    check_object_name,
    duplicate,
    required,
    unsupported,
)
from kube_emulator.selectors import selector_test
from kube_emulator.statuses import QUANTITY_RULE, Cause

Json = dict[str, Any]
_QUANTITY = re.compile(r"^[+-]?(\d+|\d+\.\d*|\.\d+)(m|u|n|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d+)?$")
_PERCENT = re.compile(r"^\d+%$")


def validate(kind: str, obj: Json) -> list[Cause]:
    """Every rule that an object breaks; an empty list if it is good."""
    metadata = obj["metadata"]
    causes = check_object_name(kind, metadata.get("name", ""))
    causes += check_labels(metadata.get("labels") or {}, "metadata.labels")
    causes += check_keys(metadata.get("annotations") or {}, "metadata.annotations")
    rule = _RULES.get(kind)
    return causes + (rule(obj) if rule else [])


def pod_spec(spec: Json, path: str, restart: list[str] | None = None) -> list[Cause]:
    """What is wrong with a pod's desired state, as in a Pod or in a template."""
    causes: list[Cause] = []
    volumes = [volume.get("name", "") for volume in spec.get("volumes") or []]
    for index, name in enumerate(volumes):
        causes += check_label_name(f"{path}.volumes[{index}].name", name)
        if name in volumes[:index]:
            causes.append(duplicate(f"{path}.volumes[{index}].name", name))
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, one in enumerate(spec.get(field) or []):
            causes += _container(one, f"{path}.{field}[{index}]", seen, volumes)
    allowed = restart or ["Always", "OnFailure", "Never"]
    if spec.get("restartPolicy") not in allowed:
        causes.append(unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), allowed))
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        text = "must be greater than or equal to 0"
        causes.append(
            bad(f"{path}.terminationGracePeriodSeconds", spec["terminationGracePeriodSeconds"], text)
        )
    return causes


def _container(one: Json, path: str, seen: set[str], volumes: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    name = one.get("name", "")
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        causes += check_label_name(f"{path}.name", name)
    if name in seen:
        causes.append(duplicate(f"{path}.name", name))
    seen.add(name)
    if not one.get("image"):
        causes.append(required(f"{path}.image"))
    elif one["image"] != one["image"].strip():
        causes.append(bad(f"{path}.image", one["image"], "must not have leading or trailing whitespace"))
    policies = ["Always", "IfNotPresent", "Never"]
    if one.get("imagePullPolicy") not in policies:
        causes.append(unsupported(f"{path}.imagePullPolicy", one.get("imagePullPolicy"), policies))
    for index, port in enumerate(one.get("ports") or []):
        causes += _port(port.get("containerPort"), f"{path}.ports[{index}].containerPort")
        causes += _protocol(port.get("protocol"), f"{path}.ports[{index}].protocol")
    for index, variable in enumerate(one.get("env") or []):
        if not variable.get("name"):
            causes.append(required(f"{path}.env[{index}].name"))
        if variable.get("value") and variable.get("valueFrom"):
            text = "may not be specified when `value` is not empty"
            causes.append(bad(f"{path}.env[{index}].valueFrom", "", text))
    for index, mount in enumerate(one.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            text = f'Not found: "{mount.get("name", "")}"'
            causes.append(Cause("FieldValueNotFound", text, f"{path}.volumeMounts[{index}].name"))
        if not mount.get("mountPath"):
            causes.append(required(f"{path}.volumeMounts[{index}].mountPath"))
    return causes + _resources(one.get("resources") or {}, f"{path}.resources")


def _resources(resources: Json, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for part in ("limits", "requests"):
        for name, quantity in (resources.get(part) or {}).items():
            if not _QUANTITY.match(str(quantity)):
                causes.append(bad(f"{path}.{part}[{name}]", quantity, QUANTITY_RULE))
            elif str(quantity).startswith("-"):
                causes.append(bad(f"{path}.{part}[{name}]", quantity, "must be greater than or equal to 0"))
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name in sorted(limits.keys() & requests.keys()):
        if not causes and amount(requests[name]) > amount(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.append(bad(f"{path}.requests", requests[name], text))
    return causes


def amount(quantity: Any) -> float:
    """The number that a quantity like ``250m`` or ``1Gi`` stands for; 0 if it is none."""
    found = _QUANTITY.match(str(quantity))
    if not found:
        return 0.0
    powers = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
    binary = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60}
    suffix = found[2] or ""
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix not in binary:
        return float(str(quantity))
    number = float(str(quantity)[: len(str(quantity)) - len(suffix)])
    return number * {**powers, **binary}.get(suffix, 1.0)


def _port(number: Any, path: str) -> list[Cause]:
    if not isinstance(number, int):
        return [required(path)]
    return [] if 1 <= number <= 65535 else [bad(path, number, "must be between 1 and 65535, inclusive")]


def _protocol(protocol: Any, path: str) -> list[Cause]:
    known = ["SCTP", "TCP", "UDP"]
    return [] if protocol in known else [unsupported(path, protocol, known)]


def _not_negative(spec: Json, field: str) -> list[Cause]:
    value = spec.get(field, 0)
    return [bad(f"spec.{field}", value, "must be greater than or equal to 0")] if value < 0 else []


def _workload(obj: Json) -> list[Cause]:
    spec = obj["spec"]
    causes = _not_negative(spec, "replicas") + _not_negative(spec, "revisionHistoryLimit")
    selector = spec.get("selector")
    if selector is None:
        causes.append(required("spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        text = "empty selector is invalid for deployment"
        causes.append(bad("spec.selector", "v1.LabelSelector{MatchLabels:map[string]string(nil)}", text))
    template = spec.get("template")
    if template is None:
        return [*causes, required("spec.template")]
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not selector_test(selector)(labels):
        shown = "map[string]string{" + ", ".join(f'"{k}":"{v}"' for k, v in sorted(labels.items())) + "}"
        text = f"Invalid value: {shown}: `selector` does not match template `labels`"
        causes.append(Cause("FieldValueInvalid", text, "spec.template.metadata.labels"))
    causes += check_labels(labels, "spec.template.labels")
    return causes + pod_spec(template.get("spec") or {}, "spec.template.spec", ["Always"])


def _deployment(obj: Json) -> list[Cause]:
    causes = _workload(obj)
    strategy = obj["spec"].get("strategy") or {}
    known = ["Recreate", "RollingUpdate"]
    if strategy.get("type") not in known:
        causes.append(unsupported("spec.strategy.type", strategy.get("type"), known))
    elif strategy["type"] == "Recreate" and strategy.get("rollingUpdate"):
        text = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        causes.append(Cause("FieldValueForbidden", text, "spec.strategy.rollingUpdate"))
    rolling = strategy.get("rollingUpdate") or {}
    for field in ("maxUnavailable", "maxSurge"):
        value = rolling.get(field)
        if isinstance(value, str) and not _PERCENT.match(value):
            text = "a valid percent string must be a numeric string followed by an ending '%'"
            causes.append(bad(f"spec.strategy.rollingUpdate.{field}", value, text))
    if rolling and {str(rolling.get("maxUnavailable")), str(rolling.get("maxSurge"))} <= {"0", "0%"}:
        text = "may not be 0 when `maxSurge` is 0"
        causes.append(bad("spec.strategy.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable"), text))
    return causes


def _job(obj: Json) -> list[Cause]:
    spec = obj["spec"]
    template = spec.get("template")
    if template is None:
        return [required("spec.template")]
    allowed = ["OnFailure", "Never"]
    causes = pod_spec(template.get("spec") or {}, "spec.template.spec", allowed)
    return causes + _not_negative(spec, "parallelism") + _not_negative(spec, "completions")


def _service(obj: Json) -> list[Cause]:
    spec = obj["spec"]
    causes: list[Cause] = []
    kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
    if spec["type"] not in kinds:
        causes.append(unsupported("spec.type", spec["type"], kinds))
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    names: list[str] = []
    pairs: list[tuple[Any, Any]] = []
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        causes += _port(port.get("port"), f"{path}.port") + _protocol(
            port.get("protocol"), f"{path}.protocol"
        )
        name = port.get("name", "")
        if not name and len(ports) > 1:
            causes.append(required(f"{path}.name"))
        elif name and name in names:
            causes.append(duplicate(f"{path}.name", name))
        names.append(name)
        pair = (port.get("port"), port.get("protocol"))
        if pair in pairs:
            causes.append(duplicate(path, f"{pair[0]}/{pair[1]}"))
        pairs.append(pair)
        node_port = port.get("nodePort")
        if node_port and not 30000 <= node_port <= 32767:
            text = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            causes.append(bad(f"{path}.nodePort", node_port, text))
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        causes.append(required("spec.externalName"))
    return causes


def _data(obj: Json) -> list[Cause]:
    causes = check_data_keys(obj.get("data") or {}, "data")
    return causes + check_data_keys(obj.get("binaryData") or {}, "binaryData")


def _autoscaler(obj: Json) -> list[Cause]:
    spec = obj["spec"]
    causes = []
    if not spec.get("maxReplicas"):
        causes.append(bad("spec.maxReplicas", spec.get("maxReplicas", 0), "must be greater than 0"))
    elif spec["maxReplicas"] < spec["minReplicas"]:
        text = "must be greater than or equal to `minReplicas`"
        causes.append(bad("spec.maxReplicas", spec["maxReplicas"], text))
    return causes


def _cron_job(obj: Json) -> list[Cause]:
    spec = obj["spec"]
    if not spec.get("schedule"):
        return [required("spec.schedule")]
    if len(str(spec["schedule"]).split()) != 5 and not str(spec["schedule"]).startswith("@"):
        return [
            bad("spec.schedule", spec["schedule"], "expected exactly 5 fields, found another number of them")
        ]
    return []


def _definition(obj: Json) -> list[Cause]:
    spec = obj["spec"]
    wanted = f"{spec.get('names', {}).get('plural')}.{spec.get('group')}"
    causes = []
    if obj["metadata"]["name"] != wanted:
        causes.append(
            bad("metadata.name", obj["metadata"]["name"], 'must be spec.names.plural+"."+spec.group')
        )
    if sum(bool(version.get("storage")) for version in spec.get("versions") or []) != 1:
        text = "must have exactly one version marked as storage version"
        causes.append(bad("spec.versions", "[]", text))
    return causes


def _pod(obj: Json) -> list[Cause]:
    return pod_spec(obj["spec"], "spec")


_RULES: dict[str, Callable[[Json], list[Cause]]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _workload,
    "StatefulSet": _workload,
    "DaemonSet": _workload,
    "Job": _job,
    "CronJob": _cron_job,
    "Service": _service,
    "ConfigMap": _data,
    "Secret": _data,
    "HorizontalPodAutoscaler": _autoscaler,
    "CustomResourceDefinition": _definition,
}
