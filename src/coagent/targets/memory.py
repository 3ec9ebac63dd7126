"""A target that is a dict: for tests, demos and scratch state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from coagent.protocol.keys import Key, scheme_of
from coagent.protocol.values import Value, copied, same
from coagent.targets.base import GuardFailed, Target
from coagent.targets.news import News


class Memory(Target):
    """Objects in memory.

    Args:
        initial: Key to value; the schemes found there are the ones it owns.
        schemes: Further schemes to own, for objects that do not exist yet.
    """

    instant = True

    def __init__(self, initial: Mapping[str, Value] | None = None, *, schemes: Sequence[str] = ()) -> None:
        self._objects: dict[Key, Value] = {
            Key(key): copied(value) for key, value in (initial or {}).items() if value is not None
        }
        found = dict.fromkeys([*(scheme_of(key) for key in initial or {}), *schemes])
        self.schemes = tuple(found) or ("kv",)
        self._outside: set[Key] = set()
        """Objects changed by `outside` and not read or put since."""
        self._news = News()

    async def get(self, key: Key) -> Value:
        if self._outside:
            self._outside.discard(key)
        return self._objects.get(key)

    def unchanged(self, key: Key) -> bool:
        return key not in self._outside

    async def list(self, prefix: str) -> dict[Key, Value]:
        return {key: value for key, value in self._objects.items() if key.startswith(prefix)}

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        found = self._objects.get(key)
        if not any(found is allowed or same(found, allowed) for allowed in expected) and not same(
            found, value
        ):
            raise GuardFailed(key, copied(found))
        self._outside.discard(key)
        self._store(key, value)

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        found = self._outside.intersection(keys)
        return found | self._news.take(prefixes)

    def outside(self, key: str, value: Value) -> None:
        """Change an object (None: delete it) as somebody would who knows nothing of the domain."""
        name = Key(key)
        self._store(name, copied(value))
        self._outside.add(name)
        self._news.add([name])

    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        """Return the live state under `prefix` as a dict of copies."""
        return {key: copied(self._objects[key]) for key in sorted(self._objects) if key.startswith(prefix)}

    def replicate(self, key: Key, value: Value, held: Sequence[Value]) -> None:
        """Take over a live value from the log: in a shared domain every process has a copy of its own."""
        self._store(key, value)

    def _store(self, key: Key, value: Value) -> None:
        if value is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = value
