"""How objects in memory are configured; the target is `targets/memory.py`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from coagent.systems.base import Place, System, Table, TargetKind
from coagent.targets.memory import Memory


class MemoryTarget(Table):
    """Objects that live as long as the run."""

    kind: Literal["memory"]
    initial: dict[str, Any] = Field(default_factory=dict)


def _target(table: MemoryTarget, place: Place) -> Memory:
    try:
        return Memory(table.initial)
    except (TypeError, ValueError) as error:
        raise place.fault(str(error), 'Keys of `initial` look like "kv:x".') from error


MEMORY = System("memory", TargetKind(MemoryTarget, _target))
