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
        self._requests = self._changes = 0
        self.latency = 0.0
        self.throttle_every = 0
        """429 is the answer to every so many requests for objects (3: to each third one); 0 for none."""
        self.retry_after_s = 1
        """After how many seconds clients are told to try again."""
        self.conflict_every = 0
        """409 is the answer to every so many updates, as if somebody else had been faster; 0 for none."""

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
            self.throttle_every = self.conflict_every = 0

    def forbids(self, verb: str, plural: str, namespace: str) -> bool:
        """Whether a refusal applies."""
        with self._lock:
            return any(
                rule.verb in ("*", verb)
                and rule.plural in ("*", plural)
                and rule.namespace in ("", namespace)
                for rule in self._forbidden
            )

    def throttles(self) -> bool:
        """Whether the request that has come is one too many."""
        with self._lock:
            self._requests += 1
            return self.throttle_every > 0 and self._requests % self.throttle_every == 0

    def conflicts(self) -> bool:
        """Whether the update that has come meets somebody who was faster."""
        with self._lock:
            self._changes += 1
            return self.conflict_every > 0 and self._changes % self.conflict_every == 0

    def take_failure(self) -> int:
        """The code that the next request fails with: 0 for none, negative if it fails only after its work."""
        if not self._failing:
            return 0
        with self._lock:
            return self._failing.pop(0) if self._failing else 0
