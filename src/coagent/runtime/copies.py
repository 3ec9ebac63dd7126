"""Hosts' own copies of what targets hold: each process brings that of its host to where the log is.

A process learns from the log which live values others have changed. No call runs on a copy that is behind
what this process knows; and as appending to the log compares its head, none is recorded on one that was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import anyio.to_thread

from coagent.errors import ConfigurationError, LogError, TargetError
from coagent.log.base import Log
from coagent.log.open import begun_with, open_reader
from coagent.log.urls import name_of, shown_url
from coagent.protocol.checkpoint import restore
from coagent.protocol.decisions import LiveChange
from coagent.protocol.events import Event, OutsideWrite
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.merging import distance
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.values import UNLOADED, Value, same
from coagent.runtime.clock import Clock
from coagent.runtime.recorder import Recorder, Replicate
from coagent.targets.base import Copy, Target

_KEPT_EVERY_S = 2.0
_ANEW = "It has gone back, or is another one: check out what its hosts began with anew, in an empty folder."


def checked_identities(targets: Sequence[Target], url: str) -> tuple[str, ...]:
    """Return what tells live systems from others; copies were begun with the same content as other hosts'.

    Args:
        targets: The live systems.
        url: The log that they are for.

    Raises:
        TargetError: One differs; the message names where.
    """
    if any(target.copy is not None for target in targets):
        begun = begun_with(url)
        for target in targets:
            if target.copy is not None:
                target.copy.check(() if begun is None else begun.targets)
    return tuple(target.identity for target in targets if target.identity)


def replicas_of(targets: Sequence[Target], log: Log) -> dict[str, Replicate]:
    """Return who takes over live values from a log, by scheme; nobody where only this process has it open."""
    return {
        scheme: target.replicate
        for target in targets
        for scheme in target.schemes
        if log.shared and target.replicate is not None
    }


class Copies:
    """This host's copies.

    Args:
        kernel: Knows what they should hold.
        recorder: Takes what somebody outside has changed there.
        targets: The live systems; those with a copy are served.
        clock: What time is measured by.
    """

    def __init__(self, kernel: Kernel, recorder: Recorder, targets: Sequence[Target], clock: Clock) -> None:
        self._kernel = kernel
        self._recorder = recorder
        self._targets = [target for target in targets if target.copy is not None]
        self._copies: list[Copy] = [target.copy for target in targets if target.copy is not None]
        self._in_memory = [one for one in targets if one.copy is None and one.replicate is not None]
        self._clock = clock
        self._kept_s = clock.now_s()
        self.any = bool(self._copies)
        """Whether there are any."""

    @property
    def behind(self) -> bool:
        """Whether one has yet to take what this process knows of."""
        return self.any and any(copy.behind for copy in self._copies)

    async def open(self, url: str, fresh: Callable[[], Mtpo]) -> None:
        """Take what the log holds, also what was before its last checkpoint, as far as the copies miss it.

        Args:
            url: The log.
            fresh: Returns a kernel that has taken nothing.

        Raises:
            ConfigurationError: Only this process can have the log open.
            LogError: It does not reach back so far, or not as far as the copies.
            TargetError: A copy holds what no host began with, or belongs to another log.
        """
        recorder = self._recorder
        if self.any and not recorder.log.shared:
            raise ConfigurationError(
                f"log {shown_url(url)!r} is no other host's, so nothing can be replicated",
                "Name a log on a PostgreSQL server, or leave `replicated` out.",
            )
        since = [
            (target, max(copy.number, 0)) for target, copy in zip(self._targets, self._copies, strict=True)
        ]
        # What is in the memory of a process begins anew with each, and a checkpoint does not hold all of it.
        since += [(target, 0) for target in self._in_memory if recorder.log.shared]
        for target, number in since:
            if number < recorder.taken:
                earlier = await anyio.to_thread.run_sync(
                    list, _changes_between(url, fresh(), number, recorder.taken)
                )
                for change in earlier:
                    if change.key.partition(":")[0] in target.schemes and target.replicate is not None:
                        target.replicate(*change)
        await recorder.catch_up()
        for copy in self._copies:
            await anyio.to_thread.run_sync(copy.begin, name_of(url))
            if copy.number > recorder.taken:
                raise LogError(
                    f"log {shown_url(url)!r} ends at {recorder.taken}, and this host's copy holds what was "
                    f"recorded up to {copy.number}",
                    _ANEW,
                )
            if copy.number > 0 and copy.chain and not await recorder.log.has(copy.number, copy.chain):
                raise LogError(
                    f"log {shown_url(url)!r} went another way than this host's copy, which holds what was "
                    f"recorded up to {copy.number}",
                    _ANEW,
                )

    async def bring(self) -> None:
        """Put what the copies have yet to take, as far as this process knows of it.

        Raises:
            TargetUnavailable: A copy cannot take something just now.
            TargetError: A copy will not take something.
            LogError: What somebody outside has changed cannot be recorded.
        """
        for target, copy in zip(self._targets, self._copies, strict=True):
            while copy.behind:
                for key, found in await copy.bring():
                    await self._found(target, key, found)

    async def _found(self, target: Target, key: Key, found: Value) -> None:
        """Take note of what somebody outside has changed in a copy that was behind."""
        copy, kernel = target.copy, self._kernel

        def decide() -> Event | None:
            lag = None if copy is None else copy.lag(key)
            if lag is None or any(same(found, one) for one in (lag.value, *lag.held)):
                return None  # another process of this host has put it, or told of it
            if kernel.base_known(key) and any(same(found, one) for one in kernel.may_hold(key)):
                assert target.replicate is not None, "what has a copy takes values from the log"
                target.replicate(key, lag.value, [found])
                return None
            return outside_write(kernel, target, key, found)

        await self._recorder.flush()
        await self._recorder.catch_up()
        if not await gives_way(kernel, target, key, found):
            await self._recorder.record(decide)

    async def keep(self, *, whatever: bool = False) -> None:
        """Keep how far the copies have come, now and then; what cannot be kept is looked at once more later.

        Args:
            whatever: Whether to do so however little time has passed.
        """
        if not self.any or not (whatever or self._clock.now_s() - self._kept_s > _KEPT_EVERY_S):
            return
        self._kept_s = self._clock.now_s()
        number, chain = self._recorder.taken, self._recorder.log.chain
        for copy in self._copies:
            if not copy.behind:
                with contextlib.suppress(TargetError):
                    await anyio.to_thread.run_sync(partial(copy.keep, number, chain))


async def gives_way(kernel: Kernel, target: Target, key: Key, found: Value) -> bool:
    """Have a copy take over what another host holds, where this one holds what all began with.

    Then it is the other host's copy that somebody has changed, before the log knew of the object.

    Raises:
        TargetUnavailable, TargetError: What it began with cannot be told.
    """
    copy = target.copy
    if copy is None or target.replicate is None or not await copy.stands_as_begun(key, found):
        return False
    lag = copy.lag(key)
    value = kernel.live_value(key) if lag is None else lag.value
    if value is UNLOADED or same(value, found):
        return False
    target.replicate(key, value, [found])
    return True


def outside_write(kernel: Kernel, target: Target, key: Key, found: Value) -> OutsideWrite:
    """Return the event of an outside write, seen perhaps in a copy that has yet to take the live value."""
    lag = None if target.copy is None else target.copy.lag(key)
    if lag is None:
        return OutsideWrite(key, found)
    saw = min(lag.held or [lag.value], key=lambda one: distance(one, found))
    if kernel.base_known(key) and any(same(saw, one) for one in kernel.may_hold(key)):
        return OutsideWrite(key, found)
    return OutsideWrite(key, found, (saw, lag.value))


def _changes_between(url: str, kernel: Mtpo, since: int, until: int) -> Iterator[LiveChange]:
    """Yield the live values that events after one, and up to another, have changed; perhaps earlier ones."""
    reader = open_reader(url)
    try:
        saved = reader.checkpoint(first=since + 1)
        if saved is not None:
            restore(kernel, saved.state)
        number = reader.head
        while number < until and (events := reader.read()):
            for event in events[: until - number]:
                kernel.step(event)
                yield from kernel.take_live_changes()
            number = reader.head
    finally:
        reader.close()
