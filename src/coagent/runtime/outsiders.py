"""Notices what somebody outside the domain has changed: a person, a controller, another program (rule 9).

It is seen when an agent touches the object, when a target's watch reports it, and at the latest before a
commit rests on it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.calls import Call
from coagent.protocol.events import Event, OutsideWrite
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key, Scan
from coagent.protocol.participants import Participant
from coagent.protocol.values import UNLOADED, Traced, Value, same
from coagent.runtime.copies import gives_way, outside_write
from coagent.runtime.patience import Patience
from coagent.runtime.reader import PositionReader, Sources, Targets
from coagent.runtime.recorder import Recorder
from coagent.targets.base import Target

_Listings: TypeAlias = dict[tuple[str, str], tuple[int, Mapping[Key, Value]]]
"""A call's id and a prefix: the kernel's steps when that was listed for it, and what was there."""


class Outsiders:
    """Compares what targets hold with what they should hold.

    Args:
        kernel: Knows what they should hold.
        recorder: Takes what was found.
        targets: The live systems.
        patience: With those that are away.
        takes_back: `async def (key, found)`: puts right what was put too late, and tells whether it was that.
        spares: Tell of an object whether somebody of the domain is changing it by other means just now.
    """

    def __init__(
        self,
        kernel: Kernel,
        recorder: Recorder,
        targets: Targets,
        patience: Patience,
        takes_back: Callable[[Key, Value], Awaitable[bool]],
        spares: Sequence[Callable[[Key], bool]] = (),
    ) -> None:
        self._kernel = kernel
        self._recorder = recorder
        self._targets = targets
        self._patience = patience
        self._takes_back = takes_back
        self._spares = spares
        self.sources = Sources(
            kernel, targets, self.look, takes_back, patience, partial(recorder.freshen, now=True)
        )
        """Where runs read from, looking at what may have been changed."""

    async def look(self, key: Key) -> bool:
        """Take note of an outside write to an object that agents have read or written, if there was one.

        Returns:
            Whether there was one.

        Raises:
            TargetUnavailable, TargetError: The object cannot be read.
        """
        with self._looking_at(key):
            return await self._look(key)

    @contextmanager
    def _looking_at(self, key: Key) -> Iterator[None]:
        """Note that nobody can be sure of an object that could not be looked at to the end.

        Its target tells once that it may have been changed; the log may be lost before that is recorded.
        What its target refuses to show is left until it tells again.
        """
        try:
            yield
        except BaseException as failure:
            refused = isinstance(failure, TargetError) and not isinstance(failure, TargetUnavailable)
            (self.sources.unsure.discard if refused else self.sources.unsure.add)(key)
            raise
        self.sources.unsure.discard(key)

    async def _look(self, key: Key) -> bool:
        kernel, target = self._kernel, self._targets.of(key)
        if target.unseen(key) or key in kernel.stuck or self._is_spared(key):
            return False
        while kernel.base_known(key):
            # What was on its way before the look may be found by it, also if it is acknowledged meanwhile.
            version, before = kernel.version(key), kernel.may_hold(key)
            try:
                found = await target.get(key)
            except TargetUnavailable as failure:
                found = await self._patience.retry(lambda: target.get(key), failure)
            if _among(found, before):
                return False
            await self._recorder.flush()  # what has arrived before is what somebody outside has changed
            await self._recorder.catch_up()
            if not kernel.base_known(key) or _among(found, kernel.may_hold(key)):
                return False
            if kernel.version(key) == version and not await self._takes_back(key, found):
                return await self._found(key, found, version)
        return False

    async def _found(self, key: Key, found: Value, version: int) -> bool:
        kernel = self._kernel

        def decide() -> Event | None:
            if not kernel.base_known(key) or _among(found, kernel.may_hold(key)):
                return None
            return (
                outside_write(kernel, self._targets.of(key), key, found)
                if kernel.version(key) == version
                else None
            )

        if await gives_way(kernel, self._targets.of(key), key, found):
            return False
        steps = kernel.steps
        await self._recorder.record(decide)
        return kernel.steps != steps

    async def look_at_premises(self, agent: Participant) -> bool:
        """Look at everything that an agent has read, scanned or written, before its commit rests on it.

        Returns:
            Whether somebody outside had changed some of it.

        Raises:
            TargetUnavailable, TargetError: Something cannot be read.
        """
        calls = [call for call in agent.calls.values() if not call.declared]
        keys = dict.fromkeys(key for call in calls for key, _ in call.seen.reads)
        keys.update(dict.fromkeys(key for call in calls for key in call.writes))
        changed = False
        for key in keys:
            if not self._kernel.base_known(key):
                changed = await self.look_at_untracked(key) or changed
            elif not self.sources.unchanged(key, self._targets.of(key)):
                changed = await self.look(key) or changed
        scans = {scan: (call, seen) for call in calls for scan, seen in call.seen.scans.items()}
        looked_at: dict[Target, list[str]] = {}
        listings: _Listings = {}
        for scan, (call, seen) in scans.items():
            if isinstance(scan.selector, Traced):
                looked_at.setdefault(self._targets.of(scan.prefix), []).append(scan.prefix)
            else:
                changed = await self._look_at_scan(call, scan, seen, listings) or changed
        for target, prefixes in looked_at.items():
            # Nobody knows how what a program looked at was: watches tell, of all of it at once.
            changed = await self._look_around_in(target, [], prefixes) or changed
        return changed

    async def _look_at_scan(self, call: Call, scan: Scan, seen: Value, listings: _Listings) -> bool:
        """Look for objects that came, went or changed in a range since a call scanned it.

        Args:
            call: The call.
            scan: What it scanned.
            seen: What it saw.
            listings: What was listed for scans before this one: a call that writes many rows scans their
                table for each of them.
        """
        reader = self._reader(call)
        steps, listing = listings.get((call.id, scan.prefix), (-1, {}))
        if steps != self._kernel.steps:
            listing = await reader.keys(scan.prefix)
            listings[call.id, scan.prefix] = self._kernel.steps, listing
        covered = [key for key in {*listing, *seen} if scan.covers(key) and not self._kernel.base_known(key)]
        if scan.selector is None:
            suspects = [key for key in covered if (key in listing) != (key in seen)]
        else:
            values = {
                **listing,
                **await reader.load([key for key in covered if listing.get(key) is UNLOADED]),
            }
            suspects = [
                key
                for key in covered
                if values.get(key) is not UNLOADED
                and not same(scan.selector.of(values.get(key)) or None, seen.get(key))
            ]
        changed = False
        for key in sorted(suspects):
            changed = await self.look_at_untracked(key) or changed
        return changed

    async def look_at(self, key: Key) -> bool:
        """Look at an object as `look` does, or as is done at those of which agents know only parts."""
        return await (self.look(key) if self._kernel.base_known(key) else self.look_at_unknown(key))

    async def claim(self, key: Key, person: str) -> Value:
        """Record what there is of an object as a person's, also where nobody at work has touched it.

        Others may have found it before, or expect it there: then the record says no more than whose it is.

        Returns:
            What there is.

        Raises:
            TargetUnavailable, TargetError: The object cannot be read.
        """
        kernel, target = self._kernel, self._targets.of(key)
        await self._recorder.flush()
        await self._recorder.catch_up()
        found = await target.get(key)
        await self._recorder.record(lambda: outside_write(kernel, target, key, found)._replace(person=person))
        return found

    async def look_at_unknown(self, key: Key) -> bool:
        """Look at an object of which agents know only parts, or its range, as `look` does at others."""
        changed = await self._look_around_in(self._targets.of(key), [], [key])
        return await self.look_at_untracked(key, has_changed=False) or changed

    async def look_at_untracked(self, key: Key, *, has_changed: bool = True) -> bool:
        """Take note of an object of which agents know only parts, or its range, if they saw it otherwise.

        Args:
            key: The object.
            has_changed: Whether its target has told that it has changed, or may have.
        """
        with self._looking_at(key):
            return await self._look_at_untracked(key, has_changed)

    async def _look_at_untracked(self, key: Key, has_changed: bool) -> bool:
        target = self._targets.of(key)
        if self._is_spared(key):
            return False
        try:
            value = await target.get(key)
        except TargetUnavailable as failure:
            value = await self._patience.retry(lambda: target.get(key), failure)
        if await self._takes_back(key, value):
            return False

        def decide() -> Event | None:
            concerned = self._kernel.concerns_a_premise(key, value, has_changed=has_changed)
            return OutsideWrite(key, value) if concerned else None

        steps = self._kernel.steps
        await self._recorder.record(decide)
        return self._kernel.steps != steps

    async def look_around(self) -> bool:
        """Ask every target what others may have changed, and look at it.

        Returns:
            Whether somebody had changed something.

        Raises:
            TargetUnavailable, TargetError: A target cannot be asked, or an object cannot be read.
        """
        keys, prefixes = self._kernel.tracked_keys(), self._kernel.scanned_prefixes()
        changed = False
        for target in self._targets.all:
            schemes = tuple(f"{scheme}:" for scheme in target.schemes)
            if schemes:
                own = [key for key in keys if key.startswith(schemes) and not target.unseen(key)]
                ranges = [prefix for prefix in prefixes if prefix.startswith(schemes)]
                if own or ranges:
                    changed = await self._look_around_in(target, own, ranges) or changed
        return changed

    async def _look_around_in(self, target: Target, keys: list[Key], prefixes: list[str]) -> bool:
        changed, unsure = False, self.sources.unsure
        unsure.update(await target.changed(keys, prefixes))
        for key in sorted(key for key in unsure if self._targets.of(key) is target):
            if self._kernel.base_known(key):
                changed = await self.look(key) or changed
            else:
                changed = await self.look_at_untracked(key) or changed
        return changed

    def _is_spared(self, key: Key) -> bool:
        return any(spares(key) for spares in self._spares)

    def _reader(self, call: Call) -> PositionReader:
        return PositionReader(self.sources, call.position, call.rank)


def _among(found: Value, values: Collection[Value]) -> bool:
    return any(found is value or same(found, value) for value in values)
