"""What CoAgent needs of a live system: read an object, list a prefix, put a guarded whole value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar, NamedTuple, Protocol, TypeAlias

import anyio.from_thread

from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value

Before: TypeAlias = Callable[[], Awaitable[Value]]
"""Returns what an object held just before a call wrote it, at the call's own place in the order."""


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


class NotWanted(Exception):
    """What was about to be put is not to be there any more: the log has moved on. Nothing was changed."""


class MustWait(Exception):
    """Whether something is still wanted cannot be told at once."""


class LastWord(Protocol):
    """Knows whether what is about to be put is still wanted."""

    def at_once(self) -> bool | None:
        """Tell it without waiting for anybody; None where that cannot be."""

    async def ask(self) -> bool:
        """Tell it as exactly as can be."""


_last_word: ContextVar[LastWord | None] = ContextVar("coagent_last_word", default=None)


@contextmanager
def last_word_of(one: LastWord) -> Iterator[None]:
    """Have puts within ask whether what they put is still wanted, as late as their targets can."""
    token = _last_word.set(one)
    try:
        yield
    finally:
        _last_word.reset(token)


def require_wanted(*, in_thread: bool) -> None:
    """Ask within a put whether it is still wanted, once nobody of the domain can come between.

    A process may be stopped for an hour at any step. So this is asked where the others are kept away (under
    the lock of a folder, in a transaction that has locked its rows), or where what they do meanwhile makes
    the put fail (after a version was read that it is compared with).

    Args:
        in_thread: Whether the caller runs in a worker thread, and so may wait.

    Raises:
        NotWanted: It is not.
        MustWait: Only a thread can tell.
    """
    one = _last_word.get()
    if one is None:
        return
    wanted = anyio.from_thread.run(_asked, one) if in_thread else one.at_once()
    if wanted is None:
        raise MustWait
    if not wanted:
        raise NotWanted


async def _asked(one: LastWord) -> bool:
    _last_word.set(None)  # what is learned thereby may lead to other puts
    return await one.ask()


class Lag(NamedTuple):
    """What a copy has yet to take of one object.

    Args:
        value: What it is to hold.
        held: Every value that it may hold until then.
    """

    value: Value
    held: list[Value]


class Copy(ABC):
    """A host's own copy of what a target holds on several: the log has the values, each host puts them."""

    @property
    @abstractmethod
    def behind(self) -> bool:
        """Whether it has yet to take something."""

    @abstractmethod
    def lag(self, key: Key) -> Lag | None:
        """Return what it has yet to take of an object; None where it holds what it should."""

    @abstractmethod
    async def bring(self) -> list[tuple[Key, Value]]:
        """Put what it has yet to take, guarded by what it held before.

        Returns:
            The objects that somebody outside has changed, with what they hold; nothing was put there.

        Raises:
            TargetUnavailable: It cannot take something just now; all else was put.
            TargetError: It will not take something; all else was put.
        """

    @abstractmethod
    async def stands_as_begun(self, key: Key, found: Value) -> bool:
        """Tell whether an object is in this copy as all hosts began with it, so that nobody has changed it.

        Args:
            key: The object.
            found: What the copy holds. False where nothing is known of what the hosts began with.

        Raises:
            TargetUnavailable, TargetError: That cannot be told.
        """

    @property
    @abstractmethod
    def number(self) -> int:
        """Up to which event of the log it holds everything, as it was kept last; -1: it was never in use."""

    @property
    @abstractmethod
    def chain(self) -> int:
        """What told that event and those before it from others, as it was kept with it; 0: nothing was."""

    @abstractmethod
    def check(self, identities: Sequence[str]) -> None:
        """Refuse a copy that was not begun with the same content as the others. Nothing is written.

        Args:
            identities: Those with which the log was begun; none for a new one.

        Raises:
            TargetError: It differs; the message names where.
        """

    @abstractmethod
    def begin(self, log: str) -> None:
        """Take the copy into use for a log, if it is not yet: from then on it is brought to where that is.

        Args:
            log: What the log is known by on every host.

        Raises:
            TargetError: It holds already what others have not begun with; the message names where. Nothing
                was written. Or it belongs to another log.
        """

    @abstractmethod
    def keep(self, number: int, chain: int) -> None:
        """Keep up to which event it holds everything, once that is sure to survive; may block on I/O.

        Args:
            number: Of the event.
            chain: What tells it and those before it from others.
        """


class Target(ABC):
    """One live system. Every method may be called concurrently; none may keep a lock between calls."""

    schemes: tuple[str, ...] = ()
    """The schemes of the keys it owns."""

    admits: ClassVar[bool] = False
    """Whether `admit` does anything, so that the runtime can skip it where it does not."""

    takes_many: ClassVar[bool] = False
    """Whether `put_many` is one transaction, so that changes which belong together need it."""

    instant: ClassVar[bool] = False
    """Whether `get` and `put` answer at once and are never away, so that nobody need wait for them."""

    asks_last: ClassVar[bool] = False
    """Whether `put` asks where nobody can come between whether it is still wanted (`require_wanted`).

    Then no put is ever late. Where it does not ask, what agents have written and had taken back a short while
    ago is put right where it is found, and taken for no outsider's word.
    """

    volatile: tuple[str, ...] = ()
    """Those of its schemes that the environment owns (status, logs): always read live, never tracked."""

    @property
    def identity(self) -> str:
        """What tells this live system from others of its kind, without asking it: a path, a server.

        A log remembers it and is not opened over another system. Empty: any system will do (memory). It holds
        no secrets: it is written down and shown. Where there is a `#` in it, what stands before the last one
        and what stands after it each tell by themselves (the path of a folder, and its inode, which survives
        that somebody moves the folder): two identities of which one half is equal mean one system.
        """
        return ""

    def unchanged(self, key: Key) -> bool:
        """Tell at once whether an object is for sure as it was when last read or put through this target.

        Asked at every touch of an object that agents have read or written, so it must cost next to nothing
        (a look at a file's times, at what a watch has reported). False where it cannot be told like that:
        then the object is read.

        "Read" means by `get` or `get_many`: what those return must be compared with what was known before,
        since this method then speaks of the value that they returned. `list`, `snapshot` and `changed` are no
        reads in that sense.
        """
        return False

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        """Return objects that others may have changed since they were last read or put through this target.

        Asked about once a second while agents are at work. What it returns is read again and compared; what
        it misses is seen when somebody touches the object, and before a commit rests on it. The default
        names each of `keys` that is not `unchanged`. Some of what it returns may turn out to be as it was.

        The first question may begin a watch, and ranges are watched from the `list` that follows it (or else
        from the question that first names them): so ask once, with nothing, before agents read.

        Args:
            keys: Objects that agents have read or written. One that has changed is returned each time until
                it is read.
            prefixes: Ranges that agents have scanned: objects that came, went or changed in them are asked
                for too, as far as the target can tell without a full listing. These are returned once.

        Raises:
            TargetUnavailable: The system cannot be reached just now.
        """
        return [key for key in keys if not self.unchanged(key)]

    def entangled(self, key: Key, others: Collection[Key]) -> bool:
        """Tell whether an object can only be put once it is known what becomes of some others.

        Asked where calls have to run again that wrote the others: a file cannot be where a folder still is,
        and a row may refer to another one.

        Args:
            key: The object.
            others: Objects of this target that have no final value yet.
        """
        return False

    def precedence(self, key: Key, value: Value) -> int:
        """Return when an object is put, among those that are put one after another: lower ones come first.

        What is deleted may be in the way of what is written (a file, of a folder), and objects may need
        others to be there (a namespace, a definition).
        """
        return 0

    def unseen(self, key: Key) -> bool:
        """Tell whether an object has no live value at all: it ends with the agent that wrote it."""
        return False

    def canonical(self, key: str) -> Key:
        """Return the one name of the object that `key` names (the same object never has two names).

        Also called with prefixes, which end in `/` or are the bare `scheme:`.

        Raises:
            TargetError: The key is malformed or leaves the target; the message says how.
        """
        return key  # type: ignore[return-value]  # `Key` would cost a call for each read and write

    def literal(self, key: str) -> Key:
        """Return the name of the object that `key` names by its words alone, where some names lead to others.

        Raises:
            TargetError: As for `canonical`.
        """
        return self.canonical(key)

    replicate: Callable[[Key, Value, Sequence[Value]], None] | None = None
    """Takes over a live value from the log, where every process has its own copy of what the target holds.

    It is told the key, the value, and every value that there may have been just before.
    """

    copy: Copy | None = None
    """What knows how far this host's copy has come, where that is on disk and needs time to take a value."""

    @abstractmethod
    async def get(self, key: Key) -> Value:
        """Return the live value of an object, or None where it does not exist.

        Never changed in place by anybody: the target may return the same data again.

        Raises:
            TargetUnavailable: The system cannot be reached, or does not answer in time.
            TargetError: It refuses.
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
            TargetUnavailable, TargetError: As for `get`.
        """

    @abstractmethod
    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        """Make `value` the live value of the object (None deletes it), if the live value is an expected one.

        Idempotent: where the live value is already `value`, nothing is done and nothing is wrong. What
        somebody else writes between comparison and put must not be lost: both are done in one
        step where the system can do that, and otherwise found afterwards and reported as `GuardFailed`.

        A target that can keep others away while it compares and puts, or notice them, asks in between whether
        the put is still wanted (`require_wanted`). Where it does not, a process that was stopped just there
        puts what is over; that is put right once it tells the log.

        Args:
            key: A canonical key.
            value: The whole new value, or None.
            expected: Every value that the object may have now (None for absent).

        Raises:
            GuardFailed: The live value is neither `value` nor an expected one; nothing was changed.
            TargetUnavailable: The system cannot be reached or is locked, or it cannot be told whether the
                value has arrived: the same put will be tried again.
            TargetError: The system refuses the value for good; nothing was changed.
        """

    async def put_many(self, changes: Sequence[tuple[Key, Value, Sequence[Value]]]) -> None:
        """Make several changes (key, value, expected), all or none where `takes_many` says so.

        Raises:
            GuardFailed, TargetError: As for `put`; a TargetError may name the change in an attribute `key`.
        """
        for key, value, expected in changes:
            await self.put(key, value, expected=expected)

    async def admit(self, key: Key, value: Value, before: Before | None = None) -> Value:
        """Return `value` as the system would store it, before anything is written (None: a deletion).

        The live object may hold the work of later agents already. What a call may do is judged by what the
        object held just before it, at its own place in the order, and by nothing that comes after.

        Args:
            key: The object.
            value: What is to be written.
            before: Tells what it held there; None: what it holds now.

        Raises:
            TargetError: The system would refuse it; the message says why.
        """
        return value

    async def tidy(self, keys: Collection[Key]) -> None:  # noqa: B027 - most targets leave nothing
        """Remove what processes that have died left half done where they may have been putting some objects.

        What somebody outside had saved there at that moment comes back. What is left elsewhere is seen to
        when it is met.

        Raises:
            TargetUnavailable: That cannot be done just now.
        """

    @abstractmethod
    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        """Return every live object under `prefix` with its value, for tests and audits.

        Not a coroutine, so that a test can call it anywhere; it may block on I/O.
        """

    @property
    def keeps(self) -> bool:
        """Whether it keeps something beside the live state, which is of no use once all agents have ended."""
        return False

    def settled(self) -> None:  # noqa: B027 - most targets keep nothing
        """Let go of that: every agent has ended. May block on I/O."""

    async def close(self) -> None:  # noqa: B027 - most targets have nothing to release
        """Release connections, watches, threads. May be called twice; a later use opens them again."""
