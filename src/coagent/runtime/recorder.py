"""The log and the kernel of one process, always in step: decisions become events here, and nowhere else.

An event is in the log before the kernel takes it. Rival processes append to one log; who comes second catches
up and decides anew. Two kinds of event need not be in the log at once and ride along with the next one: that
a target holds what was written, and calls that only read (they are premises of an agent of this process,
which would die with it; whoever hands results to another process flushes first).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

import anyio

from coagent.errors import AgentNotActive, IllegalEvent, LogError
from coagent.log.base import Checkpoint, HeadMoved, Log
from coagent.protocol.calls import Call, CallId, Position, Rank, call_id, position_of
from coagent.protocol.checkpoint import state_of
from coagent.protocol.events import CallObserved, EffectApplied, Event, OutsideWrite, Resolved
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key, scheme_of
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.values import Value, same
from coagent.runtime.clock import Clock
from coagent.runtime.late_puts import LatePuts
from coagent.runtime.refusals import being_aborted, taken_up
from coagent.runtime.tenure import Tenure

_WATCH_INTERVAL_S = 0.02
_READS_KEPT_MAX = 64
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
        self._reads: list[tuple[Participant, CallObserved]] = []
        self._unrecorded: dict[Participant, int] = {}  # how many of them there are, by agent
        self.deferred = 0
        """How many reads have ever been left to be recorded later."""
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
            if self._reads:
                self._record_reads_now()
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
                    if self._reads and type(event) is not CallObserved:
                        await self._append(None)
                    else:
                        return await self._append(event, insists=insists)
                except HeadMoved:
                    await self._come_first()
        finally:
            await self.log.let_go()
            self._end_turn()

    def record_now(self, event: Event) -> Made:
        """Record an event in a log that takes it at once and that nobody else appends to (`Log.instant`)."""
        if self._reads:
            self._record_reads_now()
        kernel = self.kernel
        if kernel.objection(event) is not None:
            self._check(event)
        self.log.note(event)
        made = kernel.take(event)
        self._tell(event)
        return made

    def _record_reads_now(self) -> None:
        reads, self._reads, self._unrecorded = self._reads, [], {}
        for _, read in reads:
            self.log.note(read)
            self._replay(read)

    def record_read(self, agent: Participant, event: CallObserved) -> CallId:
        """Record a call that only read, at once or together with what comes next; returns its id."""
        unrecorded = self._unrecorded.get(agent, 0)
        self._reads.append((agent, event))
        self._unrecorded[agent] = unrecorded + 1
        self.deferred += 1
        return call_id(agent.name, agent.next_sequence + unrecorded)

    @property
    def full(self) -> bool:
        """Whether so many reads wait that they ought to be flushed."""
        return len(self._reads) >= _READS_KEPT_MAX

    def acknowledge(self, key: Key, version: int) -> None:
        """Note that a target holds a version; it is recorded with the next event, or by `flush`.

        Where the object is to hold something else by then, it is not: see `late_puts.py`.
        """
        self._acknowledged[key] = EffectApplied(key, version)

    def is_acknowledged(self, key: Key, version: int) -> bool:
        """Tell whether it has been noted that a target holds a version."""
        known = self._acknowledged.get(key)
        return known is not None and known.version == version

    async def flush(self) -> None:
        """Append what waits to ride along."""
        if not self._reads and not self._acknowledged:
            return
        if self.log.instant:
            self._record_reads_now()
            return
        await self._take_turn()
        try:
            while self._reads or self._acknowledged:
                try:
                    await self._append(None)
                except HeadMoved:
                    await self._come_first()
        finally:
            await self.log.let_go()
            self._end_turn()

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
        reads, acknowledged = self._reads[:], [*self._acknowledged.values()]
        late = [one for one in acknowledged if self.puts.was_late(one.key, one.version)]
        acknowledged = [one for one in acknowledged if one not in late]
        records: list[Event] = [read for _, read in reads]
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
        self._forget_recorded(reads)
        for _, read in reads:
            self._replay(read)
        made = None if event is None else self._take(event)
        if self._reads:  # made meanwhile, maybe by an agent that this has ended
            self._drop_foreign()
        for applied in acknowledged:
            self._replay(applied)
        self._settle_puts(acknowledged, late=False)
        self._settle_puts(late, late=True)
        if self.log.since_checkpoint >= self._interval:
            await self._try_to_keep_checkpoint()
        return made

    def _forget_recorded(self, reads: Sequence[tuple[Participant, CallObserved]]) -> None:
        """Let reads wait no longer that are in the log by now.

        Where the lease was lost meanwhile, those of agents that are others' by now do not wait any more.
        """
        recorded = {id(read) for _, read in reads}
        self._reads = [one for one in self._reads if id(one[1]) not in recorded]
        for agent, _ in reads:
            if agent in self._unrecorded:
                self._unrecorded[agent] -= 1

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
                if self._in_doubt and type(event) is CallObserved:
                    self._forget_read(event)
                self._replay(event)
                if self._reads:
                    self._reads = self._kept_up()
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

    def _kept_up(self) -> list[tuple[Participant, CallObserved]]:
        """Return the reads that wait, with what others have changed since of what they saw.

        The kernel does not know of them yet, and may have forgotten those objects by the time when it does.
        """
        kernel, found = self.kernel, []
        number: dict[Participant, int] = {}
        for agent, read in self._reads:
            number[agent] = at = number.get(agent, -1) + 1
            position, seen = position_of(agent.order, agent.next_sequence + at), read.observation
            if seen.bases or not kernel.holds(seen, position):
                bases = dict(seen.bases)
                for key, _ in seen.reads:
                    if kernel.base_known(key):
                        bases[key] = kernel.lookup(key, position)
                for scan in seen.scans:
                    under = kernel.written_under(scan.prefix, position)
                    bases |= {key: value for key, value in under if scan.covers(key)}
                read = read._replace(observation=seen._replace(bases=bases))
            found.append((agent, read))
        return found

    def _drop_foreign(self) -> None:
        """Forget reads that wait to be recorded, of agents that others have ended or taken up."""
        if all(self._speaks_for(agent) for agent in self._unrecorded):
            return
        self._reads = [(agent, read) for agent, read in self._reads if self._speaks_for(agent)]
        self._unrecorded = {agent: n for agent, n in self._unrecorded.items() if self._speaks_for(agent)}

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

    def _forget_read(self, event: CallObserved) -> None:
        """Let a read wait no longer that has been appended, though nothing was heard of it."""
        seen = event.observation
        for at, (agent, read) in enumerate(self._reads):
            if read._replace(observation=read.observation._replace(bases=seen.bases)) == event:
                del self._reads[at]
                self._unrecorded[agent] -= 1
                return

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
        return agent.next_sequence + self._unrecorded.get(agent, 0)

    def position(self, agent: Participant) -> Position:
        """Return the position of the agent's next call."""
        if not self._reads:
            return self.kernel.position(agent)
        return position_of(agent.order, self.next_sequence(agent))

    def waiting_reads(self, agent: Participant) -> list[tuple[CallId, CallObserved]]:
        """Return the agent's calls that wait to be recorded."""
        mine = [event for other, event in self._reads if other is agent]
        return [
            (call_id(agent.name, sequence), event) for sequence, event in enumerate(mine, agent.next_sequence)
        ]

    def waiting_read(self, identity: str) -> CallObserved | None:
        """Return a call that waits to be recorded, by its id."""
        agents = {id(agent): agent for agent, _ in self._reads}
        found = (dict(self.waiting_reads(agent)).get(CallId(identity)) for agent in agents.values())
        return next((event for event in found if event is not None), None)

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
