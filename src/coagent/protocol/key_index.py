"""An ordered set of keys, for the question which keys lie under a prefix."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from coagent.protocol.keys import Key

_LOAD = 512


class KeyIndex:
    """Keys in order, in buckets of bounded size, so that adding one never shifts them all."""

    __slots__ = ("_buckets", "_firsts")

    def __init__(self) -> None:
        self._buckets: list[list[Key]] = []
        self._firsts: list[Key] = []

    def add(self, key: Key) -> None:
        """Add a key; adding one that is there changes nothing."""
        if not self._buckets:
            self._buckets.append([key])
            self._firsts.append(key)
            return
        at = max(bisect_left(self._firsts, key + "\0") - 1, 0)
        bucket = self._buckets[at]
        index = bisect_left(bucket, key)
        if index < len(bucket) and bucket[index] == key:
            return
        insort(bucket, key)
        self._firsts[at] = bucket[0]
        if len(bucket) > 2 * _LOAD:
            self._buckets[at : at + 1] = [bucket[:_LOAD], bucket[_LOAD:]]
            self._firsts[at : at + 1] = [bucket[0], bucket[_LOAD]]

    def discard(self, key: Key) -> bool:
        """Remove a key; False where it was not there."""
        if not self._buckets:
            return False
        at = max(bisect_left(self._firsts, key + "\0") - 1, 0)
        bucket = self._buckets[at]
        index = bisect_left(bucket, key)
        if index < len(bucket) and bucket[index] == key:
            del bucket[index]
            if bucket:
                self._firsts[at] = bucket[0]
            else:
                del self._buckets[at]
                del self._firsts[at]
            return True
        return False

    def under(self, prefix: str) -> Iterator[Key]:
        """Yield the keys that start with `prefix`, in order."""
        if not self._buckets:
            return
        at = max(bisect_left(self._firsts, prefix) - 1, 0)
        index = bisect_left(self._buckets[at], prefix)
        for bucket in self._buckets[at:]:
            for key in bucket[index:]:
                if not key.startswith(prefix):
                    return
                yield key
            index = 0
