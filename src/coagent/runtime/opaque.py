"""The target for what no target has: systems behind declared tools, and what agents keep for themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.targets.base import Target


class Opaque(Target):
    """Owns the schemes that tools name. Their values are in the log alone, so putting one does nothing."""

    instant = True
    schemes: tuple[str, ...] = ()

    def unchanged(self, key: Key) -> bool:
        return True

    def unseen(self, key: Key) -> bool:
        return True

    async def get(self, key: Key) -> Value:
        return None

    async def list(self, prefix: str) -> Mapping[Key, Value]:
        return {}

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        return None

    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        return {}
