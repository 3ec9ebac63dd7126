"""Puts that arrive after what they were for is over.

A process may be stopped, or be slow, between the log and a target. Meanwhile others take its agent's write
back, and the target holds again what was there before: then the put finds what it expects, and the target
holds what the log does not. Asking the log just before a put makes that rare; a put cannot ask and put in one
step. So whether it was late is asked when its acknowledgement is to be recorded: appending to the log
compares its head, so by then this process knows whatever had come before.

Until then others may find what it has left. They know from the log that it was to be there, and that it is
not any more: so it is nobody's from outside (rule 9), and they put it right themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from coagent.protocol.keys import Key, scheme_of
from coagent.protocol.values import UNLOADED, Value, same
from coagent.runtime.tenure import LEASE_S

OVER_S = 4 * LEASE_S
"""For how long, in seconds, what was to be there and is over may still be put: a process that stands still
for longer, right between the log's last word and a target, has lost its lease several times over."""


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


class _Wanted(NamedTuple):
    """What an object was to hold from some time on; `put`: by a put, and not since it was found there."""

    since_s: float
    value: Value
    put: bool


class LatePuts:
    """Knows of each put whether its object was to hold something else before it was recorded.

    Args:
        now_s: What time is measured by.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._put: dict[Key, tuple[int, Value]] = {}
        self._instead: dict[Key, Value] = {}
        self._late: list[LatePut] = []
        self._wanted: dict[Key, list[_Wanted]] = {}  # by object, that of the last change last
        self.schemes: frozenset[str] = frozenset()
        """Of the objects that processes share, and where puts of others may be late."""
        self.on_late: Callable[[LatePut], None] = lambda late: None
        """Called with each put that may have been late."""

    def begin(self, key: Key, version: int, value: Value) -> None:
        """Note that a value is about to be put."""
        self._put[key] = version, value
        self._instead.pop(key, None)

    def is_to_hold(self, key: Key, value: Value, *, found: bool) -> None:
        """Hear that an object is to hold another value from now on.

        Args:
            key: The object.
            value: The value.
            found: Whether it was found there, so that nobody has to put it.
        """
        if key in self._put:
            self._instead[key] = value
        if self.schemes and scheme_of(key) in self.schemes:
            now_s = self._now_s()
            wanted = [*self._wanted.pop(key, ()), _Wanted(now_s, value, not found)]
            over = [one for one, instead in pairwise(wanted) if instead.since_s >= now_s - OVER_S]
            self._wanted[key] = [*over, wanted[-1]]
            self._forget_before(now_s - OVER_S)

    def _forget_before(self, time_s: float) -> None:
        """Forget what nobody may be putting any more."""
        while self._wanted and (oldest := next(iter(self._wanted.items())))[1][-1].since_s < time_s:
            del self._wanted[oldest[0]]

    def last_wanted(self, key: Key, otherwise: Value) -> Value:
        """Return what the log says last that an object is to hold; `otherwise` where that is too long ago."""
        wanted = self._wanted.get(key)
        return otherwise if wanted is None else wanted[-1].value

    def left(self, key: Key, found: Value) -> LatePut | None:
        """Return the late put that may have left what was found in an object; None where none can have.

        None also where that is what the object is to hold by the last word of the log on it.
        """
        wanted = self._wanted.get(key)
        if wanted is None or same(found, wanted[-1].value):
            return None
        time_s = self._now_s() - OVER_S
        for one, instead in pairwise(wanted):
            if one.put and instead.since_s >= time_s and same(found, one.value):
                return LatePut(key, found, wanted[-1].value)
        return None

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
