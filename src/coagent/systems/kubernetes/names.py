"""Names that are chosen for objects, and kinds that are defined in the same call as their objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from coagent.errors import ToolFailed
from coagent.tools.state import State

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # without vowels and what looks like them, as Kubernetes has it
_LENGTH = 5
_PREFIX_LENGTH_MAX = 63 - _LENGTH
_TRIES_MAX = 1_000


class Definition:
    """A kind as a CustomResourceDefinition among the manifests defines it.

    Args:
        manifest: The definition.

    Raises:
        ToolFailed: It lacks what every definition has.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        try:
            spec = manifest["spec"]
            self.group, self.kind = str(spec["group"]), str(spec["names"]["kind"])
            self.plural, self.namespaced = str(spec["names"]["plural"]), spec["scope"] == "Namespaced"
        except (KeyError, TypeError) as error:
            raise ToolFailed(
                "a CustomResourceDefinition lacks spec.group, spec.scope, names.kind or names.plural",
                "Give it all of them.",
            ) from error


def definitions_in(manifests: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Definition]:
    """Return the kinds that manifests define, by group and kind."""
    found = [
        Definition(manifest)
        for manifest in manifests
        if manifest["kind"] == "CustomResourceDefinition"
        and str(manifest.get("apiVersion", "")).startswith("apiextensions.k8s.io/")
    ]
    return {(definition.group, definition.kind): definition for definition in found}


def key_of(
    manifest: Mapping[str, Any], namespace: str | None, defined: Mapping[tuple[str, str], Definition]
) -> str:
    """Return the key of a manifest's object.

    Args:
        manifest: It has a kind and a name.
        namespace: Where it goes if it does not say.
        defined: Kinds that the cluster may not know yet.
    """
    group = str(manifest.get("apiVersion") or "").rpartition("/")[0]
    metadata = manifest["metadata"]
    place = metadata.get("namespace") or namespace or "default"
    own = defined.get((group, manifest["kind"]))
    if own is not None and not group.endswith(".k8s.io"):
        return f"k8s:{place if own.namespaced else '_cluster'}/{own.plural}.{group}/{metadata['name']}"
    kind = f"{manifest['kind']}.{group}" if manifest.get("apiVersion") else manifest["kind"]
    return f"k8s:{place}/{kind}/{metadata['name']}"


async def with_name(
    state: State,
    manifest: dict[str, Any],
    index: int,
    namespace: str | None,
    defined: Mapping[tuple[str, str], Definition],
) -> dict[str, Any]:
    """Return a manifest with a name, where it leaves that to be generated.

    The name follows from the call alone, so that the call makes the same object when it runs again.

    Args:
        state: Of the call.
        manifest: It has `metadata.name` or `metadata.generateName`.
        index: Which of the call's manifests it is.
        namespace: Where it goes if it does not say.
        defined: Kinds that the cluster may not know yet.

    Raises:
        ToolFailed: All names that were tried are taken.
    """
    metadata = manifest["metadata"]
    if metadata.get("name"):
        return manifest
    prefix = str(metadata["generateName"])[:_PREFIX_LENGTH_MAX]
    for attempt in range(_TRIES_MAX):
        seed = f"{state.rank} {state.position[1]} {index} {attempt} {prefix}"
        number = int.from_bytes(hashlib.sha256(seed.encode()).digest())
        suffix = "".join(
            _ALPHABET[number // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(_LENGTH)
        )
        named = {**manifest, "metadata": {**metadata, "name": f"{prefix}{suffix}"}}
        if await state.get(key_of(named, namespace, defined), path="/metadata/name") is None:
            return named
    raise ToolFailed(f"no name {prefix!r} with a suffix is free", "Choose another generateName, or a name.")
