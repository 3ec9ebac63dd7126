"""The kinds the emulator serves, as a table; custom kinds are added to a catalogue as their definitions come.

Source: Kubernetes API reference 1.32; short names and categories as ``kubectl api-resources`` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One kind: where it is served, how it is named and what its fields are.

    Attributes:
        schema: the name of its table in ``data/schemas.json``; empty for custom kinds.
        status: whether it has a ``status`` subresource (then a plain write cannot touch the status).
        generation: whether the server counts changes of its desired state.
        definition: the CustomResourceDefinition's version entry, for custom kinds.
    """

    group: str
    version: str
    plural: str
    kind: str
    schema: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    scale: bool = False
    all: bool = False
    singular_name: str = ""
    definition: Json | None = None
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """The name of one."""
        return self.singular_name or self.kind.lower()

    @property
    def key(self) -> tuple[str, str]:
        """What tells its objects apart from those of other kinds, in any version."""
        return (self.group, self.plural)

    @property
    def custom(self) -> bool:
        """Whether a CustomResourceDefinition made it."""
        return self.definition is not None

    def __hash__(self) -> int:
        return hash((self.group, self.version, self.plural))


def _core(plural: str, kind: str, *short: str, **more: Any) -> Resource:
    return Resource("", "v1", plural, kind, more.pop("schema", f"V1{kind}"), short=short, **more)


def _of(group: str, plural: str, kind: str, *short: str, **more: Any) -> Resource:
    return Resource(group, "v1", plural, kind, more.pop("schema", f"V1{kind}"), short=short, **more)


_WORKLOAD: dict[str, Any] = {"status": True, "generation": True, "all": True}
_RBAC = "rbac.authorization.k8s.io"

BUILTIN: tuple[Resource, ...] = (
    _core("namespaces", "Namespace", "ns", namespaced=False, status=True),
    _core("pods", "Pod", "po", status=True, all=True),
    _core("services", "Service", "svc", status=True, all=True),
    _core("configmaps", "ConfigMap", "cm"),
    _core("secrets", "Secret"),
    _core("serviceaccounts", "ServiceAccount", "sa"),
    _core("nodes", "Node", "no", namespaced=False, status=True),
    _core("events", "Event", "ev", schema="CoreV1Event"),
    _core("endpoints", "Endpoints", "ep", singular_name="endpoints"),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", status=True),
    _core("persistentvolumes", "PersistentVolume", "pv", namespaced=False, status=True),
    _core("resourcequotas", "ResourceQuota", "quota", status=True),
    _core("limitranges", "LimitRange", "limits"),
    _of("apps", "deployments", "Deployment", "deploy", scale=True, **_WORKLOAD),
    _of("apps", "replicasets", "ReplicaSet", "rs", scale=True, **_WORKLOAD),
    _of("apps", "statefulsets", "StatefulSet", "sts", scale=True, **_WORKLOAD),
    _of("apps", "daemonsets", "DaemonSet", "ds", **_WORKLOAD),
    _of("apps", "controllerrevisions", "ControllerRevision"),
    _of("batch", "jobs", "Job", **_WORKLOAD),
    _of("batch", "cronjobs", "CronJob", "cj", **_WORKLOAD),
    _of("networking.k8s.io", "ingresses", "Ingress", "ing", status=True, generation=True),
    _of("networking.k8s.io", "ingressclasses", "IngressClass", namespaced=False, generation=True),
    _of("networking.k8s.io", "networkpolicies", "NetworkPolicy", "netpol", generation=True),
    Resource(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        "V2HorizontalPodAutoscaler",
        short=("hpa",),
        status=True,
        all=True,
    ),
    _of("policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", status=True, generation=True),
    _of(_RBAC, "roles", "Role"),
    _of(_RBAC, "rolebindings", "RoleBinding"),
    _of(_RBAC, "clusterroles", "ClusterRole", namespaced=False),
    _of(_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _of("coordination.k8s.io", "leases", "Lease"),
    _of("discovery.k8s.io", "endpointslices", "EndpointSlice"),
    _of("storage.k8s.io", "storageclasses", "StorageClass", "sc", namespaced=False),
    _of("scheduling.k8s.io", "priorityclasses", "PriorityClass", "pc", namespaced=False, generation=True),
    _of(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        "crd",
        "crds",
        namespaced=False,
        status=True,
        generation=True,
        schema="V1CustomResourceDefinition",
    ),
)


class Catalogue:
    """The kinds served at this moment: the built-in ones and those that definitions add."""

    def __init__(self) -> None:
        self._by_path = {(one.group, one.version, one.plural): one for one in BUILTIN}

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_path.values()))

    def at(self, group: str, version: str, plural: str) -> Resource | None:
        """The kind served under this path, or None."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The kind of objects that carry this ``apiVersion`` and ``kind``, or None."""
        return next((one for one in self if one.kind == kind and one.api_version == api_version), None)

    def by_name(self, name: str) -> Resource | None:
        """The kind that a person means by a plural, singular, short or Go name, or None."""
        bare, _, group = name.partition(".")
        wanted = bare.lower()
        for one in self:
            names = (one.plural, one.singular, one.kind.lower(), *one.short)
            if wanted in names and (not group or group == one.group):
                return one
        return None

    def groups(self) -> list[tuple[str, list[str]]]:
        """Every named group with its versions, the core group left out, in order of first mention."""
        found: dict[str, list[str]] = {}
        for one in self:
            versions = found.setdefault(one.group, [])
            if one.version not in versions:
                versions.append(one.version)
        found.pop("", None)
        return list(found.items())

    def define(self, definition: Json) -> None:
        """Serves the kinds of a CustomResourceDefinition, in place of what it defined before."""
        self.undefine(definition)
        spec = definition["spec"]
        names = spec["names"]
        for version in spec.get("versions") or []:
            if not version.get("served"):
                continue
            subresources = version.get("subresources") or {}
            made = Resource(
                spec["group"],
                version["name"],
                names["plural"],
                names["kind"],
                "",
                namespaced=spec.get("scope") == "Namespaced",
                short=tuple(names.get("shortNames") or ()),
                status="status" in subresources,
                generation=True,
                scale="scale" in subresources,
                singular_name=names.get("singular", ""),
                categories=tuple(names.get("categories") or ()),
                definition=version,
            )
            self._by_path[(made.group, made.version, made.plural)] = made

    def undefine(self, definition: Json) -> None:
        """Stops to serve the kinds of a CustomResourceDefinition."""
        spec = definition["spec"]
        group, plural = spec["group"], spec["names"]["plural"]
        gone = [path for path, one in self._by_path.items() if one.custom and one.key == (group, plural)]
        for path in gone:
            del self._by_path[path]
