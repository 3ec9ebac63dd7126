"""The OpenAPI documents: enough for ``kubectl`` to leave validation to the server and to explain fields.

Source: OpenAPI 3.0; the ``x-kubernetes-*`` extensions as a real server writes them.
"""

from __future__ import annotations

from typing import Any

from kube_emulator import discovery
from kube_emulator.resources import Catalogue, Resource
from kube_emulator.schemas import documentation, element, tables, walk_tables

Json = dict[str, Any]
_SCALARS: dict[str, Json] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "datetime": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}


def index(catalogue: Catalogue) -> Json:
    """The answer to ``/openapi/v3``: where the document of each group and version is."""
    paths = ["api/v1"]
    paths += [
        f"apis/{group}/{version}" for group, versions in discovery.groups(catalogue) for version in versions
    ]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=emulator"} for path in paths}}


def swagger() -> Json:
    """The answer to ``/openapi/v2``: a valid document that describes nothing."""
    info = {"title": "Kubernetes", "version": discovery.VERSION["gitVersion"]}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}


def document(catalogue: Catalogue, group: str, version: str) -> Json | None:
    """The answer to ``/openapi/v3/<path>``; None if nothing is served there."""
    served = [one for one in catalogue if (one.group, one.version) == (group, version)]
    if not served and not any(review[:2] == (group, version) for review in discovery.REVIEWS):
        return None
    paths: Json = {}
    schemas: Json = {}
    for one in served:
        paths.update(_paths(one))
        if one.custom:
            schemas[_custom_name(one)] = _custom_schema(one)
    for name in walk_tables([one.schema for one in served if one.schema]):
        schemas[name] = _schema(name)
    for one in served:
        schema = schemas.get(one.schema or _custom_name(one))
        if schema is not None:
            schema["x-kubernetes-group-version-kind"] = [_gvk(one)]
    info = {"title": "Kubernetes", "version": discovery.VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _gvk(resource: Resource) -> Json:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _custom_name(resource: Resource) -> str:
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _custom_schema(resource: Resource) -> Json:
    definition = resource.definition or {}
    schema = dict((definition.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"})
    text = {"type": "string"}
    schema["properties"] = {"apiVersion": text, "kind": text, "metadata": {"type": "object"}} | dict(
        schema.get("properties") or {}
    )
    return schema


def _paths(resource: Resource) -> Json:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else "/api/v1"
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"{root}{scope}/{resource.plural}"
    query = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    name = resource.schema or _custom_name(resource)
    reference = {"$ref": f"#/components/schemas/{name}"}

    def operation(action: str, media: tuple[str, ...] = ("*/*",)) -> Json:
        made: Json = {"x-kubernetes-group-version-kind": _gvk(resource), "x-kubernetes-action": action}
        made["responses"] = {
            "200": {"description": "OK", "content": {"application/json": {"schema": reference}}}
        }
        if action in ("post", "put", "patch"):
            made["parameters"] = query
            body = {"type": "object"} if action == "patch" else reference
            made["requestBody"] = {"content": {one: {"schema": body} for one in media}}
        return made

    # Strategic merge patches are not announced: the client then uses its own types, which know them best.
    forms = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
    one = {"get": operation("get"), "put": operation("put"), "delete": operation("delete")}
    one["patch"] = operation("patch", forms)
    return {collection: {"get": operation("list"), "post": operation("post")}, f"{collection}/{{name}}": one}


def _schema(name: str) -> Json:
    table, texts = tables()[name], documentation().get(name, {})
    properties = {}
    for field, kind in table["fields"].items():
        properties[field] = _typed(kind)
        if texts.get(field):
            properties[field]["description"] = texts[field]
    made: Json = {"type": "object", "properties": properties}
    if table["required"]:
        made["required"] = list(table["required"])
    return made


def _typed(kind: str) -> Json:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if kind.startswith("List["):
        return {"type": "array", "items": _typed(element(kind))}
    if kind.startswith("Dict["):
        return {"type": "object", "additionalProperties": _typed(element(kind))}
    if kind in tables():
        return {"allOf": [{"$ref": f"#/components/schemas/{kind}"}], "default": {}}
    return {"type": "object"}
