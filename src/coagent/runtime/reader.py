"""The state at one position: from the kernel where the object is tracked, else from its target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from coagent.errors import FootprintViolation, LogUnavailable, TargetError, TargetUnavailable
from coagent.protocol.calls import Position, Rank
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key, scheme_of
from coagent.protocol.values import UNLOADED, Value, same
from coagent.runtime.patience import Patience
from coagent.targets.base import Target

T = TypeVar("T")


class Targets:
    """The targets of a domain, by scheme.

    Args:
        targets: Each scheme may belong to one of them only.

    Raises:
        FootprintViolation: Two targets own one scheme.
    """

    def __init__(self, targets: list[Target]) -> None:
        self.all = targets
        self.volatile: frozenset[str] = frozenset(
            scheme for target in targets for scheme in getattr(target, "volatile", ())
        )
        self.late = frozenset(
            scheme
            for target in targets
            if not (target.asks_last or target.instant or target.copy is not None)
            for scheme in target.schemes
        )
        """The schemes where a put may arrive after the log has moved on (`late_puts.py`)."""
        self._by_scheme: dict[str, Target] = {}
        for target in targets:
            self.extend(target, target.schemes)

    def extend(self, target: Target, schemes: Iterable[str]) -> None:
        """Let a target own further schemes.

        Raises:
            FootprintViolation: Another target owns one of them.
        """
        for scheme in schemes:
            if self._by_scheme.setdefault(scheme, target) is not target:
                raise FootprintViolation(
                    f"two targets own the scheme {scheme!r}",
                    "Give each its own schemes, or open two domains.",
                )

    def of(self, key: str) -> Target:
        """Return the target that owns a key or prefix.

        Raises:
            FootprintViolation: No target does, or it is no key.
        """
        target = self._by_scheme.get(key[: key.find(":")]) if isinstance(key, str) else None
        if target is None:
            raise self._unowned(key)
        return target

    def _unowned(self, key: str) -> FootprintViolation:
        known = ", ".join(f"{scheme}:" for scheme in sorted(self._by_scheme)) or "none"
        try:
            scheme_of(key)
        except (ValueError, AttributeError) as error:
            return FootprintViolation(str(error), f"The domain's schemes are {known}.")
        return FootprintViolation(
            f"no target of the domain owns {key!r}", f"The domain's schemes are {known}."
        )


class Sources:
    """Where the runs of a domain read from.

    Args:
        kernel: The protocol's state.
        targets: Where objects are that it does not track.
        look: Called with objects that the kernel tracks and that somebody outside may have changed.
        takes_back: Called with what was found in others: puts right what was put too late, and tells whether
            it was that.
        patience: With targets that are away.
        freshen: Has the kernel take what others have logged by now.
    """

    __slots__ = ("freshen", "kernel", "look", "patience", "takes_back", "targets", "unsure", "volatile")

    def __init__(
        self,
        kernel: Kernel,
        targets: Targets,
        look: Callable[[Key], Awaitable[bool]],
        takes_back: Callable[[Key, Value], Awaitable[bool]],
        patience: Patience,
        freshen: Callable[[], Awaitable[None]],
    ) -> None:
        self.kernel = kernel
        self.freshen = freshen
        self.targets = targets
        self.look = look
        self.takes_back = takes_back
        self.patience = patience
        self.volatile = targets.volatile
        self.unsure: set[Key] = set()
        """Objects that somebody outside may have changed, though their targets do not tell so any more: what
        was read of them, or said, has not been compared to its end."""

    def unchanged(self, key: Key, target: Target) -> bool:
        """Tell whether an object is for sure as it was when last looked at."""
        return target.unchanged(key) and key not in self.unsure

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask what only the log tells, however long it is away."""
        tried = 0
        while True:
            try:
                return await ask()
            except LogUnavailable:
                await self.patience.pause(tried)
                tried += 1


class PositionReader:
    """Reads for one run of a tool. Whether what it read still holds is checked when the run is recorded.

    Each read for itself is right: what a target held while an object came to be or ceased to be
    tracked may be neither the old value nor the new one, so it is asked again. Irreversible tools rest on
    that, as they run once: what a later agent has put there in another process is in the log by then, with
    what was there before, so they look there, too.

    Args:
        sources: Of the domain.
        position: Of the call.
        rank: Of its agent.
        once: Whether the tool runs once, and what it reads is not checked afterwards.
        still: Makes sure, after each read that took its time, that the run is still to go on.
    """

    __slots__ = ("_once", "_sources", "_still", "position", "rank", "volatile")

    def __init__(
        self,
        sources: Sources,
        position: Position,
        rank: Rank,
        *,
        once: bool = False,
        still: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._sources = sources
        self._once = once
        self._still = still
        self.position = position
        self.rank = rank
        self.volatile = sources.volatile

    def canonical(self, key: str) -> Key:
        return self._sources.targets.of(key).canonical(key)

    def literal(self, key: str) -> Key:
        return self._sources.targets.of(key).literal(key)

    def find(self, key: str) -> tuple[Key, Value]:
        sources = self._sources
        target = sources.targets.of(key)
        name = target.canonical(key)
        kernel = sources.kernel
        value = kernel.lookup(name, self.position)
        if value is UNLOADED or kernel.stuck or not sources.unchanged(name, target):
            return name, UNLOADED
        return name, value

    async def read(self, key: Key) -> Value:
        found = await self._read(key)
        await self._go_on()
        return found

    async def _go_on(self) -> None:
        if self._still is not None:
            await self._still()

    async def _read(self, key: Key) -> Value:
        sources = self._sources
        kernel, target = sources.kernel, sources.targets.of(key)
        if kernel.stuck:
            self._refuse_stuck(key)
        value = kernel.lookup(key, self.position)
        if value is not UNLOADED:
            if sources.unchanged(key, target) or not await self._look(key):
                return value
            value = kernel.lookup(key, self.position)
        while value is UNLOADED:
            forgotten = kernel.forgotten
            try:
                found = await target.get(key)
            except TargetUnavailable as failure:
                found = await self._sources.patience.retry(lambda: target.get(key), failure)
            await self._catch_up()
            if not kernel.base_known(key) and await self._takes_back(key, found):
                continue
            value = kernel.lookup(key, self.position)
            if value is UNLOADED and kernel.forgotten == forgotten:
                return found
            if value is not UNLOADED and not any(same(found, one) for one in kernel.may_hold(key)):
                # Somebody else has learned of it meanwhile, and what was found is something else again.
                await self._look(key)
                value = kernel.lookup(key, self.position)
        return value

    async def _asked(self, ask: Callable[[], Awaitable[bool]]) -> bool:
        """Return what the log has to tell; what runs once has begun, and waits for it."""
        return await (self._sources.insist(ask) if self._once else ask())

    async def _look(self, key: Key) -> bool:
        return await self._asked(partial(self._sources.look, key))

    async def _takes_back(self, key: Key, found: Value) -> bool:
        return await self._asked(partial(self._sources.takes_back, key, found))

    async def _catch_up(self) -> None:
        if self._once:
            await self._sources.insist(self._sources.freshen)

    def _refuse_stuck(self, key: Key) -> None:
        why = self._sources.kernel.stuck.get(key)
        if why is not None:
            raise TargetError(
                f"what {key!r} holds is not what it should: {why}",
                "A person has to decide what becomes of it: coagent resolve.",
            )

    async def keys(self, prefix: str) -> Mapping[Key, Value]:
        kernel, target = self._sources.kernel, self._sources.targets.of(prefix)
        while True:
            forgotten = kernel.forgotten
            try:
                listing = dict(await target.list(prefix))
            except TargetUnavailable as failure:
                listing = dict(await self._sources.patience.retry(lambda: target.list(prefix), failure))
            await self._catch_up()
            if kernel.forgotten == forgotten and not await self._look_at(prefix, listing):
                break
        for key, value in kernel.written_under(prefix, self.position):
            if value is None:
                listing.pop(key, None)
            else:
                listing[key] = value
        await self._go_on()
        return listing

    async def _look_at(self, prefix: str, listing: Mapping[Key, Value]) -> bool:
        """Look at those tracked objects of a listing that are not as they should be."""
        kernel = self._sources.kernel
        suspects = [key for key, found in listing.items() if self._is_suspect(key, found)]
        suspects += [
            key
            for key in kernel.tracked_keys()
            if key.startswith(prefix)
            and key not in listing
            and kernel.live_value(key) not in (None, UNLOADED)
        ]
        seen = False
        for key in suspects:
            seen = await self._look(key) or seen
        for key, found in listing.items() if scheme_of(prefix) in self._sources.targets.late else ():
            if found is not UNLOADED and kernel.live_value(key) is UNLOADED:
                seen = await self._takes_back(key, found) or seen
        return seen

    def _is_suspect(self, key: Key, found: Value) -> bool:
        live = self._sources.kernel.live_value(key)
        if live is UNLOADED:
            return False
        return live is None if found is UNLOADED else not same(found, live)

    def written(self, prefix: str) -> Mapping[Key, Value]:
        return dict(self._sources.kernel.written_under(prefix, self.position))

    def writers(self, prefix: str) -> Mapping[Key, Position | None]:
        return dict(self._sources.kernel.writers_under(prefix, self.position))

    def own(self, *prefixes: str) -> frozenset[Key]:
        agent = self._sources.kernel.agents.get(self.rank)
        return frozenset(
            key
            for call in (() if agent is None else agent.calls.values())
            if call.writes and call.position < self.position
            for key in call.writes
            if key.startswith(prefixes)
        )

    async def load(self, keys: list[Key]) -> Mapping[Key, Value]:
        kernel = self._sources.kernel
        while True:
            forgotten = kernel.forgotten
            found = {key: kernel.lookup(key, self.position) for key in keys}
            missing = [key for key, value in found.items() if value is UNLOADED]
            if not missing:
                return found
            target = self._sources.targets.of(missing[0])
            try:
                values = await target.get_many(missing)
            except TargetUnavailable as failure:
                values = await self._sources.patience.retry(lambda: target.get_many(missing), failure)  # noqa: B023
            await self._catch_up()
            late = [
                key
                for key, value in values.items()
                if not kernel.base_known(key) and await self._takes_back(key, value)
            ]
            found.update(values)
            for key in missing:
                tracked = kernel.lookup(key, self.position)
                if tracked is not UNLOADED:
                    found[key] = tracked
            if kernel.forgotten == forgotten and not late:
                await self._go_on()
                return found
