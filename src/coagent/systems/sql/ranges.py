"""Which rows of scanned tables others have changed: a table is compared with itself a while ago."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.systems.sql.session import SqlSession

ROWS_MAX = 5_000
"""Larger tables are not compared: reading them once a second would cost too much."""
_RANGES_MAX = 64


class _Range(NamedTuple):
    """Objects as they were: a number for each that is something else when its value is."""

    stamp: object
    numbers: Mapping[Key, int]


class SqlRanges:
    """The tables that agents have scanned.

    Args:
        count: Returns how many objects there are under a prefix, counting no more than a given number.
        read: Returns the objects under a prefix.
    """

    def __init__(
        self,
        count: Callable[[SqlSession, str, int], int],
        read: Callable[[SqlSession, str], Mapping[Key, Value]],
    ) -> None:
        self._count = count
        self._read = read
        self._watching = False
        self._known: dict[str, _Range] = {}
        self._lock = threading.Lock()

    def listed(self, prefix: str, stamp: object, values: Mapping[Key, Value]) -> None:
        """Take note of what was under a prefix, once anybody has asked for changes.

        An earlier listing stays the one that `changed` compares with: somebody may rest on that.

        Args:
            prefix: The range.
            stamp: What tells that the database is still the same; None where nothing does.
            values: The objects.
        """
        if self._watching and prefix not in self._known and len(values) <= ROWS_MAX:
            self._note(prefix, stamp, values)

    def begin(self) -> None:
        """Take note of listings from now on."""
        self._watching = True

    def suspect(self, prefixes: Collection[str], stamp: object) -> list[str]:
        """Return those prefixes under which something may have changed."""
        return [
            prefix
            for prefix in prefixes
            if stamp is None or prefix not in self._known or self._known[prefix].stamp != stamp
        ]

    def changed(self, session: SqlSession, prefixes: Collection[str], stamp: object) -> dict[Key, Value]:
        """Return the objects under some prefixes that are not as they were when those were looked at last.

        Args:
            session: Reads them.
            prefixes: The ranges.
            stamp: What will tell that the database is still the same.
        """
        changed: dict[Key, Value] = {}
        for prefix in prefixes:
            if self._count(session, prefix, ROWS_MAX + 1) > ROWS_MAX:
                continue
            before = self._known.get(prefix)
            values = self._read(session, prefix)
            now = self._note(prefix, stamp, values)
            if before is not None:
                changed.update(
                    {
                        key: values.get(key)
                        for key in before.numbers.keys() | now.keys()
                        if before.numbers.get(key) != now.get(key)
                    }
                )
        return changed

    def _note(self, prefix: str, stamp: object, values: Mapping[Key, Value]) -> Mapping[Key, int]:
        numbers = {key: hash(repr(value)) for key, value in values.items()}
        with self._lock:
            self._known.pop(prefix, None)
            self._known[prefix] = _Range(stamp, numbers)
            while len(self._known) > _RANGES_MAX:
                self._known.pop(next(iter(self._known)))
        return numbers
