"""What a request asks for: its path taken apart, its body read, its options and accepted forms.

Source: Kubernetes API concepts, section "Resource URIs".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml
from starlette.requests import Request

from kube_emulator import protobuf, statuses
from kube_emulator.api import Options
from kube_emulator.resources import Catalogue, Resource

Json = dict[str, Any]
PATCHES = {
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
}


@dataclass(frozen=True)
class Target:
    """What a path names: a kind, and perhaps a namespace, an object and a part of it."""

    resource: Resource
    namespace: str
    name: str
    subresource: str


def split_group(path: str) -> tuple[str, str, list[str]] | None:
    """The group, version and remaining steps of a path below ``/api`` or ``/apis``; None for any other."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 2 and parts[0] == "api":
        return "", parts[1], parts[2:]
    if len(parts) >= 3 and parts[0] == "apis":
        return parts[1], parts[2], parts[3:]
    return None


def find_target(catalogue: Catalogue, group: str, version: str, steps: list[str]) -> Target:
    """What the steps after group and version name.

    Raises:
        ApiError: 404 if nothing of that kind is served.
    """
    namespace = ""
    spaced = len(steps) >= 3 and steps[0] == "namespaces"
    if spaced and catalogue.at(group, version, steps[2]) is not None:
        namespace, steps = steps[1], steps[2:]
    resource = catalogue.at(group, version, steps[0])
    if resource is None or len(steps) > 3:
        raise statuses.no_such_path()
    if bool(namespace) != resource.namespaced and (namespace or len(steps) > 1):
        raise statuses.no_such_path()
    name = steps[1] if len(steps) > 1 else ""
    return Target(resource, namespace, name, steps[2] if len(steps) > 2 else "")


def read_body(raw: bytes, media: str) -> Any:
    """A request's body as a value.

    Raises:
        ApiError: 400 if it cannot be parsed, 415 if its form is not one the server reads.
    """
    if not raw:
        return {}
    kind = media.split(";", maxsplit=1)[0].strip()
    if kind == protobuf.MEDIA:
        return protobuf.decode(raw)
    if kind in ("application/yaml", "application/apply-patch+yaml"):
        try:
            return json.loads(raw) if raw[:1] == b"{" else yaml.load(raw, Loader=_PlainLoader)
        except (yaml.YAMLError, ValueError) as error:
            raise statuses.bad_request(f"error decoding YAML: {error}") from None
    if kind not in ("application/json", "", *PATCHES):
        raise statuses.unsupported_media(f"application/json, application/yaml, {protobuf.MEDIA}")
    try:
        return json.loads(raw)
    except ValueError as error:
        raise statuses.bad_request(
            f"the object provided is unrecognized: couldn't parse JSON: {error}"
        ) from None


class _PlainLoader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: timestamps stay text."""


_PlainLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in entries if tag != "tag:yaml.org,2002:timestamp"]
    for letter, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_options(request: Request, target: Target) -> Options:
    """What the query of a writing request says.

    Raises:
        ApiError: 422 for a ``dryRun`` other than ``All``; 400 for server-side apply without a manager.
    """
    query = request.query_params
    dry = query.getlist("dryRun")
    if any(one != "All" for one in dry):
        causes = [
            statuses.Cause(
                "FieldValueNotSupported", f'Unsupported value: "{dry[0]}": supported values: "All"', "dryRun"
            )
        ]
        raise statuses.invalid("CreateOptions", "meta.k8s.io", "", causes)
    media = request.headers.get("content-type", "").split(";")[0].strip()
    manager = query.get("fieldManager", "")
    if media == "application/apply-patch+yaml" and not manager:
        causes = [
            statuses.Cause(
                "FieldValueRequired", "Required value: is required for apply patch", "fieldManager"
            )
        ]
        raise statuses.invalid("PatchOptions", "meta.k8s.io", "", causes)
    return Options(
        manager=manager or request.headers.get("user-agent", "unknown").split("/")[0],
        dry_run=bool(dry),
        validation=query.get("fieldValidation", "Warn"),
        force=query.get("force", "").lower() in ("1", "true"),
        subresource=target.subresource,
    )


@dataclass(frozen=True)
class Accepted:
    """The form of answer that a client prefers: plain, a table, or metadata only."""

    kind: str = ""
    group: str = ""


def read_accept(header: str) -> Accepted:
    """The first form in an ``Accept`` header that the server can give.

    Raises:
        ApiError: 406 if there is none.
    """
    for entry in header.split(",") if header else ["*/*"]:
        media, *parameters = [part.strip() for part in entry.split(";")]
        if media not in ("application/json", "*/*", "application/*", "application/yaml", "text/plain"):
            continue
        held = dict(part.split("=", 1) for part in parameters if "=" in part)
        if held.get("as", "") in ("", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
            return Accepted(held.get("as", ""), held.get("g", ""))
        if held["as"] == "APIGroupDiscoveryList" and held.get("v") == "v2":
            return Accepted(held["as"], held.get("g", ""))
    raise statuses.not_acceptable("application/json")
