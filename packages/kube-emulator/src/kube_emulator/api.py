"""The verbs that write: create, update, patch, apply, delete, with everything a server does on the way.

Source: Kubernetes API concepts and API conventions.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any

from kube_emulator import bodies, controllers, defaults, managers, patches, statuses, webhooks
from kube_emulator.changes import check_change
from kube_emulator.resources import Resource
from kube_emulator.selectors import field_test, label_test
from kube_emulator.validation import validate
from kube_emulator.workloads import short_hash
from kube_emulator.world import World

Json = dict[str, Any]
_SYSTEM = ("uid", "creationTimestamp", "generation", "managedFields", "deletionTimestamp", "selfLink")
_PODS = ("", "pods")


@dataclass
class Options:
    """What a request says beside its object.

    Attributes:
        manager: who writes, for ``managedFields``.
        dry_run: whether nothing is kept.
        validation: what becomes of unknown fields: ``Strict``, ``Warn`` or ``Ignore``.
        force: whether server-side apply takes over fields of others.
        warnings: filled with texts for the client.
    """

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    subresource: str = ""
    warnings: list[str] = field(default_factory=list)


class Api:
    """The writing and reading verbs over one world; every method holds the store's lock.

    Args:
        world: the state to work on.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """The object.

        Raises:
            ApiError: 404 if there is none.
        """
        held = self.store.get(resource.key, namespace, name)
        if held is None:
            raise statuses.not_found(resource.plural, resource.group, name)
        return self.in_version(resource, held)

    def in_version(self, resource: Resource, obj: Json) -> Json:
        """An object as a version of its kind shows it: versions of one kind differ only in their name."""
        if obj.get("apiVersion") == resource.api_version:
            return obj
        return dict(obj, apiVersion=resource.api_version)

    def select(self, resource: Resource, namespace: str, labels: str = "", fields: str = "") -> list[Json]:
        """The objects that selectors choose, by namespace and name."""
        found = self.store.of_kind(resource.key, namespace)
        if labels:
            wanted = label_test(labels)
            found = [obj for obj in found if wanted(obj["metadata"].get("labels") or {})]
        if fields:
            chosen = field_test(fields, resource.plural)
            found = [obj for obj in found if chosen(obj)]
        return [self.in_version(resource, obj) for obj in found]

    def create(self, resource: Resource, namespace: str, body: Any, options: Options) -> Json:
        """Makes an object.

        Raises:
            ApiError: 400, 403, 404, 409 or 422, as the API conventions say.
        """
        with self.store.lock:
            obj = bodies.read(resource, body, options)
            bodies.check_address(resource, obj, namespace, "")
            self._name(resource, obj)
            self._check_namespace(resource, obj)
            name = obj["metadata"]["name"]
            held = obj["metadata"].get("namespace", "")
            if self.store.get(resource.key, held, name) is not None:
                raise statuses.already_exists(resource.plural, resource.group, name)
            if obj["metadata"].get("resourceVersion"):
                raise statuses.ApiError(
                    500, "", "resourceVersion should not be set on objects to be created", {}
                )
            return self._write(resource, None, obj, options)

    def update(self, resource: Resource, namespace: str, name: str, body: Any, options: Options) -> Json:
        """Replaces an object.

        Raises:
            ApiError: 404 if there is none, 409 if its resource version is another, 400 or 422 as for create.
        """
        with self.store.lock:
            old = self.get(resource, namespace, name)
            obj = bodies.read(resource, body, options)
            bodies.check_address(resource, obj, namespace, name)
            self._check_version(resource, old, obj)
            return self._write(resource, old, obj, options)

    def patch(
        self, resource: Resource, namespace: str, name: str, media: str, body: Any, options: Options
    ) -> tuple[Json, bool]:
        """Changes an object by a patch; server-side apply makes it if it is not there.

        Returns:
            The object, and whether it was made.

        Raises:
            ApiError: 404, 409, 415, 422 or 400.
        """
        with self.store.lock:
            if media == "application/apply-patch+yaml":
                return self._apply(resource, namespace, name, body, options)
            old = self.get(resource, namespace, name)
            patched = self._patched(resource, old, media, body)
            obj = bodies.read(resource, patched, options)
            bodies.check_address(resource, obj, namespace, name)
            self._check_version(resource, old, obj)
            return self._write(resource, old, obj, options), False

    def delete(self, resource: Resource, namespace: str, name: str, body: Json, dry_run: bool) -> Json:
        """Removes an object, or marks it if finalizers hold it.

        Returns:
            The object if it is still there, else the ``Status`` of success.

        Raises:
            ApiError: 404 if there is none, 409 if the preconditions do not hold.
        """
        with self.store.lock:
            old = self.get(resource, namespace, name)
            metadata = old["metadata"]
            wanted = body.get("preconditions") or {}
            for field_name, title in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
                if field_name in wanted and wanted[field_name] != metadata[field_name]:
                    why = (
                        f"the {title} in the precondition ({wanted[field_name]}) does not match the {title} "
                        f"in record ({metadata[field_name]}). The object might have been deleted and then "
                        "recreated"
                    )
                    raise statuses.conflict(resource.plural, resource.group, name, why)
            webhooks.check(self.world.webhooks, resource, "DELETE", old)
            if dry_run:
                return statuses.success(name, resource.group, resource.plural, metadata["uid"])
            grace_s = self._grace_s(resource, body)
            if grace_s and not metadata.get("finalizers"):
                return self._terminate(resource, old, grace_s)
            if metadata.get("finalizers"):
                if "deletionTimestamp" not in metadata:
                    marks = {"deletionTimestamp": self.world.now(), "deletionGracePeriodSeconds": 0}
                    old = self.store.put(resource.key, dict(old, metadata=dict(metadata, **marks)))
                controllers.settle(self.world)
                return old
            if body.get("propagationPolicy") == "Orphan" or body.get("orphanDependents"):
                self._orphan(metadata["uid"])
            last = self.store.remove(resource.key, namespace, name)
            controllers.settle(self.world)
            if resource.key == _PODS and last is not None:
                return last
            return statuses.success(name, resource.group, resource.plural, metadata["uid"])

    def _grace_s(self, resource: Resource, body: Json) -> float:
        """For how long a deleted object is still there; the client may ask for no time at all."""
        if resource.key not in (_PODS, ("", "namespaces")) or body.get("gracePeriodSeconds") == 0:
            return 0.0
        return self.world.grace_s

    def _terminate(self, resource: Resource, old: Json, grace_s: float) -> Json:
        """Marks an object as deleted; it goes when its time is over."""
        metadata = old["metadata"]
        if "deletionTimestamp" in metadata:
            return old
        marks = {"deletionTimestamp": self.world.now(), "deletionGracePeriodSeconds": max(1, round(grace_s))}
        marked = dict(old, metadata=dict(metadata, **marks))
        if resource.key == ("", "namespaces"):
            marked["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
        marked = self.store.put(resource.key, marked)
        controllers.settle(self.world)
        timer = threading.Timer(grace_s, self._end, (resource, metadata))
        timer.daemon = True
        timer.start()
        return marked

    def _end(self, resource: Resource, metadata: Json) -> None:
        """Removes what is still there after its grace period, and is not another one of that name."""
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        with self.store.lock:
            held = self.store.get(resource.key, namespace, name)
            if held is not None and held["metadata"]["uid"] == metadata["uid"]:
                self.store.remove(resource.key, namespace, name)
                controllers.settle(self.world)

    def _patched(self, resource: Resource, old: Json, media: str, body: Any) -> Any:
        if media == "application/json-patch+json":
            return patches.json_patch(old, body)
        if not isinstance(body, dict):
            raise statuses.bad_request(
                "error decoding patch: json: cannot unmarshal into Go value of type map"
            )
        if media == "application/merge-patch+json":
            return patches.merge_patch(old, body)
        if media == "application/strategic-merge-patch+json" and not resource.custom:
            return patches.strategic_patch(old, body, resource.schema)
        forms = [
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ]
        raise statuses.unsupported_media(", ".join(forms))

    def _apply(
        self, resource: Resource, namespace: str, name: str, body: Any, options: Options
    ) -> tuple[Json, bool]:
        if not isinstance(body, dict):
            raise statuses.bad_request("error decoding YAML: expected an object")
        applied = bodies.read(resource, body, options, partial=True)
        bodies.check_address(resource, applied, namespace, name)
        if (applied["metadata"]).get("managedFields"):
            raise statuses.bad_request("metadata.managedFields must be nil")
        old = self.store.get(resource.key, namespace, name)
        if old is not None:
            old = self.in_version(resource, old)
            self._check_version(resource, old, applied)
        elif resource.namespaced:
            self._check_namespace(resource, applied)
        merged = managers.apply(
            old, applied, resource.schema, options.manager, self.world.now(), options.force
        )
        obj = bodies.read(resource, merged, options)
        return self._write(resource, old, obj, options, merged["metadata"]["managedFields"]), old is None

    def _name(self, resource: Resource, obj: Json) -> None:
        metadata = obj["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            seed = hashlib.sha256(self.world.new_uid().encode()).hexdigest()
            metadata["name"] = metadata["generateName"] + short_hash(seed, 5)
        if not metadata.get("name"):
            causes = [
                statuses.Cause(
                    "FieldValueRequired", "Required value: name or generateName is required", "metadata.name"
                )
            ]
            raise statuses.invalid(resource.kind, resource.group, "", causes)

    def _check_namespace(self, resource: Resource, obj: Json) -> None:
        if not resource.namespaced:
            return
        name = obj["metadata"]["namespace"]
        held = self.store.get(("", "namespaces"), "", name)
        if held is None:
            raise statuses.not_found("namespaces", "", name)
        if held["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {name} because it is being terminated"
            raise statuses.forbidden(resource.plural, resource.group, obj["metadata"].get("name", ""), why)

    def _check_version(self, resource: Resource, old: Json, new: Json) -> None:
        seen = new["metadata"].get("resourceVersion")
        if seen and seen != old["metadata"]["resourceVersion"]:
            raise statuses.conflict(resource.plural, resource.group, old["metadata"]["name"])
        uid = new["metadata"].get("uid")
        if uid and uid != old["metadata"]["uid"]:
            held = old["metadata"]["uid"]
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {held}"
            raise statuses.conflict(resource.plural, resource.group, old["metadata"]["name"], why)

    def _write(
        self,
        resource: Resource,
        old: Json | None,
        obj: Json,
        options: Options,
        fields: list[Json] | None = None,
    ) -> Json:
        new = self._prepared(resource, old, obj, options)
        if old is not None and _same(old, new) and fields is None:
            return old
        metadata = new["metadata"]
        if fields is None:
            fields = managers.track(
                old, new, resource.schema, options.manager, self.world.now(), options.subresource
            )
        metadata["managedFields"] = fields
        if old is not None and _same(old, new) and old["metadata"].get("managedFields") == fields:
            return old
        if options.dry_run:
            metadata["resourceVersion"] = old["metadata"]["resourceVersion"] if old else ""
            return {**new, "metadata": {k: v for k, v in metadata.items() if v != ""}}
        stored = self.store.put(resource.key, new)
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self.store.remove(resource.key, metadata.get("namespace", ""), metadata["name"])
        controllers.settle(self.world)
        return stored

    def _prepared(self, resource: Resource, old: Json | None, obj: Json, options: Options) -> Json:
        """The object as it will be stored, checked; its ``managedFields`` are still to come."""
        metadata = obj["metadata"]
        for key in _SYSTEM:
            metadata.pop(key, None)
        if old is None:
            self.world.stamp(obj)
        else:
            metadata.update({key: old["metadata"][key] for key in _SYSTEM if key in old["metadata"]})
            _carry_over(resource, old, obj)
        self._split_status(resource, old, obj, options)
        operation = "CREATE" if old is None else "UPDATE"
        changed = webhooks.mutated(self.world.webhooks, resource, operation, obj)
        if changed is not obj:
            obj.clear()
            obj.update(changed)
            metadata = obj["metadata"]
        if not resource.custom:
            defaults.fill(resource.kind, obj)
        causes = bodies.missing(resource, obj)
        if not causes and not resource.custom:
            causes = validate(resource.kind, obj) + (check_change(resource.kind, old, obj) if old else [])
        elif not causes:
            causes = bodies.check_custom(resource, obj)
        if causes:
            raise statuses.invalid(resource.kind, resource.group, metadata.get("name", ""), causes)
        webhooks.check(self.world.webhooks, resource, operation, obj)
        if resource.key == _PODS and old is None:
            self._admit_pod(obj)
        if resource.generation:
            held = metadata.get("generation", 0)
            metadata["generation"] = held + 1 if old is None or _desired(old) != _desired(obj) else held
        return obj

    def _split_status(self, resource: Resource, old: Json | None, obj: Json, options: Options) -> None:
        if not resource.status:
            return
        if options.subresource == "status" and old is not None:
            status = obj.get("status")
            metadata = dict(old["metadata"])
            obj.clear()
            obj.update(copy.deepcopy({**old, "metadata": metadata}))
            if status is not None:
                obj["status"] = status
            return
        if old is None and resource.key == ("", "nodes"):
            return  # A node reports its own status when it joins.
        obj.pop("status", None)
        if old is not None and "status" in old:
            obj["status"] = old["status"]

    def _admit_pod(self, pod: Json) -> None:
        account = pod["spec"].get("serviceAccountName", "default")
        namespace = pod["metadata"]["namespace"]
        if self.store.get(("", "serviceaccounts"), namespace, account) is None:
            missing = f'serviceaccount "{account}" not found'
            why = f"error looking up service account {namespace}/{account}: {missing}"
            raise statuses.forbidden("pods", "", pod["metadata"]["name"], why)
        pod["status"] = {"phase": "Pending"}

    def _orphan(self, uid: str) -> None:
        for kind, obj in self.store.all():
            references = obj["metadata"].get("ownerReferences") or []
            left = [one for one in references if one["uid"] != uid]
            if len(left) != len(references):
                self.store.put(kind, dict(obj, metadata=dict(obj["metadata"], ownerReferences=left)))


def _carry_over(resource: Resource, old: Json, obj: Json) -> None:
    """Takes over what a client may leave out of a replacement, as the server's own strategies do."""
    if resource.kind == "Service" and (obj.get("spec") or {}).get("type") != "ExternalName":
        spec = obj.setdefault("spec", {})
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not spec.get(key) and old["spec"].get(key):
                spec[key] = old["spec"][key]
        _keep_node_ports(old["spec"], spec)
    elif resource.kind == "Job":
        spec = obj.setdefault("spec", {})
        spec.setdefault("selector", old["spec"].get("selector"))
        wanted = ((old["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
        template = spec.get("template")
        if isinstance(template, dict):
            metadata = template.setdefault("metadata", {})
            metadata["labels"] = {**wanted, **(metadata.get("labels") or {})}
    elif resource.kind == "Pod":
        for key in ("nodeName", "serviceAccountName", "serviceAccount"):
            if key in old["spec"]:
                (obj.get("spec") or {}).setdefault(key, old["spec"][key])
    elif resource.kind == "PersistentVolumeClaim" and "volumeName" in old["spec"]:
        obj.setdefault("spec", {}).setdefault("volumeName", old["spec"]["volumeName"])


def _keep_node_ports(old: Json, new: Json) -> None:
    held = {port.get("port"): port["nodePort"] for port in old.get("ports") or [] if port.get("nodePort")}
    kind = new.get("type", "ClusterIP")
    for port in new.get("ports") or []:
        if kind in ("NodePort", "LoadBalancer") and port.get("port") in held:
            port.setdefault("nodePort", held[port["port"]])
        elif kind == "ClusterIP":
            port.pop("nodePort", None)


def _desired(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion")}


def _same(old: Json, new: Json) -> bool:
    """Whether a write would change nothing; who wrote and under which version do not count."""

    def bare(obj: Json) -> Json:
        own = ("managedFields", "resourceVersion", "generation")
        return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key not in own}}

    return bare(old) == bare(new)
