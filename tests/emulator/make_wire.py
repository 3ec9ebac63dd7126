"""Writes the emulator's ``data/wire.json``: the protobuf field numbers of the kinds that clients send.

``kubectl create deployment`` and its like send protobuf, whatever a server would prefer. The numbers are
read from the descriptors that every kubectl binary carries (``generated.proto`` of Kubernetes, Apache
License 2.0), so nothing has to be downloaded.

Run it by hand after an upgrade of kubectl: ``python tests/emulator/make_wire.py /usr/bin/kubectl``.
"""

import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "packages/kube-emulator/src/kube_emulator/data"
GROUPS = {
    "core.v1": [
        "Namespace", "Pod", "Service", "ConfigMap", "Secret", "ServiceAccount", "Node", "Event", "Endpoints",
        "PersistentVolumeClaim", "PersistentVolume", "ResourceQuota", "LimitRange", "Binding",
    ],
    "apps.v1": ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ControllerRevision"],
    "batch.v1": ["Job", "CronJob"],
    "networking.v1": ["Ingress", "IngressClass", "NetworkPolicy"],
    "autoscaling.v1": ["HorizontalPodAutoscaler", "Scale"],
    "autoscaling.v2": ["HorizontalPodAutoscaler"],
    "policy.v1": ["PodDisruptionBudget", "Eviction"],
    "rbac.v1": ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"],
    "coordination.v1": ["Lease"],
    "discovery.v1": ["EndpointSlice"],
    "storage.v1": ["StorageClass"],
    "scheduling.v1": ["PriorityClass"],
    "authorization.v1": ["SelfSubjectAccessReview", "SelfSubjectRulesReview"],
    "authentication.v1": ["SelfSubjectReview", "TokenRequest"],
}  # fmt: skip
META = "k8s.io.apimachinery.pkg.apis.meta.v1"
SCALARS = {1: "double", 3: "int", 4: "int", 5: "int", 8: "bool", 9: "string", 12: "bytes", 13: "int"}
NOT_NULLABLE = 65001


def fields_of(raw: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: number and value, an int or bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(raw):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            size = varint() if tag & 7 == 2 else 8 if tag & 7 == 1 else 4
            yield tag >> 3, raw[at : at + size]
            at += size


def messages(binary: bytes) -> dict[str, Any]:
    """Every message described in a binary: ``{full name: [(number, name, type, repeated, nullable)]}``."""
    found: dict[str, Any] = {}
    for match in re.finditer(b"\x1f\x8b\x08\x00\x00\x00\x00\x00", binary):
        try:
            raw = zlib.decompressobj(31).decompress(binary[match.start() : match.start() + 400_000])
        except zlib.error:
            continue
        if b"generated.proto" not in raw[:120]:
            continue
        parts = list(fields_of(raw))
        package = next(value.decode() for number, value in parts if number == 2)
        for number, value in parts:
            if number == 4:
                add_message(found, package, value)
    return found


def add_message(found: dict[str, Any], package: str, raw: bytes) -> None:
    """Adds a message and those nested in it."""
    parts = list(fields_of(raw))
    name = f"{package}.{next(value.decode() for number, value in parts if number == 1)}"
    found[name] = []
    for number, value in parts:
        if number == 3:
            add_message(found, name, value)
        elif number == 2:
            one = dict(fields_of(value))
            kind = SCALARS.get(one[5]) or one[6].decode().lstrip(".")
            options = dict(fields_of(one.get(8, b"")))
            found[name].append((one[3], one[1].decode(), kind, one[4] == 3, options.get(NOT_NULLABLE) != 0))


def main() -> None:
    """Walks from the root kinds through all messages they use, and writes one line for each."""
    described = messages(Path(sys.argv[1]).read_bytes())
    tables = json.loads((DATA / "schemas.json").read_text())
    made: dict[str, Any] = {}
    waiting: list[tuple[str, str]] = [(f"{META}.DeleteOptions", "V1DeleteOptions")]
    for group, kinds in GROUPS.items():
        version = group.rsplit(".", 1)[1].upper()
        for kind in kinds:
            table = "CoreV1Event" if kind == "Event" else f"{version}{kind}"
            waiting.append((f"k8s.io.api.{group}.{kind}", table))
    while waiting:
        name, table = waiting.pop()
        short = name.removeprefix("k8s.io.api.").replace(META, "meta.v1")
        if short in made or name not in described:
            continue
        made[short] = {}
        known = tables.get(table, {}).get("fields", {})
        for number, field, kind, repeated, nullable in described[name]:
            mode = "*" if repeated else "" if nullable else "!"
            entry = described.get(f"{name}.{kind.rsplit('.', 1)[-1]}") if kind.endswith("Entry") else None
            below = re.sub(r"^(List\[|Dict\[str, )|\]$", "", known.get(field, ""))
            if entry:
                kind, mode = entry[1][2], "%"
            elif kind in described and known and field not in known:
                mode, below = "^", table
                print("inline:", short, field)
            if kind in described:
                waiting.append((kind, below))
            made[short][str(number)] = [
                field,
                kind.removeprefix("k8s.io.api.").replace(META, "meta.v1"),
                mode,
            ]
    lines = [f"{json.dumps(name)}: {json.dumps(made[name])}" for name in sorted(made)]
    (DATA / "wire.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
