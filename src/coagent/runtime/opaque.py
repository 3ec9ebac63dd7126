"""The target that stands for systems behind declared tools: nothing of them can be seen or put."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.targets.base import Target


class Opaque(Target):
    """Owns the schemes of declared tools. The values there are tokens, so putting one does nothing."""

    schemes: tuple[str, ...] = ()

    async def get(self, key: Key) -> Value:
        return None

    async def list(self, prefix: str) -> Mapping[Key, Value]:
        return {}

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        return None

    def snapshot(self, prefix: str = "") -> dict[Key, Value]:
        return {}
