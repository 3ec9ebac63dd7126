"""Reading the objects that clients send: their kind, address, fields and what is missing."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from kube_emulator import statuses
from kube_emulator.names import bad, check_keys, check_labels, check_object_name, required
from kube_emulator.resources import Resource
from kube_emulator.schemas import Reading
from kube_emulator.statuses import Cause

if TYPE_CHECKING:
    from kube_emulator.api import Options

Json = dict[str, Any]


def read(resource: Resource, body: Any, options: Options, partial: bool = False) -> Json:
    """A copy of a body with the fields its kind has.

    Args:
        resource: the kind that the path names.
        body: what was sent.
        options: how unknown fields are treated; warnings are added to it.
        partial: whether it is a set of applied fields, of which nothing is asked.

    Raises:
        ApiError: 400 if it is not an object of this kind or its fields are of wrong types.
    """
    if not isinstance(body, dict):
        raise statuses.bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
    body.setdefault("apiVersion", resource.api_version)
    body.setdefault("kind", resource.kind)
    if (body["apiVersion"], body["kind"]) != (resource.api_version, resource.kind):
        raise statuses.bad_request(
            f"the API version in the data ({body['apiVersion']}) or its kind ({body['kind']}) does not match "
            f"the expected API version ({resource.api_version}) and kind ({resource.kind})"
        )
    reading = Reading(resource.kind)
    if resource.custom:
        obj = copy.deepcopy(body)
        obj["metadata"] = reading.read("V1ObjectMeta", body.get("metadata") or {}, "metadata")
        _prune(obj, _custom_schema(resource), "", reading.unknown)
    else:
        obj = reading.read(resource.schema, body)
    obj.setdefault("metadata", {})
    if reading.unknown:
        _report(resource, reading.unknown, options)
    return obj


def _report(resource: Resource, unknown: list[str], options: Options) -> None:
    texts = [f'unknown field "{name}"' for name in unknown]
    if options.validation == "Strict":
        raise statuses.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {', '.join(texts)}"
        )
    if options.validation == "Warn":
        options.warnings += texts


def check_address(resource: Resource, obj: Json, namespace: str, name: str) -> None:
    """Makes an object's name and namespace those of the path.

    Raises:
        ApiError: 400 if it carries others.
    """
    metadata = obj["metadata"]
    if name:
        held = metadata.setdefault("name", name)
        if held != name:
            raise statuses.bad_request(
                f"the name of the object ({held}) does not match the name on the URL ({name})"
            )
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    held = metadata.get("namespace") or namespace
    if held != namespace:
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = held


def missing(resource: Resource, obj: Json) -> list[Cause]:
    """The required fields that an object lacks; what the status lacks does not count."""
    if resource.custom:
        return []
    reading = Reading(resource.kind)
    reading.read(resource.schema, {key: value for key, value in obj.items() if key != "status"})
    passed = ("metadata.managedFields", "metadata.ownerReferences")
    return [cause for cause in reading.missing if not cause.field.startswith(passed)]


def _custom_schema(resource: Resource) -> Json:
    definition = resource.definition or {}
    return (definition.get("schema") or {}).get("openAPIV3Schema") or {}


def _prune(value: Any, schema: Json, path: str, unknown: list[str]) -> None:
    """Drops the fields that a custom kind's schema does not name, in place."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, dict):
        known = schema.get("properties") or {}
        more = schema.get("additionalProperties")
        for key in list(value):
            where = f"{path}.{key}" if path else key
            if not path and key in ("apiVersion", "kind", "metadata"):
                continue
            if key in known:
                _prune(value[key], known[key], where, unknown)
            elif isinstance(more, dict):
                _prune(value[key], more, where, unknown)
            elif not more:
                del value[key]
                unknown.append(where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _prune(item, schema.get("items") or {}, f"{path}[{index}]", unknown)


def check_custom(resource: Resource, obj: Json) -> list[Cause]:
    """What is wrong with an object of a custom kind: its names, and its fields by the kind's schema."""
    metadata = obj["metadata"]
    causes = check_object_name(resource.kind, metadata.get("name", ""))
    causes += check_labels(metadata.get("labels") or {}, "metadata.labels")
    causes += check_keys(metadata.get("annotations") or {}, "metadata.annotations")
    return causes + _check_value(obj, _custom_schema(resource), "")


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def _check_value(value: Any, schema: Json, path: str) -> list[Cause]:
    wanted = schema.get("type")
    if wanted in _TYPES and value is not None:
        fits = isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
        if not fits:
            found = {dict: "object", list: "array", str: "string", bool: "boolean"}.get(type(value), "number")
            text = f'{path} in body must be of type {wanted}: "{found}"'
            return [Cause("FieldValueTypeInvalid", f'Invalid value: "{found}": {text}', path or "<nil>")]
    causes = []
    if schema.get("enum") and value not in schema["enum"]:
        listed = ", ".join(f'"{one}"' for one in schema["enum"])
        causes.append(
            Cause("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {listed}', path)
        )
    for bound, side in (("minimum", "greater"), ("maximum", "less")):
        if bound not in schema or not isinstance(value, int | float):
            continue
        if value < schema[bound] if bound == "minimum" else value > schema[bound]:
            causes.append(
                bad(path, value, f"{path} in body should be {side} than or equal to {schema[bound]}")
            )
    if isinstance(value, dict):
        for key in schema.get("required") or []:
            if key not in value:
                causes.append(required(f"{path}.{key}" if path else key))
        for key, below in (schema.get("properties") or {}).items():
            if key in value and (path or key != "metadata"):
                causes += _check_value(value[key], below, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            causes += _check_value(item, schema.get("items") or {}, f"{path}[{index}]")
    return causes
