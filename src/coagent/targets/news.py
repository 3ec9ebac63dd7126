"""Objects that have changed, until somebody asks about a range that they are in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from coagent.protocol.keys import Key

ROUNDS_KEPT: Final = 5
"""A range is scanned first and asked about a moment later, so what is not asked for at once may still be."""
_KEYS_MAX = 50_000


class News:
    """Objects that have changed in ranges; each is handed out once."""

    def __init__(self) -> None:
        self._round = 0
        self._keys: dict[Key, int] = {}

    def add(self, keys: Iterable[Key]) -> None:
        """Take in objects that have changed."""
        for key in keys:
            self._keys.pop(key, None)
            self._keys[key] = self._round
        while len(self._keys) > _KEYS_MAX:
            del self._keys[next(iter(self._keys))]

    def take(self, prefixes: Collection[str]) -> set[Key]:
        """Return those under some prefixes; what nobody asks for a few times over is forgotten."""
        chosen = tuple(prefixes)
        self._round += 1
        found = {key for key in self._keys if key.startswith(chosen)}
        self._keys = {
            key: since
            for key, since in self._keys.items()
            if key not in found and since > self._round - ROUNDS_KEPT
        }
        return found

    def clear(self) -> None:
        """Forget all."""
        self._keys.clear()
