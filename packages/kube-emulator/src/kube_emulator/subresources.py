"""The parts of objects that have their own paths: scale, log, eviction, binding, token; and access reviews.

Source: Kubernetes API reference 1.32.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kube_emulator import patches, statuses
from kube_emulator.api import Api, Options
from kube_emulator.faults import Faults
from kube_emulator.requests import Target

Json = dict[str, Any]
USER = "emulator-user"


def scale_of(obj: Json) -> Json:
    """An object's ``Scale``."""
    metadata = {
        key: obj["metadata"][key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in obj["metadata"]
    }
    spec = obj.get("spec") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    status: Json = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    if labels:
        status["selector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    wanted = {"replicas": spec["replicas"]} if spec.get("replicas") else {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": wanted,
        "status": status,
    }


def write_scale(api: Api, target: Target, media: str, body: Any, options: Options) -> Json:
    """Sets an object's number of replicas through its ``Scale``, by replacement or by patch.

    Raises:
        ApiError: as updates and patches do; 422 for a negative number.
    """
    with api.store.lock:
        obj = api.get(target.resource, target.namespace, target.name)
        if not media:
            scale = body
        elif media == "application/json-patch+json":
            scale = patches.json_patch(scale_of(obj), body)
        else:
            scale = patches.merge_patch(scale_of(obj), body)
        count = (scale.get("spec") or {}).get("replicas", 0)
        if not isinstance(count, int) or count < 0:
            text = f"Invalid value: {count}: must be greater than or equal to 0"
            causes = [statuses.Cause("FieldValueInvalid", text, "spec.replicas")]
            raise statuses.invalid("Scale", "autoscaling", target.name, causes)
        seen = (scale.get("metadata") or {}).get("resourceVersion")
        changed: Json = {"spec": {"replicas": count}}
        if seen:
            changed["metadata"] = {"resourceVersion": seen}
        merge = "application/merge-patch+json"
        plain = replace(options, subresource="scale")
        done, _ = api.patch(target.resource, target.namespace, target.name, merge, changed, plain)
        return scale_of(done)


def log(api: Api, target: Target) -> str:
    """The output of a pod: one line for each running container, since nothing is run.

    Raises:
        ApiError: 400 while its containers wait, 404 if there is no such pod.
    """
    pod = api.get(target.resource, target.namespace, target.name)
    held = (pod.get("status") or {}).get("containerStatuses") or []
    for one in held:
        waiting = one["state"].get("waiting")
        if waiting:
            raise statuses.bad_request(
                f'container "{one["name"]}" in pod "{target.name}" is waiting to start: '
                f"{'trying and failing to pull image' if 'Pull' in waiting['reason'] else waiting['reason']}"
            )
    return "".join(f"{one['name']}: {one['image']} started\n" for one in held)


def evict(api: Api, target: Target, options: Options) -> Json:
    """Removes a pod unless a disruption budget forbids it.

    Raises:
        ApiError: 429 if a budget allows no disruption, 404 if there is no such pod.
    """
    with api.store.lock:
        pod = api.get(target.resource, target.namespace, target.name)
        labels = pod["metadata"].get("labels") or {}
        for budget in api.store.of_kind(("policy", "poddisruptionbudgets"), target.namespace):
            wanted = ((budget.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
            matches = wanted and all(labels.get(key) == value for key, value in wanted.items())
            if matches and (budget.get("status") or {}).get("disruptionsAllowed", 0) <= 0:
                text = "Cannot evict pod as it would violate the pod's disruption budget."
                raise statuses.ApiError(429, "TooManyRequests", text)
        api.delete(target.resource, target.namespace, target.name, {}, options.dry_run)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def review(plural: str, body: Any, faults: Faults) -> Json:
    """Answers a review of what the caller is or may do: everything but what faults forbid."""
    made = dict(body) if isinstance(body, dict) else {}
    made["metadata"] = {"creationTimestamp": None}
    if plural == "selfsubjectreviews":
        made["status"] = {
            "userInfo": {"username": USER, "groups": ["system:masters", "system:authenticated"]}
        }
    elif plural == "selfsubjectrulesreviews":
        rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        urls = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        made["status"] = {"incomplete": False, "resourceRules": rules, "nonResourceRules": urls}
    else:
        asked = (made.get("spec") or {}).get("resourceAttributes") or {}
        allowed = not faults.forbids(
            asked.get("verb", ""), asked.get("resource", ""), asked.get("namespace", "")
        )
        made["status"] = {"allowed": allowed} | ({} if allowed else {"reason": "injected fault"})
    return made
