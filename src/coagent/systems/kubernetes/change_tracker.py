"""Which objects of a cluster others have changed: what was read and put, compared with what watches tell."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any, Final

from coagent.errors import TargetUnavailable
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.systems.kubernetes.server import Server
from coagent.systems.kubernetes.watch import Heard, Scope, WatchedRange, newer
from coagent.targets.news import News
from coagent.targets.stamps import ReadCache

SCOPES_MAX: Final = 16
"""Each takes a thread and a connection; objects of further kinds and namespaces are read instead."""
_IDLE_S = 60.0
_WAIT_S_MAX = 2.0
_JOIN_S_MAX = 2.0
_POLLS = 10


class ChangeTracker:
    """The objects that were read or put through one target, and the watches over them.

    Args:
        server: The API server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cache = ReadCache()
        self._stale: set[Key] = set()
        self._news = News()
        self._scopes: OrderedDict[WatchedRange, Scope] = OrderedDict()
        self._asked: dict[WatchedRange, float] = {}
        self._round = 0
        self._lock = threading.RLock()

    def note(self, key: Key, place: WatchedRange, version: str | None, value: Value) -> Value:
        """Take note of an object that was read or put, and return its value.

        Args:
            key: The object.
            place: Its kind and namespace.
            version: Its resource version; None where it is not there.
            value: Its value.
        """
        with self._lock:
            scope = self._scopes.get(place)
            if scope is None or not scope.version or _agrees(scope, key, version):
                self._stale.discard(key)
            else:
                self._stale.add(key)
            return self._cache.note(key, version, value, sure=True)

    def forget(self, key: Key) -> None:
        """Know no longer how an object was."""
        with self._lock:
            self._cache.forget(key)
            self._stale.discard(key)

    def note_listing(self, place: WatchedRange, items: Collection[dict[str, Any]]) -> None:
        """Take note of what was there when a range was listed, once anybody has asked for changes."""
        if self._round:
            self._scope(place, items)

    def unchanged(self, key: Key, place: WatchedRange) -> bool:
        """Tell whether an object is as it was noted, as far as is known without asking."""
        scope = self._scope(place)
        if scope is None or not scope.healthy:
            return False
        return key not in self._stale and self._cache.find(key) is not None

    def changed(
        self, keys: Mapping[Key, WatchedRange], prefixes: Mapping[str, WatchedRange | None]
    ) -> set[Key]:
        """Return objects that have changed, or may have where no watch tells.

        Args:
            keys: Objects, with their places.
            prefixes: Ranges, with their places where they lie within one.

        Raises:
            TargetUnavailable: The server cannot be reached.
        """
        self._round += 1
        places = dict.fromkeys([*keys.values(), *(place for place in prefixes.values() if place)])
        scopes = {place: self._scope(place) for place in places}
        deadline = time.monotonic() + _WAIT_S_MAX
        for scope in scopes.values():
            if scope is not None:
                scope.wait(max(0.0, deadline - time.monotonic()))
        there = [scope for scope in scopes.values() if scope is not None]
        away = [scope.failure for scope in there if isinstance(scope.failure, TargetUnavailable)]
        if away and not any(scope.healthy for scope in there):
            raise away[0]
        found = {
            key
            for key, place in keys.items()
            if not self.unchanged(key, place) and self._worth_reading(scopes[place])
        }
        with self._lock:
            return found | self._news.take(prefixes)

    def close(self) -> None:
        """End all watches."""
        with self._lock:
            scopes = list(self._scopes.values())
            self._scopes.clear()
            self._asked.clear()
        for scope in scopes:
            scope.stop()
        for scope in scopes:
            scope.join(_JOIN_S_MAX)

    def _worth_reading(self, scope: Scope | None) -> bool:
        """Tell whether an object is to be read now: those that cannot be watched are read now and then."""
        if scope is None or (scope.failure is not None and not isinstance(scope.failure, TargetUnavailable)):
            return self._round % _POLLS == 0
        return True

    def _scope(self, place: WatchedRange, items: Collection[dict[str, Any]] | None = None) -> Scope | None:
        """Return the watch over a place, begun where it is not there; None where there are too many.

        Args:
            place: The kind and namespace.
            items: What was there a moment ago, where that is known: a new watch is compared with it.
        """
        now = time.monotonic()
        with self._lock:
            scope = self._scopes.get(place)
            if scope is None:
                if len(self._scopes) >= SCOPES_MAX:
                    oldest = next(iter(self._scopes))
                    if self._asked[oldest] > now - _IDLE_S:
                        return None
                    self._scopes.pop(oldest).stop()
                scope = self._scopes[place] = Scope(
                    self._server, place, self._hear, self._hear_all, self._lock
                )
                scope.start(items)
            else:
                self._scopes.move_to_end(place)
            self._asked[place] = now
            return scope

    def _hear(self, heard: Heard) -> None:
        key, version = heard.key, heard.version
        noted = self._cache.find(key)
        if noted is not None:
            if same(noted.value, heard.value):
                stamp = None if heard.value is None else version
                self._cache.note(key, stamp, heard.value, sure=True)
                self._stale.discard(key)
            elif noted.stamp is None or newer(version, str(noted.stamp)):
                self._stale.add(key)
        numbers = [state and state.number for state in (heard.before, heard.now)]
        if numbers[0] != numbers[1]:
            self._news.add([key])

    def _hear_all(self, scope: Scope) -> None:
        """Find what has gone before the watch began: nobody will tell of it any more."""
        for key in filter(scope.covers, self._cache.objects()):
            noted = self._cache.find(key)
            if noted and noted.stamp is not None and not _agrees(scope, key, str(noted.stamp)):
                self._stale.add(key)


def _agrees(scope: Scope, key: Key, version: str | None) -> bool:
    """Tell whether an object as it was read or put is not older than what its watch knows.

    Watches are late. Where version 7 has just been put, and the watch knows 5 still, 5 and 6 are news of
    before: they must not make the object look changed. Where 5 was read by a slow request, and the watch
    has told of 6 meanwhile, it is stale from the start.
    """
    known = scope.known.get(key)
    if version is None:
        return known is None
    if known is None:  # it is still to be heard of, or has gone
        return newer(version, scope.version)
    return known.version == version or newer(version, known.version)
