"""Bodies in protobuf, which ``kubectl create deployment`` and its like send whatever a server prefers.

Only reading is needed: every client takes JSON for an answer. The field numbers are in ``data/wire.json``,
as ``{message: {number: [field, type, mode]}}``; a mode is ``*`` for a list, ``%`` for a map, ``^`` for a part
whose fields belong to the message itself, ``!`` for a field that is left out when it has its zero value.

Source: Kubernetes API concepts, section "Kubernetes Protobuf encoding"; the protobuf encoding guide.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from kube_emulator.statuses import bad_request

Json = dict[str, Any]
MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_QUANTITY = "k8s.io.apimachinery.pkg.api.resource.Quantity"
_RAW = "k8s.io.apimachinery.pkg.runtime.RawExtension"
_PORT = "k8s.io.apimachinery.pkg.util.intstr.IntOrString"


@cache
def _tables() -> dict[str, dict[str, list[str]]]:
    text = files("kube_emulator").joinpath("data/wire.json").read_text()
    return dict(json.loads(text))


def decode(raw: bytes) -> Json:
    """The object in a protobuf body, as it would be in JSON.

    Raises:
        ApiError: 400 if it is not such a body or of a kind the emulator cannot read.
    """
    if not raw.startswith(_MAGIC):
        raise bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        envelope = dict(_fields(raw[4:]))
        named = dict(_fields(envelope.get(1, b"")))
        api_version, kind = named.get(1, b"").decode(), named.get(2, b"").decode()
        body = envelope.get(2, b"")
        message = _message(api_version, kind)
        return {"apiVersion": api_version, "kind": kind, **_read(message, body)}
    except (IndexError, ValueError, struct.error) as error:
        raise bad_request(f"unable to decode protobuf: {error}") from None


def _message(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    name = f"{group.split('.')[0] or 'core'}.{version}.{kind}"
    if kind == "DeleteOptions":
        name = "meta.v1.DeleteOptions"
    if name not in _tables():
        raise bad_request(f'no kind "{kind}" is registered for version "{api_version}"')
    return name


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: number and value, which is an int, or bytes for all else."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        form = tag & 7
        if form == 0:
            value, at = _varint(raw, at)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(form, 0)
        if form == 2:
            size, at = _varint(raw, at)
        if form not in (1, 2, 5) or at + size > len(raw):
            raise ValueError("unexpected EOF")
        yield tag >> 3, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _read(message: str, raw: bytes) -> Json:
    table = _tables().get(message, {})
    found: Json = {}
    for number, value in _fields(raw):
        field = table.get(str(number))
        if field is None:
            continue
        name, kind, mode = field
        if mode == "%":
            entry = dict(_fields(value))
            found.setdefault(name, {})[entry.get(1, b"").decode()] = _value(kind, entry.get(2, b""))
        elif mode == "*":
            found.setdefault(name, []).append(_value(kind, value))
        elif mode == "^":
            found.update(_read(kind, value))
        else:
            read = _value(kind, value)
            # Zero is false, 0, "" or an empty part; a field that may be absent is sent only if it is there.
            if read is not None and (mode != "!" or read not in (0, "", {}, [])):
                found[name] = read
    return found


def _value(kind: str, value: Any) -> Any:
    """One value; scalars that are left out of a map's entry come as no bytes."""
    if kind == "string":
        return value.decode()
    if kind == "int":
        number = value or 0
        return number - (1 << 64) if number >= 1 << 63 else number
    if kind == "bool":
        return bool(value)
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "double":
        return struct.unpack("<d", value)[0]
    return _part(kind, value)


def _part(kind: str, raw: bytes) -> Any:
    """A message within a message; some stand for plain values in JSON."""
    if kind in ("meta.v1.Time", "meta.v1.MicroTime"):
        seconds = dict(_fields(raw)).get(1)
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
    if kind == _QUANTITY:
        return dict(_fields(raw)).get(1, b"").decode()
    if kind == _PORT:
        parts = dict(_fields(raw))
        return parts.get(3, b"").decode() if parts.get(1) else _value("int", parts.get(2, 0))
    if kind in (_RAW, "meta.v1.FieldsV1"):
        held = dict(_fields(raw)).get(1, b"")
        return json.loads(held) if held else None
    table = _tables().get(kind, {})
    if [field[0] for field in table.values()] == ["items"]:
        return _read(kind, raw).get("items", [])
    return _read(kind, raw)
