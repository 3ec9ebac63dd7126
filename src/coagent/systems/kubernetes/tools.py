"""Tools for Kubernetes objects, with the arguments that people know from kubectl."""

from __future__ import annotations

from typing import Any, Literal

import jsonpatch

from coagent.errors import ToolFailed
from coagent.systems.kubernetes.manifests import documents, require_small
from coagent.systems.kubernetes.names import definitions_in, key_of, with_name
from coagent.systems.kubernetes.strategic_merge import merge, merge_strategically
from coagent.tools.native import NativeTool, tool
from coagent.tools.nearest import nearest
from coagent.tools.state import State

_OPERATIONS_MAX = 1_000
_SELECTOR_LENGTH_MAX = 4_000


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
        namespace: Its namespace; of no account for kinds that have none, such as nodes.
        path: Only this field, as a JSON Pointer such as /spec/replicas. Prefer it: you are told of changes
            only to what you have read.
        include_status: Add the live status. You are not told when that changes.
    """
    key = f"k8s:{namespace}/{kind}/{name}"
    if path:
        if not path.startswith("/"):
            raise ToolFailed(f"{path!r} is no JSON Pointer", "Write it like /spec/replicas.")
        part = await state.get(key, path=path)
        if part is None:
            await _require(state, key)
        return part
    found = await _existing(state, key)
    if include_status:
        found["status"] = await state.get(f"k8s-status:{namespace}/{kind}/{name}")
    return found


@tool
async def kube_list(
    state: State,
    kind: str,
    namespace: str = "default",
    label_selector: str | None = None,
    include_status: bool = False,
) -> list[dict[str, Any]]:
    """List the objects of a kind in a namespace.

    Without include_status, objects that controllers make and remake, such as the pods of a Deployment, are
    left out.

    Args:
        kind: The kind, for instance deployments or po.
        namespace: The namespace; of no account for kinds that have none, such as nodes.
        label_selector: Only objects with these labels, as in `app=geo,track!=canary,tier in (web,api)`.
        include_status: Add the live status, and the objects that controllers make. You are not told when
            these change.
    """
    wanted = _requirements(label_selector or "")
    place = f"{namespace}/{kind}/"
    paths = [key.partition(":")[2] for key in await state.list(f"k8s:{place}")]
    if include_status:
        made = {key.partition(":")[2] for key in await state.list(f"k8s-status:{place}")}
        paths = sorted({*paths, *made})
    found = []
    for path in paths:
        one = await state.get(f"k8s:{path}")
        if one is None:
            continue  # gone since it was listed
        labels = (one.get("metadata") or {}).get("labels") or {}
        if all(_meets(labels, *requirement) for requirement in wanted):
            if include_status:
                one["status"] = await state.get(f"k8s-status:{path}")
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
    manifests = await _manifests(manifest)
    defined = definitions_in(manifests)
    for body in manifests:
        if not body["metadata"].get("name"):
            raise ToolFailed(
                "what is applied needs metadata.name: generateName makes another object each time",
                "Use kube_create, or give it a name.",
            )
        key = state.canonical(key_of(body, namespace, defined))
        current = await state.get(key)
        await state.put(key, body if current is None else merge_strategically(current, body))
        outcomes.append(f"{_label(key)} {'created' if current is None else 'configured'}")
    return outcomes


@tool
async def kube_create(
    state: State, manifest: dict[str, Any] | str, namespace: str | None = None
) -> list[str]:
    """Create objects; it fails where one exists already.

    Args:
        manifest: An object, or YAML or JSON text of one or several. With metadata.generateName in place of a
            name, one is made of that and told.
        namespace: The namespace for manifests that name none; default by default.
    """
    outcomes = []
    manifests = await _manifests(manifest)
    defined = definitions_in(manifests)
    for index, given in enumerate(manifests):
        named = await with_name(state, given, index, namespace, defined)
        key = state.canonical(key_of(named, namespace, defined))
        if await state.get(key, path="/metadata/name") is not None:
            raise ToolFailed(f"{_label(key)} already exists", "Use kube_apply or kube_patch to change it.")
        await state.put(key, named)
        outcomes.append(f"{_label(key)} created")
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
    change: Any = await _parse_patch(patch) if isinstance(patch, str) else patch
    require_small(change, "the patch")
    if type == "json":
        if not isinstance(change, list):
            raise ToolFailed("a json patch is a list of operations", "Pass a list, or another type.")
        result = _apply_patch(current, change)
    elif not isinstance(change, dict):
        raise ToolFailed(f"a {type} patch is a mapping, not {change.__class__.__name__}", "Pass an object.")
    else:
        result = merge(current, change) if type == "merge" else merge_strategically(current, change)
    if not isinstance(result, dict) or (result.get("metadata") or {}).get("name") != name:
        raise ToolFailed("the patch would rename the object", "Create another one, and delete this one.")
    await state.put(key, result)
    return f"{_label(state.canonical(key))} patched"


@tool
async def kube_set_image(
    state: State,
    name: str,
    image: str,
    kind: str = "deployment",
    container: str | None = None,
    namespace: str = "default",
) -> str:
    """Set the image of a container, of a pod or of an object with a pod template.

    Args:
        name: Its name.
        image: The new image.
        kind: Its kind.
        container: The container; needed where there are several.
        namespace: Its namespace.
    """
    key = f"k8s:{namespace}/{kind}/{name}"
    current = await _existing(state, key)
    containers = _pod_spec(current).get("containers") or []
    chosen = [candidate for candidate in containers if container is None or candidate["name"] == container]
    names = ", ".join(candidate["name"] for candidate in containers) or "none"
    if not chosen:
        lacks = "containers" if container is None else f"container {container!r}"
        raise ToolFailed(f"{kind} {name!r} has no {lacks}", f"Its containers are: {names}.")
    if len(chosen) > 1:
        raise ToolFailed(f"{kind} {name!r} has several containers", f"Name one of: {names}.")
    chosen[0]["image"] = image
    await state.put(key, current)
    return f"{_label(state.canonical(key))} image updated"


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
    return f"{_label(state.canonical(key))} scaled"


@tool
async def kube_delete(state: State, kind: str, name: str, namespace: str = "default") -> str:
    """Delete an object.

    Args:
        kind: Its kind.
        name: Its name.
        namespace: Its namespace.
    """
    key = f"k8s:{namespace}/{kind}/{name}"
    await _require(state, key)
    await _refuse_to_empty(state, state.canonical(key))
    await state.delete(key)
    return f"{_label(state.canonical(key))} deleted"


def _apply_patch(current: dict[str, Any], operations: list[Any]) -> Any:
    """Return an object with a JSON patch applied: one operation after another, as each copy may double it."""
    if len(operations) > _OPERATIONS_MAX:
        raise ToolFailed(
            f"the patch has {len(operations)} operations, more than {_OPERATIONS_MAX}", "Split it."
        )
    result: Any = current  # a copy already
    try:
        for operation in operations:
            result = jsonpatch.apply_patch(result, [operation], in_place=True)
            if operation.get("op") == "copy":
                require_small(result, "the patched object")
    except (
        jsonpatch.JsonPatchException,
        jsonpatch.JsonPointerException,
        AttributeError,
        TypeError,
    ) as error:
        raise ToolFailed(
            f"the JSON patch does not apply: {error}", "Read the object and correct it."
        ) from None
    return result


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
        names = [key.rpartition("/")[2] for key in await state.list(f"{folder}/")]
        near = nearest(name, names)
        cure = f"Did you mean {near!r}?" if near else f"There are: {', '.join(names[:20]) or 'none'}."
        raise ToolFailed(f"{_label(canonical)} not found", cure)
    return found


async def _require(state: State, key: str) -> None:
    """Raise unless the object exists, without making all of it a premise."""
    if await state.get(key, path="/metadata/name") is None:
        await _existing(state, key)


async def _refuse_to_empty(state: State, key: str) -> None:
    """Raise where deleting an object would delete others, which no undo could bring back."""
    folder, _, name = key.rpartition("/")
    if folder == "k8s:_cluster/namespaces":
        inside = await state.list(f"k8s:{name}/")
        own = (f"k8s:{name}/serviceaccounts/default", f"k8s:{name}/configmaps/kube-root-ca.crt")
        inside = [object_key for object_key in inside if object_key not in own]
    elif folder.startswith("k8s:_cluster/customresourcedefinitions"):
        inside = await state.list("k8s:", glob=f"*/{name}/*")
    else:
        return
    if inside:
        raise ToolFailed(
            f"deleting {_label(key)} would delete {len(inside)} objects with it, such as {_label(inside[0])}",
            "Delete these first, so that each can be restored.",
        )


def _label(key: str) -> str:
    """Return an object's name as kubectl prints it: `deployments "geo"`."""
    _, kind, name = key.partition(":")[2].split("/")
    return f'{kind} "{name}"'


def _pod_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the part that says what a pod runs: of a pod, a pod template, or a CronJob's."""
    spec = manifest.get("spec") or {}
    if manifest.get("kind") == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    found: dict[str, Any] = (
        spec if manifest.get("kind") == "Pod" else (spec.get("template") or {}).get("spec") or {}
    )
    return found


async def _manifests(manifest: dict[str, Any] | str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if not isinstance(manifest, str):
        require_small(manifest, "the manifest")
    for document in await documents(manifest) if isinstance(manifest, str) else [manifest]:
        if document is None:
            continue
        items = document.get("items") if isinstance(document, dict) else None
        if isinstance(items, list) and str(document.get("kind", "")).endswith("List"):
            found += items
        else:
            found.append(document)
    if not found:
        raise ToolFailed("the manifest is empty", "Give at least one object.")
    for body in found:
        metadata = body.get("metadata") if isinstance(body, dict) else None
        named = isinstance(metadata, dict) and (metadata.get("name") or metadata.get("generateName"))
        if not named or not body.get("kind"):
            raise ToolFailed("a manifest lacks kind or metadata.name", "Give each object both.")
    return found


async def _parse_patch(text: str) -> Any:
    found = await documents(text)
    if len(found) != 1:
        raise ToolFailed(f"a patch is one document, not {len(found)}", "Pass one.")
    return found[0]


def _requirements(selector: str) -> list[tuple[str, str, list[str]]]:
    """Return (label, operator, values) of a label selector (Kubernetes documentation)."""
    if len(selector) > _SELECTOR_LENGTH_MAX:
        raise ToolFailed(f"the label selector has {len(selector)} characters", "Write a shorter one.")
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
