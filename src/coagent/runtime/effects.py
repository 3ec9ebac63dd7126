"""Brings the live state to the targets: effects out, and what targets say to them back to the log.

A target may fail in three ways. It is away: the put is tried again for as long as it takes, and nothing else
waits for it. It refuses the value: the call that wrote it has failed. It will not take back what it had held:
the object is stuck, and a person decides (`coagent resolve`). And it may hold what nobody has put there: then
somebody outside has written (rule 9).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

import anyio

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.decisions import Effect
from coagent.protocol.events import EffectApplied, EffectRefused, Event
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.runtime.copies import gives_way, outside_write
from coagent.runtime.late_puts import LatePut
from coagent.runtime.patience import Patience
from coagent.runtime.reader import Targets
from coagent.runtime.recorder import Recorder
from coagent.targets.base import GuardFailed, NotWanted, Target, last_word_of

_SAYS = logging.getLogger("coagent.domain")
_TAKEN_BACK_MAX = 3
"""How often a target is asked to take back what was put too late, where it refuses."""
_LAST_S_MAX = 5.0
"""For how long the end of a domain waits, in seconds, for a target that is away."""


class _LastWord:
    """Asks the log whether something is still to be put (a `LastWord`).

    Args:
        recorder: Has the log, and the lease of this process.
        wanted: Tells it as far as this process knows what the log holds.
    """

    def __init__(self, recorder: Recorder, wanted: Callable[[], bool]) -> None:
        self._recorder = recorder
        self._wanted = wanted

    def at_once(self) -> bool | None:
        log = self._recorder.log
        if not log.instant and (not self._recorder.tenure.holds or log.stale(now=True)):
            return None
        return self._wanted()

    async def ask(self) -> bool:
        """Tell it, and that this process is thought to live.

        Raises:
            LogError: That cannot be told.
        """
        recorder = self._recorder
        if recorder.log.instant:
            return self._wanted()
        if not recorder.tenure.holds:
            await recorder.tenure.renew()
            await recorder.catch_up()
        else:
            await recorder.freshen(now=True)
        return self._wanted()


class Effects:
    """Applies effects; each target takes them in one task of this process at a time, in its own order.

    Args:
        kernel: Says what the targets need.
        recorder: Takes what they answer.
        targets: The live systems.
        patience: With those that are away.
    """

    def __init__(self, kernel: Kernel, recorder: Recorder, targets: Targets, patience: Patience) -> None:
        self._kernel = kernel
        self._recorder = recorder
        self._targets = targets
        self._patience = patience
        self._busy: dict[Target, anyio.Event] = {}  # those being served, and what wakes whoever serves them
        self._nobody = anyio.Event()  # waits to be woken where a target is served at once
        self._tried: dict[Key, int] = {}  # the version that was put last, by object
        self._left: dict[Key, list[Value]] = {}  # what puts of others that were late have left, by object
        self.under_way: set[Key] = set()
        """The objects that a target of this process has yet to take."""
        self.delayed: dict[Key, TargetUnavailable] = {}
        """The objects whose target is away just now, and how it failed last."""
        self.on_taken: Callable[[], None] = lambda: None
        """Called when a target has taken something, and has more to take."""
        self.on_delay: Callable[[], None] = lambda: None
        """Called when a target turns out to be away."""

    def hopeless(self, keys: Collection[Key]) -> bool:
        """Tell whether the target of some object is away and will not be back by itself."""
        return any(key in self.delayed and not self.delayed[key].by_itself for key in keys)

    async def apply_at_once(self) -> bool:
        """Put what targets take at once; False where something is left that takes its time."""
        kernel, recorder, busy = self._kernel, self._recorder, self._busy
        instant = recorder.log.instant
        anew = True
        while anew:
            steps, anew = kernel.steps, False
            for key, value, expected, version in kernel.effects():
                if recorder.is_acknowledged(key, version):
                    continue
                target = self._targets.of(key)
                if not target.instant or target in busy or not recorder.tenure.holds:
                    return False
                self._expect(key, version, value)
                busy[target] = self._nobody
                try:
                    await target.put(key, value, expected=expected)
                except TargetError:
                    return False  # `apply` will meet it again, and see to it
                finally:
                    del busy[target]
                anew = kernel.steps != steps  # it has let others go on, and they may need something else
                if instant:
                    recorder.record_now(EffectApplied(key, version))
                    steps = kernel.steps
                else:
                    recorder.acknowledge(key, version)
                if anew:
                    break
        return True

    def startable(self, effects: Sequence[Effect]) -> list[Target]:
        """Return the targets that need something and are not busy; each is to be served by `apply`."""
        if not effects:
            return []
        targets: dict[Target, None] = {}
        for effect in self._open(effects):
            target = self._targets.of(effect.key)
            targets[target] = None
            if target in self._busy and self._tried.get(effect.key, effect.version) != effect.version:
                self.delayed.pop(effect.key, None)  # what it would not take is not wanted any more
                self._busy[target].set()
        return [target for target in targets if target not in self._busy and self._of(target)]

    def begin(self, target: Target) -> None:
        """Note that a target is being served from now on; `apply` ends that."""
        self._busy[target] = anyio.Event()
        self.under_way.update(effect.key for effect in self._of(target))

    async def apply(self, target: Target) -> None:
        """Put what a target needs, until it needs nothing more that it will take.

        Raises:
            LogError: What came of it could not be recorded; the effects stay outstanding.
        """
        tried = 0
        try:
            while effects := self._of(target):
                self._is_under_way(target, {effect.key for effect in effects})
                away = 0
                for batch in self._batches(target, effects):
                    away += not await self._put(target, batch)
                if away:
                    await self._patience.pause(tried, self._busy[target])
                    self._busy[target] = anyio.Event()
                    tried += 1
        finally:
            del self._busy[target]
            for key in [key for key in self.under_way if self._targets.of(key) is target]:
                self.under_way.discard(key)
                self.delayed.pop(key, None)
                self._tried.pop(key, None)
                self._left.pop(key, None)

    def _is_under_way(self, target: Target, keys: set[Key]) -> None:
        """Note what a target has yet to take; who waits for what it has taken need not wait for the rest."""
        taken = {key for key in self.under_way - keys if self._targets.of(key) is target}
        self.under_way -= taken
        self.under_way |= keys
        if taken:
            self.on_taken()

    def _open(self, effects: Sequence[Effect]) -> list[Effect]:
        """Return those effects that the target is not known to have taken."""
        is_acknowledged = self._recorder.is_acknowledged
        return [effect for effect in effects if not is_acknowledged(effect.key, effect.version)]

    def _of(self, target: Target) -> list[Effect]:
        effects = [
            effect for effect in self._open(self._kernel.effects()) if self._targets.of(effect.key) is target
        ]
        return self._disentangled(target, effects) if effects else effects

    def _disentangled(self, target: Target, effects: list[Effect]) -> list[Effect]:
        """Leave out what depends on objects whose final value is not known yet."""
        unsettled = {key for key in self._kernel.unsettled() if self._targets.of(key) is target}
        while unsettled:
            held = {effect.key for effect in effects if target.entangled(effect.key, unsettled)}
            if not held:
                break
            effects = [effect for effect in effects if effect.key not in held]
            unsettled = held
        return effects

    def _batches(self, target: Target, effects: list[Effect]) -> list[list[Effect]]:
        """Return effects in the order in which a target takes them, each transaction together."""
        if target.takes_many:
            return [effects]
        return [[one] for one in sorted(effects, key=lambda one: target.precedence(one.key, one.value))]

    async def _put(self, target: Target, effects: list[Effect]) -> bool:
        """Put what belongs together, and record what came of it; False where the target is away."""
        if not await _LastWord(self._recorder, lambda: self._is_current(effects)).ask():
            return True
        self._tried.update({effect.key: effect.version for effect in effects})
        for effect in effects:
            self._expect(effect.key, effect.version, effect.value)
        try:
            with last_word_of(_LastWord(self._recorder, lambda: self._is_current(effects))):
                if len(effects) == 1:
                    key, value, expected, _ = effects[0]
                    await target.put(key, value, expected=[*expected, *self._left.get(key, ())])
                else:
                    left = self._left.get
                    await target.put_many(
                        [(one.key, one.value, [*one.expected, *left(one.key, ())]) for one in effects]
                    )
        except NotWanted:
            pass
        except TargetUnavailable as away:
            self.delayed.update({effect.key: away for effect in effects})
            self.on_delay()
            return False
        except GuardFailed as guard:
            await self._found_other(guard.key, guard.found)
        except TargetError as refusal:
            blamed = getattr(refusal, "key", None)
            refused = next((one for one in effects if one.key == blamed), effects[-1])
            if target.copy is not None and not self._is_own(refused.key):
                here = TargetUnavailable(refusal.cause, refusal.cure)
                self.delayed.update({effect.key: here for effect in effects})
                return False
            await self._refused(refused, refusal)
        else:
            self._acknowledge(effects)
        for effect in effects:
            self.delayed.pop(effect.key, None)
        return True

    def _is_current(self, effects: Sequence[Effect]) -> bool:
        """Tell whether effects are still needed, as far as this process knows."""
        return all(self._kernel.version(one.key) == one.version for one in effects)

    def _expect(self, key: Key, version: int, value: Value) -> None:
        if not self._recorder.log.instant:
            self._recorder.puts.begin(key, version, value)

    async def mend(self, late: LatePut) -> None:
        """Put again what an object is to hold, where a put that was late has left something else there.

        Raises:
            LogError: The log cannot be read.
        """
        try:
            await self._mend(late)
        finally:
            self._recorder.puts.seen_to(late)

    async def _mend(self, late: LatePut) -> None:
        tried = refused = 0
        while refused < _TAKEN_BACK_MAX:  # where the target will not, it is as it is
            try:
                await self._put_right(late)
                return
            except GuardFailed:
                return  # somebody else has written it since
            except TargetUnavailable:
                await self._patience.pause(tried)
                tried += 1
            except TargetError:
                refused += 1

    async def takes_back(self, key: Key, found: Value) -> bool:
        """Put again what an object is to hold, where a late put of some process has left something else.

        Args:
            key: The object.
            found: What it holds.

        Returns:
            Whether it is so, and is put right. False where the object is to hold that, where it is somebody's
            from outside, or where the target will not take it back: then it is as it is.

        Raises:
            TargetUnavailable: That cannot be done just now.
            LogError: The log cannot be read.
        """
        late = self._recorder.puts.left(key, found)
        if late is None:
            return False
        for _ in range(_TAKEN_BACK_MAX):
            try:
                was_late = await self._put_right_patiently(late)
            except GuardFailed:
                return True  # it holds something else again
            except TargetUnavailable:
                raise
            except TargetError:
                continue
            if was_late:
                _SAYS.warning("%s held again what had been taken back: it was put too late", key)
            return was_late
        return False

    async def _put_right_patiently(self, late: LatePut) -> bool:
        try:
            return await self._put_right(late)
        except TargetUnavailable as failure:
            return await self._patience.retry(lambda: self._put_right(late), failure)

    async def _put_right(self, late: LatePut) -> bool:
        """Put again what an object is to hold; whether it was to hold something else than what was put late.

        Raises:
            TargetError: The target cannot take it just now, or will not, or others have written it since.
            LogError: The log cannot be read.
        """
        target, recorder, was_late = self._targets.of(late.key), self._recorder, False
        value = late.value
        while True:
            await recorder.catch_up()
            wanted = self._instead(late, value)
            if same(value, wanted):
                return was_late
            was_late = True
            if not same(await target.get(late.key), value):
                return True
            last_word = _LastWord(recorder, lambda: same(self._instead(late, value), wanted))  # noqa: B023
            try:
                with last_word_of(last_word):
                    await target.put(late.key, wanted, expected=[value])
            except NotWanted:
                continue
            value = wanted  # this put may have been late as well

    def _instead(self, late: LatePut, value: Value) -> Value:
        """Return what an object is to hold instead of what was put late; that itself, where it is wanted.

        That what is wanted has yet to be put over it, by the log, is not waited for: it may have been put
        before, by somebody who has yet to record that.
        """
        if not self._kernel.base_known(late.key):
            return self._recorder.puts.last_wanted(late.key, late.instead)
        return self._kernel.live_value(late.key)

    async def flush_last(self) -> None:
        """Record what has arrived, and mend what turns out to have arrived late, as the domain ends.

        Raises:
            LogError: The log cannot be read or written.
        """
        late: list[LatePut] = []
        self._recorder.puts.on_late = late.append
        await self._recorder.flush()
        with anyio.move_on_after(_LAST_S_MAX):
            for one in late:
                await self.mend(one)

    def _acknowledge(self, effects: Sequence[Effect]) -> None:
        recorder = self._recorder
        for effect in effects:
            if recorder.log.instant:
                recorder.record_now(EffectApplied(effect.key, effect.version))
            else:
                recorder.acknowledge(effect.key, effect.version)  # one commit less

    async def _found_other(self, key: Key, found: Value) -> None:
        """Take note of what a target holds that is none of what it may hold as this process thought."""

        def decide() -> Event | None:
            if not self._kernel.base_known(key) or any(
                same(found, one) for one in self._kernel.may_hold(key)
            ):
                return None  # another process has put it meanwhile
            return outside_write(self._kernel, self._targets.of(key), key, found)

        await self._recorder.flush()  # what has arrived before is what somebody outside has changed
        await self._recorder.catch_up()
        if self._recorder.puts.left(key, found) is not None:
            self._left.setdefault(key, []).append(found)  # it is put over
        elif not await gives_way(self._kernel, self._targets.of(key), key, found):
            await self._recorder.record(decide)

    def _is_own(self, key: Key) -> bool:
        """Tell whether an agent of this process has written an object.

        Where each host has a copy of its own, what one host's does not take is no failure of another's call.
        """
        agents = [agent for agent in self._kernel.agents.values() if self._recorder.serves(agent)]
        return any(key in call.writes for agent in agents for call in agent.calls.values())

    async def _refused(self, effect: Effect, failure: TargetError) -> None:
        await self._recorder.record(lambda: EffectRefused(effect.key, effect.version, str(failure)))
