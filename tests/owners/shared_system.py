"""A system that several domains work on, as processes would, and that can be held up within a put."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from coagent import State, open_domain, tool
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, copied
from coagent.runtime.domain import Domain
from coagent.targets.base import require_wanted
from coagent.targets.memory import Memory


@tool
async def put(state: State, key: str, value: Any) -> str:
    """Write an object, whatever it was."""
    await state.put(key, value)
    return "ok"


@tool
async def get(state: State, key: str) -> Any:
    """Read an object."""
    return await state.get(key)


class Shared(Memory):
    """One process' way to a system that all share.

    Args:
        objects: What it holds.
    """

    instant = False
    replicate = None  # type: ignore[assignment]

    def __init__(self, objects: dict[str, Value]) -> None:
        super().__init__({}, schemes=("kv",))
        self._objects = objects  # type: ignore[assignment]
        self.held: anyio.Event | None = None
        """Until when the next put is held up, after everything has been asked that a process can ask."""
        self.asks = False
        """Whether a put that was held up asks then whether it is still wanted; the first one never does."""
        self.reached = anyio.Event()
        self.puts: list[tuple[Key, Value]] = []

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        held, self.held = self.held, None
        if held is not None:
            self.reached.set()
            await held.wait()
            if self.asks and self.puts:
                await anyio.to_thread.run_sync(lambda: require_wanted(in_thread=True))
        await super().put(key, copied(value), expected=expected)
        self.puts.append((key, value))


def domain_of(log: Path, target: Memory, *tools: Any, **settings: Any) -> Domain:
    """Return a domain of its own over a system that others share, as another process would open it."""
    return open_domain(f"sqlite:{log}", targets=[target], tools=[put, get, *tools], **settings)
