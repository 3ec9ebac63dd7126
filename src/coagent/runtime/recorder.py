"""The log and the kernel of one process, always in step: decisions become events here, and nowhere else.

An event is in the log before the kernel takes it. Rival processes append to one log; who comes second catches
up and decides anew. Some events need not be in the log at once and ride along with the next one: that a
target holds what was written, and what is in `waiting.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

import anyio

from coagent.errors import AgentNotActive, IllegalEvent, LogError
from coagent.log.base import Checkpoint, HeadMoved, Log
from coagent.protocol.calls import Call, Position, Rank, position_of
from coagent.protocol.checkpoint import state_of
from coagent.protocol.events import CallObserved, EffectApplied, Event, OutsideWrite, Resolved, Said
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key, scheme_of
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.values import Value, same
from coagent.runtime.clock import Clock
from coagent.runtime.late_puts import LatePuts
from coagent.runtime.refusals import being_aborted, taken_up
from coagent.runtime.tenure import Tenure
from coagent.runtime.waiting import WaitingRoom

_WATCH_INTERVAL_S = 0.02
_CHECKPOINT_EVENTS_MIN = 2000
_CHECKPOINT_AT_END_MIN = 200
_SAYS = logging.getLogger("coagent.domain")

Made: TypeAlias = Call | Participant | None
Replicate: TypeAlias = Callable[[Key, Value, Sequence[Value]], None]


class Recorder:
    """Appends events, and lets the kernel take them.

    Args:
        kernel: The protocol.
        log: Where events go.
        clock: For those who wait for something to happen.
        replicas: By scheme, who keeps a copy of live values in this process.
        tenure: As whom this process has the log open.
    """

    def __init__(
        self, kernel: Kernel, log: Log, clock: Clock, replicas: dict[str, Replicate], tenure: Tenure
    ) -> None:
        self.kernel = kernel
        self.log = log
        self.tenure = tenure
        tenure.on_loss = self._drop_foreign
        self.puts = LatePuts(clock.now_s)
        self.overseen: set[Rank] = set()
        """The agents that somebody ends, or takes something back of, whoever serves them."""
        self.observers: list[Callable[[Event], None]] = []
        self._clock = clock
        self._replicas = replicas
        self.taken = log.head
        """The number of the last event that the kernel has taken."""
        self._acknowledged: dict[Key, EffectApplied] = {}
        self.waiting = WaitingRoom(kernel, clock.moment_s)
        self.reads_may_wait = True
        """Whether reads may: not while something else waits for those that do, or it would wait for ever."""
        self._in_doubt = False
        """Whether reads that wait may have been appended all the same: nothing was heard of the last try."""
        self._unheard: list[Event] = []
        """What was to be appended when nothing was heard of it any more: it may be there all the same."""
        self.on_unheard: Callable[[Event], None] = lambda event: None
        """Called with what is there, though whoever recorded it was told that it may not be."""
        self._interval = _CHECKPOINT_EVENTS_MIN
        self._busy = False
        self._free: anyio.Event | None = None
        self._changed: anyio.Event | None = None

    # ---- recording -----------------------------------------------------------------------------------------

    async def record(self, decide: Callable[[], Event | None], *, insists: bool = False) -> Made:
        """Record what `decide` returns, deciding anew as long as other processes come first.

        Args:
            decide: Looks at the kernel and returns an event, or None where nothing is to be recorded.
            insists: Whether the caller tries again until it knows; nobody else has to see to it then.

        Returns:
            What the event made or is about; None also where nothing was recorded.

        Raises:
            AgentNotActive: The agent that the event is about has ended meanwhile. AgentTakenUp: It is another
            process' now. IllegalEvent: The event may not happen for another reason; a defect, or another
            process decided first. LogError: The log cannot be written; nothing has happened.
        """
        if self.log.instant:
            if self.waiting:
                self._record_waiting_now()
            event = decide()
            return None if event is None else self.record_now(event)
        await self._take_turn()
        try:
            if self.log.contended:
                await self._come_first()
            while True:
                event = decide()
                if event is None:
                    return None
                self._check(event)
                self._check_owner(event)
                try:
                    # What else than a call may depend on the reads that wait: they have to be there first.
                    if type(event) is not CallObserved and self.waiting.has_calls:
                        self.reads_may_wait = False
                        await self._append(None)
                    else:
                        return await self._append(event, insists=insists)
                except HeadMoved:
                    await self._come_first()
        finally:
            self.reads_may_wait = True
            await self._let_go()

    def record_now(self, event: Event) -> Made:
        """Record an event in a log that takes it at once and that nobody else appends to (`Log.instant`)."""
        if self.waiting:
            self._record_waiting_now()
        kernel = self.kernel
        if kernel.objection(event) is not None:
            self._check(event)
        self.log.note(event)
        made = kernel.take(event)
        self._tell(event)
        return made

    def _record_waiting_now(self) -> None:
        for event in self.waiting.take_all():
            self.log.note(event)
            self._replay(event)

    def acknowledge(self, key: Key, version: int) -> None:
        """Note that a target holds a version; it is recorded with the next event, or by `flush`.

        Where the object is to hold something else by then, it is not: see `late_puts.py`.
        """
        self._acknowledged[key] = EffectApplied(key, version)

    def is_acknowledged(self, key: Key, version: int) -> bool:
        """Tell whether it has been noted that a target holds a version."""
        known = self._acknowledged.get(key)
        return known is not None and known.version == version

    async def flush(self, *, words: bool = True) -> None:
        """Append what waits to ride along.

        Args:
            words: Whether also where that is only what agents have said.
        """
        if not (self.waiting if words else self.waiting.has_calls) and not self._acknowledged:
            return
        if self.log.instant:
            self._record_waiting_now()
            return
        await self._take_turn()
        try:
            # What comes meanwhile is for the next one: under many agents, some of it always does.
            while self.waiting or self._acknowledged:
                try:
                    await self._append(None)
                    return
                except HeadMoved:
                    await self._come_first()
        finally:
            await self._let_go()

    async def catch_up(self) -> None:
        """Take what other processes have appended."""
        if self.log.shared:
            await self._take_turn()
            try:
                await self._catch_up()
            finally:
                self._end_turn()

    async def keep_checkpoint(self, *, whatever: bool = False) -> None:
        """Keep the kernel's state in the log, if enough has happened since that was done last.

        Args:
            whatever: Whether to do so however little has happened.
        """
        if whatever or self.log.since_checkpoint >= _CHECKPOINT_AT_END_MIN:
            await self._take_turn()
            try:
                await self._keep_checkpoint()
            finally:
                self._end_turn()

    async def _keep_checkpoint(self) -> None:
        kernel = self.kernel
        if isinstance(kernel, Mtpo) and kernel.resumable:
            state = state_of(kernel)
            # A state that costs much to write is written less often.
            self._interval = max(_CHECKPOINT_EVENTS_MIN, 10 * (len(state.calls) + len(state.objects)))
            await self.log.keep(Checkpoint(self.log.head, state))

    async def _try_to_keep_checkpoint(self) -> None:
        """Keep the kernel's state after an append, which has been made also where that fails.

        It is tried again when as much has happened once more.
        """
        try:
            await self._keep_checkpoint()
        except LogError as failure:
            _SAYS.warning("no checkpoint of the log could be kept: %s", failure)
            self._interval += self.log.since_checkpoint

    async def freshen(self, *, now: bool = False) -> None:
        """Catch up if others have appended; costs next to nothing where they have not.

        Args:
            now: Whether it matters what they have done in the last moment, too.
        """
        if self.log.shared and self.log.stale(now=now):
            await self.catch_up()

    async def _append(self, event: Event | None, *, insists: bool = False) -> Made:
        """Append an event, with those that ride along around it, and let the kernel take them all."""
        waited, acknowledged = self.waiting.all[:], [*self._acknowledged.values()]
        late = [one for one in acknowledged if self.puts.was_late(one.key, one.version)]
        acknowledged = [one for one in acknowledged if one not in late]
        records: list[Event] = [*self.waiting.events()]
        if event is not None:
            records.append(event)
        # Last, because the event was decided while those objects were still tracked.
        records.extend(acknowledged)
        if not records:
            self._settle_puts(late, late=True)
            return None
        try:
            await self.log.append(records)
        except HeadMoved:
            raise
        except BaseException:
            self._in_doubt = True
            if event is not None and not insists:
                self._unheard.append(event)
            raise
        self._in_doubt = False
        self._unheard.clear()
        self.waiting.remove(waited)
        for one in waited:
            self._replay(one.event)
        made = None if event is None else self._take(event)
        if self.waiting:  # made meanwhile, maybe by an agent that this has ended
            self._drop_foreign()
        for applied in acknowledged:
            self._replay(applied)
        self._settle_puts(acknowledged, late=False)
        self._settle_puts(late, late=True)
        if self.log.since_checkpoint >= self._interval:
            await self._try_to_keep_checkpoint()
        return made

    def _settle_puts(self, acknowledged: Collection[EffectApplied], *, late: bool) -> None:
        for applied in acknowledged:
            if self._acknowledged.get(applied.key) is applied:
                del self._acknowledged[applied.key]
            self.puts.arrived(applied.key, applied.version, late=late)

    def _take(self, event: Event) -> Made:
        made = self.kernel.take(event)
        self._tell(event)
        return made

    def _replay(self, event: Event) -> None:
        self.kernel.step(event)
        self._tell(event)

    async def _catch_up(self) -> None:
        head = self.log.head
        while events := await self.log.read():
            for event in events:
                if self._in_doubt and isinstance(event, CallObserved | Said):
                    self.waiting.remove_found(event)
                self._replay(event)
                if self.waiting:
                    self.waiting.keep_up()
            self._drop_foreign()  # at once: the log may be lost before it has told all
            for event in events if self._unheard else ():
                if self._was_unheard(event):
                    self.on_unheard(event)
        if self.log.head != head:  # what is not there by now never will be
            self._unheard.clear()

    def _was_unheard(self, event: Event) -> bool:
        """Tell whether an event is one of those of which nothing was heard, and forget that it was."""
        others = [one for one in self._unheard if type(one) is not type(event) or one != event]
        found = len(others) < len(self._unheard)
        self._unheard = others
        return found

    def _drop_foreign(self) -> None:
        """Forget what waits to be recorded, of agents that others have ended or taken up."""
        self.waiting.keep(self._speaks_for)

    def serves(self, agent: Participant) -> bool:
        """Tell whether an agent is this process', and has not ended."""
        return not agent.ended and agent.owner == self.tenure.owner

    def _speaks_for(self, agent: Participant) -> bool:
        return agent.at_work and agent.owner == self.tenure.owner

    def require_served(self, agent: Participant) -> None:
        """Refuse what is for the process of an agent alone.

        Raises:
            AgentTakenUp: It is another one's, or nobody's.
        """
        if agent.owner != self.tenure.owner and not agent.ended and agent.rank not in self.overseen:
            raise taken_up(agent)

    def _check_owner(self, event: Event) -> None:
        if not self.tenure.owner or self.kernel.foreign(event, self.tenure.owner) is None:
            return
        rank: Rank | None = getattr(event, "rank", None)
        if rank is None:
            call = self.kernel.call(event.call_id)  # type: ignore[union-attr]  # what is no agent's is a call's
            assert call is not None, "what is somebody's word is about a standing call"
            rank = call.rank
        if rank not in self.overseen:
            raise taken_up(self.kernel.agents[rank])

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)
        for key, value, held in self.kernel.take_live_changes():
            found = isinstance(event, OutsideWrite | Resolved) and same(event.value, value)
            self.puts.is_to_hold(key, value, found=found)
            replicate = self._replicas.get(scheme_of(key)) if self._replicas else None
            if replicate is not None:
                replicate(key, value, held)
        self.puts.follow(self.kernel.live_value)
        self.taken += 1
        self.wake()

    def _check(self, event: Event) -> None:
        objection = self.kernel.objection(event)
        if objection is None:
            return
        agent = self._speaker(event)
        if agent is not None and agent.ended:
            raise AgentNotActive(
                f"agent {agent.name!r} has {agent.phase.value}", "Join the domain again, as a new agent."
            )
        if agent is not None and agent.aborting:
            raise being_aborted(agent)
        raise IllegalEvent(f"{type(event).__name__} may not happen now: {objection}")

    def _speaker(self, event: Event) -> Participant | None:
        rank: Rank | None = getattr(event, "rank", None)
        if rank is None:
            call = self.kernel.call(getattr(event, "call_id", None))  # type: ignore[arg-type]
            rank = None if call is None else call.rank
        return None if rank is None else self.kernel.agents.get(rank)

    # ---- what waits to be recorded -------------------------------------------------------------------------

    def next_sequence(self, agent: Participant) -> int:
        """Return the sequence of the agent's next call, those counted that wait to be recorded."""
        return agent.next_sequence + self.waiting.calls_of(agent)

    def position(self, agent: Participant) -> Position:
        """Return the position of the agent's next call."""
        if not self.waiting:
            return self.kernel.position(agent)
        return position_of(agent.order, self.next_sequence(agent))

    # ---- waiting -------------------------------------------------------------------------------------------

    async def until(
        self, condition: Callable[[], bool], meanwhile: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Return when the condition holds; it is looked at after every event, from any process.

        Args:
            condition: Looks at the kernel.
            meanwhile: `async def ()`: what a process does for others while it waits; with a shared log only.
        """
        while not condition():
            if self._changed is None:
                self._changed = anyio.Event()
            if not self.log.shared:
                await self._clock.wait(self._changed)
                continue
            with anyio.move_on_after(_WATCH_INTERVAL_S):
                await self._changed.wait()
            await self.freshen()
            if meanwhile is not None:
                await meanwhile()
            await self.flush()  # others may be waiting for just these acknowledgements

    def wake(self) -> None:
        """Have those who wait look again at what they wait for."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _come_first(self) -> None:
        """Have other processes wait until this one has appended, and take what they have appended before."""
        await self.log.hold()
        await self._catch_up()

    async def _let_go(self) -> None:
        """Let others append: other processes, also where they cannot be told, and other tasks of this one."""
        try:
            await self.log.let_go()
        finally:
            self._end_turn()

    async def _take_turn(self) -> None:
        """Keep the other tasks of this process from appending; no tool runs meanwhile."""
        # An anyio.Lock would do, but it yields to the event loop at every turn.
        while self._busy:
            if self._free is None:
                self._free = anyio.Event()
            await self._free.wait()
        self._busy = True

    def _end_turn(self) -> None:
        self._busy = False
        if self._free is not None:
            self._free.set()
            self._free = None
