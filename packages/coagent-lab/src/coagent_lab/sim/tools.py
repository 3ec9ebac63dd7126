"""The tools of the simulated world: every way of reading and writing that the protocol tells apart.

They are ordinary native tools, and the serial oracle runs the very same functions over a plain dict. Objects
are documents (`{"n": 3, "m": 8}`) or texts (lines); `kind` tells which by the key.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio.lowlevel

from coagent.tools.intent import idempotency_key
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State

MODULUS = 97
HEAD = "top\n"
"""The first line of a text into which outsiders write: nobody changes it, and their lines stand above it."""

outbox: ContextVar[list[tuple[str, str, Any]]] = ContextVar("outbox")
"""Where irreversible tools leave their effects: (agent, text, what was seen)."""


pauses: ContextVar[Callable[[], int]] = ContextVar("pauses", default=lambda: 0)
"""For how many turns of the event loop a tool lets others go first, after each thing that it does."""

done: ContextVar[dict[str, Any] | None] = ContextVar("done", default=None)
"""What has run once and for all, with its result, by idempotency key: it does not run again."""


class Refused(Exception):
    """A tool of the simulated world would not do it."""


def object_of(key: str, value: Any) -> Any:
    """Return a document or text as the target of the key holds it."""
    if not key.startswith("k8s:") or value is None:
        return value
    namespace, _, name = key[len("k8s:") :].split("/")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {field: str(number) for field, number in value.items()},
    }


def document_of(key: str, value: Any) -> Any:
    """Return what `object_of` was made from."""
    if not key.startswith("k8s:") or value is None:
        return value
    data = sorted(value.get("data", {}).items())
    return {field: int(text) if text.isdigit() else text for field, text in data}


async def _load(state: State, key: str) -> Any:
    value = document_of(key, await state.get(key))
    await paused()
    return value


async def _store(state: State, key: str, value: Any) -> None:
    await state.put(key, object_of(key, value))
    await paused()


async def paused() -> None:
    """Let others go first, where it is to be so."""
    for _ in range(pauses.get()()):
        await anyio.lowlevel.checkpoint()


@tool
async def read(state: State, key: str) -> Any:
    """Read an object."""
    return await _load(state, key)


@tool
async def read_field(state: State, key: str, path: str) -> Any:
    """Read one field of a document."""
    return await state.get(key, path=f"/data{path}" if key.startswith("k8s:") else path)


@tool
async def read_lines(state: State, key: str, first: int, last: int) -> Any:
    """Read some lines of a text."""
    return await state.get(key, lines=(first, last))


@tool
async def names(state: State, prefix: str, glob: str | None = None) -> Any:
    """List the keys under a prefix."""
    return await state.list(prefix, glob=glob)


@tool
async def find(state: State, prefix: str, pattern: str) -> Any:
    """Search the texts under a prefix."""
    found = await state.search(prefix, pattern)
    return [[key, [list(line) for line in lines]] for key, lines in found.items()]


@tool
async def count(state: State, prefix: str, pattern: str) -> Any:
    """Count the texts with a match: a result that is often the same although the lines differ."""
    return len(await state.search(prefix, pattern))


@tool
async def put(state: State, key: str, value: Any) -> Any:
    """Write an object, whatever it was."""
    await _store(state, key, value)
    return "ok"


@tool
async def add(state: State, key: str, field: str, amount: int) -> Any:
    """Change one field of a document by what it is; a missing document is made."""
    document = await _load(state, key)
    if not isinstance(document, dict):
        document = {"n": 0, "m": 0}
    document[field] = (document.get(field, 0) * 3 + amount) % MODULUS
    await _store(state, key, document)
    return document[field]


@tool
async def add_silently(state: State, key: str, field: str, amount: int) -> Any:
    """As `add`, but it tells nothing: re-executions that no agent has to hear of."""
    await add(state, key, field, amount)
    return "ok"


@tool
async def append(state: State, key: str, line: str) -> Any:
    """Append a line to a text; a missing one is made."""
    text = await _load(state, key)
    await _store(state, key, (text if isinstance(text, str) else "") + line + "\n")
    return "ok"


@tool
async def lengthen(state: State, key: str, line: str) -> Any:
    """Append a line to a text; fails where there is none."""
    text = await _load(state, key)
    if not isinstance(text, str):
        raise Refused(f"there is no {key}")
    await _store(state, key, f"{text}{line}\n")
    return "ok"


@tool
async def edit(state: State, key: str, old: str, new: str) -> Any:
    """Replace the first occurrence of a text; fails where it does not occur."""
    text = await _load(state, key)
    if not isinstance(text, str) or old not in text:
        raise Refused(f"{old!r} does not occur in {key}")
    await _store(state, key, text.replace(old, new, 1))
    return "ok"


@tool
async def create(state: State, key: str, value: Any) -> Any:
    """Create an object; fails where there is one."""
    if await _load(state, key) is not None:
        raise Refused(f"{key} exists")
    await _store(state, key, value)
    return "created"


@tool
async def erase(state: State, key: str) -> Any:
    """Delete an object, whether or not it exists."""
    await state.delete(key)
    return "ok"


@tool
async def remove(state: State, key: str) -> Any:
    """Delete an object; fails where there is none."""
    if await _load(state, key) is None:
        raise Refused(f"there is no {key}")
    await state.delete(key)
    return "removed"


@tool
async def move(state: State, key: str, to: str) -> Any:
    """Delete an object and create it elsewhere; fails where there is none."""
    value = await _load(state, key)
    if value is None:
        raise Refused(f"there is no {key}")
    await state.delete(key)
    await _store(state, to, value)
    return "moved"


@tool
async def copy(state: State, key: str, to: str) -> Any:
    """Copy an object over another one; copying what is not there deletes the other one."""
    await _store(state, to, await _load(state, key))
    return "ok"


@tool
async def add_everywhere(state: State, prefix: str, field: str, amount: int) -> Any:
    """Change every document under a prefix: a footprint that depends on the state."""
    keys = await state.list(prefix)
    for key in keys:
        document = await _load(state, key)
        if isinstance(document, dict):
            document[field] = (document.get(field, 0) + amount) % MODULUS
            await _store(state, key, document)
    return len(keys)


@tool
async def follow(state: State, key: str, field: str, targets: list[str], value: Any) -> Any:
    """Write to the one of several objects that a field points at: a write set that depends on the state."""
    pointer = await state.get(key, path=f"/data/{field}" if key.startswith("k8s:") else f"/{field}")
    chosen = targets[int(pointer or 0) % len(targets)]
    await _store(state, chosen, value)
    return chosen


@tool
async def put_then_check(state: State, key: str, value: Any, other: str) -> Any:
    """Write first and fail afterwards if another object is missing: nothing of it may stay."""
    await _store(state, key, value)
    if await _load(state, other) is None:
        raise Refused(f"there is no {other}")
    return "ok"


def has_run() -> bool:
    """Tell whether the run that asks has had its effect before."""
    return idempotency_key() in (done.get() or ())


def ran(result: Any) -> Any:
    """Note that the run that asks has had its effect; returns its result, or the one that it had before."""
    known, key = done.get(), idempotency_key()
    return result if known is None or key is None else known.setdefault(key, result)


@tool(effect="irreversible", gate="stage")
async def mail(state: State, agent: str, text: str, key: str) -> Any:
    """Send word of an object, at commit."""
    seen = await _load(state, key)
    if not has_run():
        outbox.get().append((agent, text, seen))
    return ran("sent")


@tool(effect="irreversible", gate="wait")
async def pay(state: State, agent: str, text: str, key: str) -> Any:
    """Send word of an object, once it is final."""
    seen = await _load(state, key)
    if not has_run():
        outbox.get().append((agent, text, seen))
    return ran(seen)


TOOLS: list[NativeTool] = [
    read, read_field, read_lines, names, find, count, put, add, add_silently, append, lengthen, edit, create,
    erase, remove, move, copy, add_everywhere, follow, put_then_check, mail, pay,
]  # fmt: skip
