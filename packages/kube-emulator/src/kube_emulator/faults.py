"""Faults that tests inject: refusals, failing requests, delays."""

from __future__ import annotations

import threading
from typing import NamedTuple


class Rule(NamedTuple):
    """A refusal: of a verb (``*`` for all) on a kind (``*`` for all) in a namespace (empty for all)."""

    verb: str
    plural: str
    namespace: str


class Faults:
    """The faults in force; empty at first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forbidden: list[Rule] = []
        self._failing: list[int] = []
        self.latency = 0.0

    def forbid(self, verb: str = "*", plural: str = "*", namespace: str = "") -> None:
        """Answers 403 to a verb on a kind, until :meth:`clear`.

        Args:
            verb: ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete`` or
                ``deletecollection``; ``*`` for all.
            plural: the kind, e.g. ``pods``; ``*`` for all.
            namespace: only there; everywhere if empty.
        """
        with self._lock:
            self._forbidden.append(Rule(verb, plural, namespace))

    def fail_next(self, count: int = 1, code: int = 500, after: bool = False) -> None:
        """Answers ``code`` to the next requests for objects.

        Args:
            count: how many requests fail.
            code: the HTTP status, e.g. 429, 500, 503 or 504.
            after: whether the request is done before it fails, as when a reply is lost on its way.
        """
        with self._lock:
            self._failing += [-code if after else code] * count

    def clear(self) -> None:
        """Ends all faults."""
        with self._lock:
            self._forbidden.clear()
            self._failing.clear()
            self.latency = 0.0

    def forbids(self, verb: str, plural: str, namespace: str) -> bool:
        """Whether a refusal applies."""
        with self._lock:
            return any(
                rule.verb in ("*", verb)
                and rule.plural in ("*", plural)
                and rule.namespace in ("", namespace)
                for rule in self._forbidden
            )

    def take_failure(self) -> int:
        """The code that the next request fails with: 0 for none, negative if it fails only after its work."""
        if not self._failing:
            return 0
        with self._lock:
            return self._failing.pop(0) if self._failing else 0
