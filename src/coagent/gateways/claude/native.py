"""The workspace of sessions whose own tools change a file before CoAgent hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value
from coagent.systems.files.target import Files
from coagent.targets.base import GuardFailed, NotWanted


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
        self._in_flight: dict[Key, Value] = {}
        self._overtaken: dict[Key, Value] = {}
        self._native: dict[Key, NativeWrite] = {}

    async def on_disk(self, key: Key) -> Value:
        """Return what is on disk, whoever wrote it."""
        return await self.peek(key)

    async def expect(self, key: Key) -> Value:
        """Take notice that a session's own tool is about to write a file, and return what is there."""
        before = await self.peek(key)
        self._in_flight[key] = before
        return before

    async def written(self, key: Key) -> Value:
        """Return what an expected tool has left, though it may have been overtaken since."""
        self._in_flight.pop(key, None)
        if key in self._overtaken:
            return self._overtaken.pop(key)
        return await self.peek(key)

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
        return self._hidden(key) if self._hides(key) else await super().get(key)

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        found = dict(await super().get_many(keys))
        for key in keys:
            if self._hides(key):
                found[key] = self._hidden(key)
        return found

    async def list(self, prefix: str) -> dict[Key, Value]:
        found = await super().list(prefix)
        for key in (*self._native, *self._in_flight):
            if key.startswith(prefix):
                found.pop(key, None)
                before = self._hidden(key)
                if before is not None:
                    found[key] = UNLOADED if key.startswith("file:") else before
        return found

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        """Return what others have changed; with a file that a tool writes come its name and its rights."""
        found = await super().changed(keys, prefixes)
        hidden = {key.partition(":")[2] for key in (*self._native, *self._in_flight)}
        return {
            key
            for key in found
            if not (key.startswith(("mode:", "link:")) and key.partition(":")[2] in hidden)
        }

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        native = self._native.pop(key, None)
        if native is not None:
            expected = [*expected, native.after]
        try:
            await super().put(key, value, expected=expected)
        except NotWanted:
            if native is not None:
                self._native[key] = native
            raise
        except GuardFailed as failure:
            if key not in self._in_flight:
                raise
            # The tool has just written; its call, which is to come, is made from what it wrote.
            self._overtaken[key] = failure.found
            await super().put(key, value, expected=[failure.found])

    def _hides(self, key: Key) -> bool:
        return key in self._native or key in self._in_flight

    def _hidden(self, key: Key) -> Value:
        native = self._native.get(key)
        return self._in_flight[key] if native is None else native.before
