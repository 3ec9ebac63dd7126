"""Tools for Kubernetes objects, with the arguments that people know from kubectl."""

from __future__ import annotations

import difflib
from typing import Any, Literal

import jsonpatch
import yaml

from coagent.builtin.strategic_merge import merged, strategically_merged
from coagent.errors import ToolFailed
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State

_CLUSTER = "_cluster"


@tool
async def kube_get(
    state: State,
    kind: str,
    name: str,
    namespace: str = "default",
    path: str | None = None,
    include_status: bool = False,
) -> Any:
    """Get an object.

    Args:
        kind: Its kind, for instance deployment, svc or configmaps.
        name: Its name.
        namespace: Its namespace; `_cluster` for kinds that have none, such as nodes.
        path: Only this field, as a JSON Pointer such as /spec/replicas. Prefer it: you are told of changes
            only to what you have read.
        include_status: Add the live status. You are not told when that changes.
    """
    key = f"k8s:{namespace}/{kind}/{name}"
    if path is not None:
        part = await state.get(key, path=path)
        if part is None:
            await _existing(state, key)
        return part
    found = await _existing(state, key)
    if include_status:
        found["status"] = await state.get(f"k8s-status:{namespace}/{kind}/{name}")
    return found


@tool
async def kube_list(
    state: State, kind: str, namespace: str = "default", label_selector: str | None = None
) -> list[dict[str, Any]]:
    """List the objects of a kind in a namespace.

    Args:
        kind: The kind, for instance deployments or po.
        namespace: The namespace; `_cluster` for kinds that have none.
        label_selector: Only objects with these labels, as in `app=geo,track!=canary,tier in (web,api)`.
    """
    wanted = _requirements(label_selector or "")
    found = []
    for key in await state.list(f"k8s:{namespace}/{kind}/"):
        one = await state.get(key)
        labels = (one.get("metadata") or {}).get("labels") or {}
        if all(_meets(labels, *requirement) for requirement in wanted):
            found.append(one)
    return found


@tool
async def kube_apply(state: State, manifest: dict[str, Any] | str, namespace: str | None = None) -> list[str]:
    """Create objects, or merge manifests into those that exist.

    Args:
        manifest: An object, or YAML or JSON text of one or several.
        namespace: The namespace for manifests that name none; default by default.
    """
    outcomes = []
    for one in _manifests(manifest):
        key = _key_of(one, namespace)
        current = await state.get(key)
        await state.put(key, one if current is None else strategically_merged(current, one))
        outcomes.append(f"{_named(key)} {'created' if current is None else 'configured'}")
    return outcomes


@tool
async def kube_create(
    state: State, manifest: dict[str, Any] | str, namespace: str | None = None
) -> list[str]:
    """Create objects; it fails where one exists already.

    Args:
        manifest: An object, or YAML or JSON text of one or several.
        namespace: The namespace for manifests that name none; default by default.
    """
    outcomes = []
    for one in _manifests(manifest):
        key = _key_of(one, namespace)
        if await state.get(key, path="/metadata/name") is not None:
            raise ToolFailed(f"{_named(key)} already exists", "Use kube_apply or kube_patch to change it.")
        await state.put(key, one)
        outcomes.append(f"{_named(key)} created")
    return outcomes


@tool
async def kube_patch(
    state: State,
    kind: str,
    name: str,
    patch: dict[str, Any] | list[Any] | str,
    namespace: str = "default",
    type: Literal["strategic", "merge", "json"] = "strategic",
) -> str:
    """Patch an object.

    Args:
        kind: Its kind.
        name: Its name.
        patch: The patch, as data or as YAML or JSON text.
        namespace: Its namespace.
        type: strategic (lists of containers, env, … merge by name), merge (RFC 7386) or json (RFC 6902).
    """
    key = f"k8s:{namespace}/{kind}/{name}"
    current = await _existing(state, key)
    change: Any = _parsed(patch) if isinstance(patch, str) else patch
    if type == "json":
        try:
            result = jsonpatch.apply_patch(current, change)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
            raise ToolFailed(
                f"the JSON patch does not apply: {error}", "Read the object and correct it."
            ) from None
    elif not isinstance(change, dict):
        raise ToolFailed(f"a {type} patch is a mapping, not {change.__class__.__name__}", "Pass an object.")
    else:
        result = merged(current, change) if type == "merge" else strategically_merged(current, change)
    await state.put(key, result)
    return f"{_named(state.canonical(key))} patched"


@tool
async def kube_set_image(
    state: State,
    name: str,
    image: str,
    kind: str = "deployment",
    container: str | None = None,
    namespace: str = "default",
) -> str:
    """Set the image of an object with a pod template.

    Args:
        name: Its name.
        image: The new image.
        kind: Its kind.
        container: The container; needed where there are several.
        namespace: Its namespace.
    """
    key = f"k8s:{namespace}/{kind}/{name}"
    current = await _existing(state, key)
    template = (current.get("spec") or {}).get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or []
    chosen = [one for one in containers if container is None or one["name"] == container]
    names = ", ".join(one["name"] for one in containers) or "none"
    if not chosen:
        raise ToolFailed(f"{kind} {name!r} has no container {container!r}", f"Its containers are: {names}.")
    if len(chosen) > 1:
        raise ToolFailed(f"{kind} {name!r} has several containers", f"Name one of: {names}.")
    chosen[0]["image"] = image
    await state.put(key, current)
    return f"{_named(state.canonical(key))} image updated"


@tool
async def kube_scale(
    state: State, name: str, replicas: int, kind: str = "deployment", namespace: str = "default"
) -> str:
    """Set the number of replicas.

    Args:
        name: The object's name.
        replicas: How many; 0 or more.
        kind: Its kind.
        namespace: Its namespace.
    """
    if replicas < 0:
        raise ToolFailed(f"{replicas} replicas cannot be", "Pass 0 or more.")
    key = f"k8s:{namespace}/{kind}/{name}"
    current = await _existing(state, key)
    current.setdefault("spec", {})["replicas"] = replicas
    await state.put(key, current)
    return f"{_named(state.canonical(key))} scaled"


@tool
async def kube_delete(state: State, kind: str, name: str, namespace: str = "default") -> str:
    """Delete an object.

    Args:
        kind: Its kind.
        name: Its name.
        namespace: Its namespace.
    """
    key = f"k8s:{namespace}/{kind}/{name}"
    if await state.get(key, path="/metadata/name") is None:
        await _existing(state, key)
    await state.delete(key)
    return f"{_named(state.canonical(key))} deleted"


KUBERNETES_TOOLS: tuple[NativeTool, ...] = (
    kube_get,
    kube_list,
    kube_apply,
    kube_create,
    kube_patch,
    kube_set_image,
    kube_scale,
    kube_delete,
)
"""All tools for Kubernetes."""


async def _existing(state: State, key: str) -> dict[str, Any]:
    found: dict[str, Any] | None = await state.get(key)
    if found is None:
        canonical = state.canonical(key)
        folder, _, name = canonical.rpartition("/")
        names = [one.rpartition("/")[2] for one in await state.list(f"{folder}/")]
        nearest = difflib.get_close_matches(name, names, 1)
        cure = (
            f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(names[:20]) or 'none'}."
        )
        raise ToolFailed(f"{_named(canonical)} not found", cure)
    return found


def _named(key: str) -> str:
    """Return an object's name as kubectl prints it: `deployments "geo"`."""
    _, kind, name = key.partition(":")[2].split("/")
    return f'{kind} "{name}"'


def _manifests(manifest: dict[str, Any] | str) -> list[dict[str, Any]]:
    documents = list(_documents(manifest)) if isinstance(manifest, str) else [manifest]
    found: list[dict[str, Any]] = []
    for document in documents:
        if document is None:
            continue
        items = (
            document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else None
        )
        found += items if isinstance(items, list) else [document]
    for one in found:
        name = (one.get("metadata") or {}).get("name") if isinstance(one, dict) else None
        if not name or not one.get("kind"):
            raise ToolFailed("a manifest lacks kind or metadata.name", "Give each object both.")
    return found


def _documents(text: str) -> list[Any]:
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise ToolFailed(f"the manifest is neither YAML nor JSON: {error}", "Correct it.") from None


def _parsed(text: str) -> Any:
    documents = _documents(text)
    if len(documents) != 1:
        raise ToolFailed(f"a patch is one document, not {len(documents)}", "Pass one.")
    return documents[0]


def _key_of(manifest: dict[str, Any], namespace: str | None) -> str:
    kind = str(manifest["kind"])
    place = manifest["metadata"].get("namespace") or namespace or "default"
    if kind in ("Namespace", "Node", "PersistentVolume", "CustomResourceDefinition", "ClusterRole"):
        place = _CLUSTER
    return f"k8s:{place}/{kind}/{manifest['metadata']['name']}"


def _requirements(selector: str) -> list[tuple[str, str, list[str]]]:
    """Return (label, operator, values) of a label selector (Kubernetes documentation)."""
    found: list[tuple[str, str, list[str]]] = []
    for part in _split(selector):
        words = part.replace("(", " (").split(None, 2)
        if len(words) == 3 and words[1] in ("in", "notin"):
            values = [value.strip() for value in words[2].strip("() ").split(",")]
            found.append((words[0], words[1], values))
        elif "!=" in part:
            name, _, value = part.partition("!=")
            found.append((name.strip(), "notin", [value.strip()]))
        elif "=" in part:
            name, _, value = part.partition("=")
            found.append((name.strip(), "in", [value.lstrip("=").strip()]))
        elif part.startswith("!"):
            found.append((part[1:].strip(), "absent", []))
        else:
            found.append((part, "present", []))
    return found


def _split(selector: str) -> list[str]:
    """Split at the commas outside parentheses."""
    parts, depth, current = [], 0, ""
    for character in selector:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part.strip() for part in [*parts, current] if part.strip()]


def _meets(labels: dict[str, str], name: str, operator: str, values: list[str]) -> bool:
    if operator in ("present", "absent"):
        return (name in labels) == (operator == "present")
    return (labels.get(name) in values) == (operator == "in")
