"""Puts that arrive after what they were for is over.

A process may be stopped, or be slow, between the log and a target. Meanwhile others take its agent's write
back, and the target holds again what was there before: then the put finds what it expects, and the target
holds what the log does not. Asking the log just before a put makes that rare; a put cannot ask and put in one
step. So whether it was late is asked when its acknowledgement is to be recorded: appending to the log
compares its head, so by then this process knows whatever had come before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value


@dataclass(eq=False)
class LatePut:
    """A put that may have arrived after another value had taken its place.

    Args:
        key: The object.
        value: What was put.
        instead: What is to be there by now, as the log tells: it is kept up to date until that is seen to.
    """

    key: Key
    value: Value
    instead: Value


class LatePuts:
    """Knows of each put whether its object was to hold something else before it was recorded."""

    def __init__(self) -> None:
        self._put: dict[Key, tuple[int, Value]] = {}
        self._instead: dict[Key, Value] = {}
        self._late: list[LatePut] = []
        self.on_late: Callable[[LatePut], None] = lambda late: None
        """Called with each put that may have been late."""

    def begin(self, key: Key, version: int, value: Value) -> None:
        """Note that a value is about to be put."""
        self._put[key] = version, value
        self._instead.pop(key, None)

    def is_to_hold(self, key: Key, value: Value) -> None:
        """Hear that an object is to hold another value from now on."""
        if key in self._put:
            self._instead[key] = value

    def follow(self, live: Callable[[Key], Value]) -> None:
        """Keep up to date what is to be there instead of what came late.

        Once an object has been forgotten, nobody can tell any more.

        Args:
            live: Returns what an object is to hold, as the log tells; `UNLOADED` where nobody knows.
        """
        for late in self._late:
            if (value := live(late.key)) is not UNLOADED:
                late.instead = value

    def was_late(self, key: Key, version: int) -> bool:
        """Tell whether a put was for something that is over by the time its arrival is to be recorded."""
        return key in self._instead and self._put[key][0] == version

    def arrived(self, key: Key, version: int, *, late: bool) -> None:
        """Note that it has been recorded that a value arrived; or, where it may have been late, not."""
        put = self._put.get(key)
        if put is None or put[0] != version:
            return
        del self._put[key]
        instead = self._instead.pop(key, None)
        if late:
            self._late.append(LatePut(key, put[1], instead))
            self.on_late(self._late[-1])

    def seen_to(self, late: LatePut) -> None:
        """Note that what a late put has left is as it is to be."""
        if late in self._late:
            self._late.remove(late)
