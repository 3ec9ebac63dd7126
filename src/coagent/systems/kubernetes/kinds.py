"""The kinds that a cluster serves, by any of the names that kubectl accepts (discovery API)."""

from __future__ import annotations

import difflib
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from coagent.errors import TargetError

CLUSTER = "_cluster"
"""Stands in a key for the namespace of what has none."""


@dataclass(frozen=True)
class Kind:
    """One kind of objects.

    Args:
        group: Its API group; empty for the core group.
        version: The version that is spoken.
        plural: Its name in paths.
        name: Its name in manifests.
        namespaced: Whether its objects live in namespaces.
        listable: Whether its objects can be listed.
        aliases: Singular and short names.
        key: Its name in keys: the plural, followed by the group unless that is one of Kubernetes itself. What
            is installed later can then never make it ambiguous.
    """

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool
    listable: bool
    aliases: tuple[str, ...]
    key: str

    @property
    def own(self) -> bool:
        """Whether it is one of Kubernetes itself."""
        return "." not in self.group or self.group.endswith(".k8s.io")

    @property
    def api_version(self) -> str:
        """What stands in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection(self, namespace: str | None) -> str:
        """Return the path of all objects, or of those in a namespace."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{_segment(namespace)}" if self.namespaced and namespace else ""
        return f"{root}{within}/{self.plural}"

    def path(self, namespace: str, name: str) -> str:
        """Return the path of one object."""
        return f"{self.collection(namespace)}/{_segment(name)}"


class NoKind(TargetError):
    """The cluster serves no kind of a name, or not yet."""


class Kinds:
    """The kinds of a cluster, asked for when first needed and again when an unknown one is named.

    Args:
        get: Returns the JSON at a path of the API server.
    """

    def __init__(self, get: Callable[[str], dict[str, Any]]) -> None:
        self._get = get
        self._kinds: list[Kind] = []
        self._by_name: dict[str, Kind] = {}

    def all(self) -> list[Kind]:
        """Return every kind."""
        if not self._kinds:
            self._discover()
        return self._kinds

    def has_kind(self, name: str) -> bool:
        """Tell whether the name is that of a kind, without asking again."""
        self.all()
        return name.lower() in self._by_name

    def cached(self, name: str) -> Kind | None:
        """Return a kind as far as it is known already; this asks nobody."""
        return self._by_name.get(name)

    def forget(self) -> None:
        """Ask anew when a kind is named next: one was defined, or is no more."""
        self._kinds, self._by_name = [], {}

    def find_kind(self, name: str) -> Kind:
        """Return a kind by plural, singular, kind or short name, in any case.

        The plural and the kind may be followed by the group, as in `Ingress.networking.k8s.io`, or by a dot
        alone for the core group.

        Raises:
            NoKind: The cluster has no such kind; the cure names the nearest.
        """
        found = self._by_name.get(name) or self._by_name.get(name.lower())
        if found is None:
            self._discover()  # a custom resource may have come since
            found = self._by_name.get(name.lower())
        if found is None:
            nearest = difflib.get_close_matches(name.lower(), self._by_name, 1)
            cure = f"Did you mean {nearest[0]!r}?" if nearest else "kubectl api-resources lists the kinds."
            raise NoKind(f"the cluster has no kind {name!r}", cure)
        return found

    def _discover(self) -> None:
        found = list(self._resources("", "v1", "/api/v1"))
        for group in self._get("/apis").get("groups", ()):
            preferred = group["preferredVersion"]
            path = f"/apis/{preferred['groupVersion']}"
            try:
                found += self._resources(group["name"], preferred["version"], path)
            except TargetError:
                continue  # one extension server that is down must not hide the other kinds
        kinds: list[Kind] = []
        taken: set[str] = set()
        for group, version, resource in found:
            kinds.append(_kind(group, version, resource, taken))
            taken.add(kinds[-1].key)
        by_name = {kind.key: kind for kind in kinds}
        for kind in kinds:
            exact = (f"{kind.plural}.{kind.group}", f"{kind.name}.{kind.group}")
            for name in (*exact, kind.plural, kind.name, *kind.aliases):
                by_name.setdefault(name.lower(), kind)
        self._kinds, self._by_name = kinds, by_name

    def _resources(self, group: str, version: str, path: str) -> Iterable[tuple[str, str, dict[str, Any]]]:
        for resource in self._get(path).get("resources", ()):
            if "/" not in resource["name"] and "get" in resource.get("verbs", ()):
                yield group, version, resource


def _kind(group: str, version: str, resource: dict[str, Any], taken: set[str]) -> Kind:
    plural = resource["name"]
    own = "." not in group or group.endswith(".k8s.io")
    return Kind(
        group=group,
        version=version,
        plural=plural,
        name=resource["kind"],
        namespaced=resource["namespaced"],
        listable="list" in resource.get("verbs", ()),
        aliases=tuple(
            name for name in (resource.get("singularName"), *(resource.get("shortNames") or ())) if name
        ),
        key=plural if own and plural not in taken else f"{plural}.{group}",
    )


def is_whole(name: str) -> bool:
    """Tell whether a kind's name is the one that stands in keys, whether or not the cluster serves it yet."""
    plural, dot, group = name.partition(".")
    return bool(plural and dot and "." in group and name == name.lower() and not group.endswith(".k8s.io"))


def _segment(name: str) -> str:
    return urllib.parse.quote(name, safe=":")
