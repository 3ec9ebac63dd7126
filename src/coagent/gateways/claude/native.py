"""The workspace of sessions whose own tools change a file before CoAgent hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value
from coagent.targets.files import Files


class NativeWrite:
    """A change that is on disk and has no call yet.

    Args:
        before: What was there.
        after: What is there now.
    """

    __slots__ = ("after", "before")

    def __init__(self, before: Value, after: Value) -> None:
        self.before = before
        self.after = after


class SharedTree(Files):
    """Files that hide native writes until a governed call has taken them over."""

    def __init__(self, root: str, **options: object) -> None:
        super().__init__(root, **options)  # type: ignore[arg-type]
        self._native: dict[Key, NativeWrite] = {}

    @asynccontextmanager
    async def taking_over(self, writes: Mapping[Key, NativeWrite]) -> AsyncIterator[None]:
        """Let the calls within take native writes over; what none of them has written is put back.

        Within, the files read as they were before, and a call may write over what is there.
        """
        self._native.update(writes)
        try:
            yield
        finally:
            for key in writes:
                left = self._native.pop(key, None)
                if left is not None:
                    await super().put(key, left.before, expected=[left.after])

    async def get(self, key: Key) -> Value:
        native = self._native.get(key)
        return await super().get(key) if native is None else native.before

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        found = dict(await super().get_many(keys))
        for key in keys:
            if key in self._native:
                found[key] = self._native[key].before
        return found

    async def list(self, prefix: str) -> dict[Key, Value]:
        found = await super().list(prefix)
        for key, native in self._native.items():
            if key.startswith(prefix):
                found.pop(key, None)
                if native.before is not None:
                    found[key] = UNLOADED if key.startswith("file:") else native.before
        return found

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        native = self._native.pop(key, None)
        if native is not None:
            expected = [*expected, native.after]
        await super().put(key, value, expected=expected)
