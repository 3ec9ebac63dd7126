"""The domain that is measured: numbers in memory, and tools that do next to nothing themselves."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from coagent.runtime.domain import Domain, open_domain
from coagent.targets.memory import Memory
from coagent.tools.native import tool
from coagent.tools.state import State

KEYS = 64
"""How many objects uncontended calls are spread over."""


@tool
async def get(state: State, key: str) -> Any:
    """Read an object."""
    return await state.get(key)


@tool
async def put(state: State, key: str, value: int) -> None:
    """Write an object, whatever it holds."""
    await state.put(key, value)


@tool
async def add(state: State, key: str, by: int) -> int:
    """Add to an object, which depends on what it holds."""
    value = (await state.get(key) or 0) + by
    await state.put(key, value)
    return int(value)


def initial() -> dict[str, int]:
    """Return what the objects hold at first: nothing that a measured call writes."""
    return {f"kv:{number}": -number for number in range(KEYS)}


def open_log(url: str) -> AbstractAsyncContextManager[Domain]:
    """Open a domain over a log, with the objects and tools that are measured."""
    return open_domain(url, targets=[Memory(initial())], tools=[get, put, add])
