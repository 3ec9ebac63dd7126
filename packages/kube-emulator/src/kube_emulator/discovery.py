"""What the server says it serves: versions, groups and their resources, in both forms of discovery.

Source: Kubernetes documentation, "The Kubernetes API", section "API discovery".
"""

from __future__ import annotations

from typing import Any

from kube_emulator.resources import VERBS, Catalogue, Resource

Json = dict[str, Any]
AGGREGATED = "apidiscovery.k8s.io"

VERSION: Json = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2025-04-22T00:00:00Z",
    "goVersion": "go1.23.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}
# Kinds that exist only as requests: nothing of them is stored.
REVIEWS: dict[tuple[str, str, str], str] = {
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): "SelfSubjectReview",
}


def core_versions(address: str) -> Json:
    """The answer to ``/api``."""
    ranges = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": ranges}


def groups(catalogue: Catalogue) -> list[tuple[str, list[str]]]:
    """Every named group with its versions, those of reviews included."""
    found = dict(catalogue.groups())
    for group, version, _ in REVIEWS:
        found.setdefault(group, [version])
    return list(found.items())


def group_list(catalogue: Catalogue) -> Json:
    """The answer to ``/apis``."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [group_entry(group, versions) for group, versions in groups(catalogue)],
    }


def group_entry(group: str, versions: list[str]) -> Json:
    """A group as ``/apis`` and ``/apis/<group>`` show it."""
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def subresources(resource: Resource) -> list[tuple[str, Json]]:
    """The names of a kind's subresources, each with its kind and verbs."""
    found: list[tuple[str, Json]] = []
    if resource.status:
        found.append(("status", {"kind": resource.kind, "verbs": ["get", "patch", "update"]}))
    if resource.scale:
        scale = {
            "group": "autoscaling",
            "version": "v1",
            "kind": "Scale",
            "verbs": ["get", "patch", "update"],
        }
        found.append(("scale", scale))
    if resource.key == ("", "pods"):
        found.append(("log", {"kind": "Pod", "verbs": ["get"]}))
        eviction = {"group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"]}
        found.append(("eviction", eviction))
        found.append(("binding", {"kind": "Binding", "verbs": ["create"]}))
    if resource.key == ("", "namespaces"):
        found.append(("finalize", {"kind": "Namespace", "verbs": ["update"]}))
    if resource.key == ("", "serviceaccounts"):
        token = {
            "group": "authentication.k8s.io",
            "version": "v1",
            "kind": "TokenRequest",
            "verbs": ["create"],
        }
        found.append(("token", token))
    return found


def _categories(resource: Resource) -> list[str]:
    return ["all"] if resource.all else list(resource.categories)


def resource_list(catalogue: Catalogue, group: str, version: str) -> Json | None:
    """The answer to ``/api/v1`` and ``/apis/<group>/<version>``; None if nothing is served there."""
    entries: list[Json] = []
    for one in catalogue:
        if (one.group, one.version) != (group, version):
            continue
        entry: Json = {"name": one.plural, "singularName": one.singular, "namespaced": one.namespaced}
        entry |= {"kind": one.kind, "verbs": list(VERBS)}
        if one.short:
            entry["shortNames"] = list(one.short)
        if _categories(one):
            entry["categories"] = _categories(one)
        entries.append(entry)
        for name, more in subresources(one):
            entries.append(
                {"name": f"{one.plural}/{name}", "singularName": "", "namespaced": one.namespaced, **more}
            )
    for (held_group, held_version, plural), kind in REVIEWS.items():
        if (held_group, held_version) == (group, version):
            entry = {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind}
            entries.append(entry | {"verbs": ["create"]})
    if not entries:
        return None
    path = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": path, "resources": entries}


def aggregated(catalogue: Catalogue, core: bool) -> Json:
    """The answer to ``/api`` (core) or ``/apis`` in the aggregated form: one instead of many."""
    listed = [("", ["v1"])] if core else groups(catalogue)
    items: list[Json] = []
    for group, versions in listed:
        entries = [
            {"version": version, "resources": _aggregated(catalogue, group, version), "freshness": "Current"}
            for version in versions
        ]
        metadata: Json = {"name": group} if group else {}
        metadata["creationTimestamp"] = None
        items.append({"metadata": metadata, "versions": entries})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{AGGREGATED}/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated(catalogue: Catalogue, group: str, version: str) -> list[Json]:
    found: list[Json] = []
    for one in catalogue:
        if (one.group, one.version) != (group, version):
            continue
        kind = {"group": group, "version": version, "kind": one.kind}
        entry: Json = {"resource": one.plural, "responseKind": kind, "singularResource": one.singular}
        entry |= {"scope": "Namespaced" if one.namespaced else "Cluster", "verbs": list(VERBS)}
        if one.short:
            entry["shortNames"] = list(one.short)
        if _categories(one):
            entry["categories"] = _categories(one)
        below = []
        for name, more in subresources(one):
            response = {
                "group": more.get("group", group),
                "version": more.get("version", version),
                "kind": more["kind"],
            }
            below.append({"subresource": name, "responseKind": response, "verbs": more["verbs"]})
        if below:
            entry["subresources"] = below
        found.append(entry)
    for (held_group, held_version, plural), review in REVIEWS.items():
        if (held_group, held_version) == (group, version):
            kind = {"group": group, "version": version, "kind": review}
            entry = {"resource": plural, "responseKind": kind, "scope": "Cluster", "verbs": ["create"]}
            found.append(entry | {"singularResource": review.lower()})
    return found
