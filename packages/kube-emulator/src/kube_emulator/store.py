"""The objects, the one counter of resource versions, and the log that watches read.

Objects in the store are never changed in place: a write puts a new one, so readers may share them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kube_emulator.statuses import gone

Json = dict[str, Any]
Key = tuple[str, str]


class Change(NamedTuple):
    """One entry of the watch log; ``before`` is what selectors compare with, None for a new object."""

    version: int
    kind: Key
    type: str
    object: Json
    before: Json | None


class Store:
    """All objects of the emulator, by kind, namespace and name.

    Args:
        history: how many changes the watch log holds; older watches get 410.
    """

    def __init__(self, history: int = 10_000) -> None:
        self.lock = threading.RLock()
        self._objects: dict[Key, dict[tuple[str, str], Json]] = {}
        self._log: deque[Change] = deque(maxlen=history)
        self._version = 0
        self._listeners: set[Callable[[], None]] = set()
        self._pending: deque[Change] = deque()

    @property
    def version(self) -> int:
        """The resource version of the latest write."""
        return self._version

    def get(self, kind: Key, namespace: str, name: str) -> Json | None:
        """The object, or None."""
        return self._objects.get(kind, {}).get((namespace, name))

    def of_kind(self, kind: Key, namespace: str = "") -> list[Json]:
        """The objects of a kind in a namespace (in all of them if empty), by namespace and name."""
        with self.lock:
            held = self._objects.get(kind, {})
            keys = sorted(key for key in held if key[0] == namespace) if namespace else sorted(held)
            return [held[key] for key in keys]

    def all(self) -> Iterator[tuple[Key, Json]]:
        """Every object with its kind."""
        for kind, held in list(self._objects.items()):
            for obj in list(held.values()):
                yield kind, obj

    def put(self, kind: Key, obj: Json) -> Json:
        """Writes an object under the next resource version and logs the change.

        Args:
            obj: the whole object; its metadata is copied, everything else is shared.

        Returns:
            The object as stored.
        """
        with self.lock:
            self._version += 1
            metadata = dict(obj["metadata"], resourceVersion=str(self._version))
            stored = dict(obj, metadata=metadata)
            key = (metadata.get("namespace", ""), metadata["name"])
            before = self._objects.setdefault(kind, {}).get(key)
            self._objects[kind][key] = stored
            self._record(Change(self._version, kind, "MODIFIED" if before else "ADDED", stored, before))
            return stored

    def remove(self, kind: Key, namespace: str, name: str) -> Json | None:
        """Takes an object away and logs it; its last state carries the version of the removal."""
        with self.lock:
            obj = self._objects.get(kind, {}).pop((namespace, name), None)
            if obj is None:
                return None
            self._version += 1
            last = dict(obj, metadata=dict(obj["metadata"], resourceVersion=str(self._version)))
            self._record(Change(self._version, kind, "DELETED", last, obj))
            return last

    def since(self, version: int) -> list[Change]:
        """The changes after a resource version.

        Raises:
            ApiError: 410 if some of them are no longer held.
        """
        with self.lock:
            oldest = self._log[0].version if self._log else self._version + 1
            if version < oldest - 1:
                raise gone(version, oldest - 1)
            if version >= self._version:
                return []
            return [change for change in self._log if change.version > version]

    def next_pending(self) -> Change | None:
        """The oldest change that the controllers have not followed yet, taken off; None if there is none."""
        return self._pending.popleft() if self._pending else None

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` after every change, on the thread that made it."""
        with self.lock:
            self._listeners.add(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Stops the calls that :meth:`listen` began."""
        with self.lock:
            self._listeners.discard(listener)

    def wake(self) -> None:
        """Calls all listeners without a change, e.g. so that they see that the server shuts down."""
        for listener in list(self._listeners):
            listener()

    def _record(self, change: Change) -> None:
        self._log.append(change)
        self._pending.append(change)
        for listener in list(self._listeners):
            listener()
