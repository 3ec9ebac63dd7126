"""What CoAgent needs of a live system: read an object, list a prefix, put a guarded whole value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


class GuardFailed(TargetError):
    """The live value is none of those expected: somebody else has written. Nothing was changed.

    Args:
        key: The object.
        found: Its live value now, None where it does not exist.
    """

    code = "guard_failed"

    def __init__(self, key: Key, found: Value) -> None:
        super().__init__(f"{key!r} was changed by somebody outside the domain")
        self.key = key
        self.found = found


class Target(ABC):
    """One live system. Every method may be called concurrently; none may keep a lock between calls."""

    schemes: tuple[str, ...] = ()
    """The schemes of the keys it owns."""

    admits: ClassVar[bool] = False
    """Whether `admit` does anything, so that the runtime can skip it where it does not."""

    takes_many: ClassVar[bool] = False
    """Whether `put_many` is one transaction, so that changes which belong together need it."""

    deletes_first: ClassVar[bool] = False
    """Whether what is deleted may be in the way of what is written at the same time (a file, of a folder)."""

    volatile: tuple[str, ...] = ()
    """Those of its schemes that the environment owns (status, logs): always read live, never tracked."""

    def unseen(self, key: Key) -> bool:
        """Tell whether an object has no live value at all: it ends with the agent that wrote it."""
        return False

    def canonical(self, key: Key) -> Key:
        """Return the one name of the object that `key` names (the same object never has two names).

        Also called with prefixes, which end in `/` or are the bare `scheme:`.

        Raises:
            TargetError: The key is malformed or leaves the target; the message says how.
        """
        return key

    def literal(self, key: Key) -> Key:
        """Return the name of the object that `key` names by its words alone, where some names lead to others.

        Raises:
            TargetError: As for `canonical`.
        """
        return self.canonical(key)

    @abstractmethod
    async def get(self, key: Key) -> Value:
        """Return the live value of an object as new data, or None where it does not exist.

        Raises:
            TargetError: The system cannot be reached or refuses.
        """

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        """Return the live values of several objects; overridden where there is a faster way.

        An object that only a read of its own can explain (too large to be searched) may be left out.
        """
        return {key: await self.get(key) for key in keys}

    @abstractmethod
    async def list(self, prefix: str) -> Mapping[Key, Value]:
        """Return the live objects under a prefix: to values, or `UNLOADED` where that costs extra.

        Raises:
            TargetError: The system cannot be reached or refuses.
        """

    @abstractmethod
    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        """Make `value` the live value of the object (None deletes it), if the live value is an expected one.

        Idempotent: where the live value is already `value`, nothing is done and nothing is wrong.

        Args:
            key: A canonical key.
            value: The whole new value, or None.
            expected: Every value that the object may have now (None for absent).

        Raises:
            GuardFailed: The live value is neither `value` nor an expected one; nothing was changed.
            TargetError: The system cannot be reached or refuses the value; nothing was changed.
        """

    async def put_many(self, changes: Sequence[tuple[Key, Value, Sequence[Value]]]) -> None:
        """Make several changes (key, value, expected), all or none where `takes_many` says so.

        Raises:
            GuardFailed, TargetError: As for `put`; a TargetError may name the change in an attribute `key`.
        """
        for key, value, expected in changes:
            await self.put(key, value, expected=expected)

    async def admit(self, key: Key, value: Value) -> Value:
        """Return `value` as the system would store it, before anything is written (None: a deletion).

        Raises:
            TargetError: The system would refuse it; the message says why.
        """
        return value

    @abstractmethod
    def snapshot(self, prefix: str = "") -> dict[Key, Value]:
        """Return every live object under `prefix` with its value, for tests and audits.

        Not a coroutine, so that a test can call it anywhere; it may block on I/O.
        """

    async def close(self) -> None:  # noqa: B027 - most targets have nothing to release
        """Release connections. The default has none."""
