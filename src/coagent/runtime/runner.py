"""What runs a tool: one runner for each kind, behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

from coagent.errors import AgentNotActive, AgentRestarted, AgentTakenUp, LogUnavailable
from coagent.protocol.calls import Call, CallId, Footprint, Observation, Position, Rank
from coagent.protocol.decisions import Gate
from coagent.protocol.events import CallRan, CallReexecuted, Event, Restarted, RunBegun, RunLost
from coagent.protocol.kernel import Kernel
from coagent.protocol.participants import Participant
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import Value
from coagent.runtime.catalog import Catalog
from coagent.runtime.clock import Clock
from coagent.runtime.copies import Copies
from coagent.runtime.effects import Effects
from coagent.runtime.outcomes import Run
from coagent.runtime.outsiders import Outsiders
from coagent.runtime.patience import Patience
from coagent.runtime.reader import PositionReader, Targets
from coagent.runtime.recorder import Made, Recorder
from coagent.runtime.refusals import being_aborted
from coagent.runtime.tasks import Caller, Tasks
from coagent.tools.base import Tool


class Ran(NamedTuple):
    """A call that was made.

    Args:
        call_id: Its id.
        observation: What its run saw and did.
        failure: The exception where it failed.
        call: The call; None where it waits to be recorded (it only read).
    """

    call_id: CallId
    observation: Observation
    failure: Exception | None
    call: Call | None


@dataclass(slots=True)
class Parts:
    """The parts of an open domain that its duties are divided among."""

    kernel: Kernel
    recorder: Recorder
    targets: Targets
    catalog: Catalog
    clock: Clock
    patience: Patience
    outsiders: Outsiders
    effects: Effects
    tasks: Tasks
    copies: Copies
    advance: Callable[[], None] = lambda: None
    """Starts whatever outstanding work this process can do, without waiting for it (`work.py`)."""
    ending: set[Rank] = field(default_factory=set)
    """The agents that this process is just taking back, to end them."""
    doubtful: set[str] = field(default_factory=set)
    """The intents of runs that this process has begun once more, not knowing whether they had been before."""

    @contextmanager
    def ends(self, rank: Rank) -> Iterator[None]:
        """Note that this process is ending an agent."""
        self.ending.add(rank)
        try:
            yield
        finally:
            self.ending.discard(rank)
            self.recorder.wake()

    async def meanwhile(self) -> None:
        """Do for others what a process does while one of its agents waits."""
        self.advance()

    async def rests_on_change(self, agent: Participant) -> bool:
        """Look, before something final rests on it, whether somebody outside has changed what an agent saw.

        Returns:
            Whether somebody had; the agent may have to be told first.

        Raises:
            TargetUnavailable, TargetError: Something cannot be read.
        """
        return self.kernel.notifies and await self.outsiders.look_at_premises(agent)

    def reader(
        self,
        position: Position,
        rank: Rank,
        *,
        once: bool = False,
        still: Callable[[], Awaitable[None]] | None = None,
    ) -> PositionReader:
        """Return what a run at a position reads through; `once`, `still`: as for a `PositionReader`."""
        return PositionReader(self.outsiders.sources, position, rank, once=once, still=still)


def new_intent() -> str:
    """Return a name for a run that no run has had."""
    return uuid4().hex


class NotBegun(AgentTakenUp):
    """A run was given up right before it would have acted: its process was thought to be dead meanwhile."""


class NotGoneOn(AgentTakenUp):
    """A run was given up at a read: its process was thought dead meanwhile. It may have acted before."""


class NotItsTurn(Exception):
    """Since its call was let through, somebody has passed the agent, or it has something to read."""


class Runner(ABC):
    """Runs the tools of one kind, for the first time and again, and takes their calls back.

    Args:
        parts: The domain's.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @abstractmethod
    async def perform(
        self, agent: Participant, tool: Tool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Ran:
        """Run a tool at the end of the agent's sequence and record it.

        Raises:
            AgentNotActive: The agent has ended meanwhile; a reversible call has changed nothing.
            NotItsTurn: An irreversible call may not run any more, and has not begun.
            TargetUnavailable: A target was away for too long; nothing was recorded.
        """

    @abstractmethod
    async def reexecute(self, call: Call, tool: Tool) -> None:
        """Run a call again at its position, because a premise of it has moved."""

    @abstractmethod
    async def run_staged(self, call: Call, tool: Tool) -> None:
        """Run a staged call whose turn has come."""

    @abstractmethod
    async def undo(self, call: Call, person: str = "") -> None:
        """Withdraw a call, taking back what it did.

        Args:
            call: The call.
            person: Who does so, where it is not its agent.
        """

    @abstractmethod
    async def amend(
        self, call: Call, tool: Tool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Run:
        """Run a call with other arguments in its place."""

    @abstractmethod
    async def run_again(self, call: Call, tool: Tool) -> None:
        """Run a call of which nobody knows whether it has run, under the name that it had.

        Raises:
            TargetUnavailable: The system behind it is away, which says nothing: it stays unknown.
        """

    @abstractmethod
    async def take_back_unwanted(self, call: Call, tool: Tool, ran: Observation | None) -> None:
        """Take back what a call has done whose agent has ended meanwhile; or nothing, where others see to it.

        Args:
            call: The call, of which nobody knew whether it had run, and which can be taken back.
            tool: Its tool.
            ran: How it ran; None: run it once more under its name, where its tool acts once for one.

        Raises:
            TargetError: It could not be taken back, and stays unknown.
        """

    @abstractmethod
    def happened(self, call: Call, result: Value) -> Observation:
        """Return what is recorded of a call that has had its effect, though nobody has seen it run."""

    def begins(
        self,
        call: Call,
        footprint: Footprint,
        intent: str = "",
        arguments: Mapping[str, Value] | None = None,
        prepared: Value = None,
    ) -> RunBegun:
        """Return the event by which this process begins to run a call that has its position.

        Args:
            call: The call.
            footprint: What nobody else may touch meanwhile.
            intent: What the run is known by; a new name by default.
            arguments: What it is amended to.
            prepared: What has been captured to take it back by.
        """
        owner = self._parts.recorder.tenure.owner
        if call.phase is CallPhase.UNKNOWN:
            self._parts.doubtful.add(intent)
        return RunBegun(call.id, footprint, owner, intent or new_intent(), arguments, prepared)

    async def begun_anew(self, call: Call, footprint: Footprint, intent: str, owner: str) -> bool:
        """Begin a run again that had not acted yet when this process turned out to be thought dead.

        It keeps its name. Whoever else has seen to it meanwhile goes on with it.

        Args:
            call: The call.
            footprint: What nobody else may touch meanwhile.
            intent: What the run is known by.
            owner: As which this process had begun it.

        Returns:
            Whether this process runs it.
        """
        kernel, recorder = self._parts.kernel, self._parts.recorder
        await recorder.catch_up()

        def lost() -> Event | None:
            mine = call.phase is CallPhase.RUNNING and call.runner == owner and call.intent == intent
            return RunLost(call.id) if mine else None

        def begin() -> Event | None:
            open_ = call.phase is CallPhase.UNKNOWN and call.intent == intent
            return self.begins(call, footprint, intent) if open_ and kernel.is_wanted(call) else None

        await recorder.record(lost)
        return await recorder.record(begin) is not None

    async def record_run(
        self,
        call: Call,
        observe: Callable[[], Observation | None],
        phase: CallPhase | None = None,
        *,
        intent: str | None = None,
        owner: str | None = None,
    ) -> None:
        """Record how a run has ended, however it is looked at by then.

        Where its process was thought to be dead meanwhile, somebody may have found out how it has ended; then
        there is nothing to be said any more.

        Args:
            call: The call.
            observe: Returns the run, with the tokens that stand when it is recorded; None: not now.
            phase: Only while the call is in it.
            intent: What the run was known by; None: whatever run there is.
            owner: Only while nobody else than this owner has begun it; None: whoever has.
        """
        kernel = self._parts.kernel

        def decide() -> Event | None:
            if call.phase not in (CallPhase.RUNNING, CallPhase.UNKNOWN):
                return None
            if (phase is not None and call.phase is not phase) or intent not in (None, call.intent):
                return None
            if owner not in (None, call.runner):
                return None
            if (seen := observe()) is None:
                return None
            again = kernel.call(call.id) is call and kernel.is_dirty(call)
            return CallReexecuted(call.id, seen) if again else CallRan(call.id, seen)

        if phase is None:
            await self.record_outcome(call, decide)
        else:
            await self._parts.recorder.record(decide)

    async def record_outcome(self, call: Call, decide: Callable[[], Event | None]) -> Made:
        """Record what has come of something that has been done, however long the log is away.

        Were it not recorded, everybody would wait for it for as long as this process lives.

        Args:
            call: What was run, or reversed.
            decide: Returns what is to be recorded.
        """
        return await self._insist(lambda: decide() if is_open(call) else None)

    async def record_lost_again(self, call: Call, intent: str, owner: str | None = None) -> None:
        """Record of a run that nobody knows whether it has run, as before it was made under an old name.

        Args:
            call: The call.
            intent: What the run was known by.
            owner: Only while nobody else than this owner has begun it; None: whoever has.
        """

        def lost() -> Event | None:
            mine = call.intent == intent and owner in (None, call.runner)
            return RunLost(call.id) if call.phase is CallPhase.RUNNING and mine else None

        await self.record_outcome(call, lost)

    async def _insist(self, decide: Callable[[], Event | None]) -> Made:
        """Record something however long the log is away; once, also where nothing was heard of a try.

        Args:
            decide: Returns what is to be recorded, and None where it has been.
        """
        tried = 0
        while True:
            try:
                return await self._parts.recorder.record(decide, insists=True)
            except LogUnavailable:
                await self._parts.patience.pause(tried)
                tried += 1

    async def _still_begun(self, owner: str) -> None:
        """Make sure, before a run or a reversal acts, that this process is still thought to live.

        That it has begun is in the log, and what comes of it can be recorded nowhere else, so nothing is lost
        by waiting for the log.

        Args:
            owner: As which this process has begun it.

        Raises:
            NotBegun: This process was thought to be dead meanwhile.
            LogError: That cannot be told, for another reason than that the log is away.
        """
        tried = 0
        while True:
            try:
                return await self._parts.recorder.tenure.require(owner)
            except AgentTakenUp as failure:
                raise NotBegun(failure.cause, failure.cure) from None
            except LogUnavailable:
                await self._parts.patience.pause(tried)
                tried += 1

    def _require_still(self, agent: Participant, call: Call, run: Run) -> None:
        """Refuse to hand what a run returned to an agent that has ended, or is another process', meanwhile.

        Raises:
            AgentNotActive, AgentTakenUp: It is so; what cannot be taken back is said to have been done.
        """
        try:
            self._parts.recorder.require_served(agent)
            if agent.ended:
                require_active(agent)
        except (AgentNotActive, AgentTakenUp) as refused:
            if not call.irreversible or run.failure is not None:
                raise
            raise type(refused)(
                f"{refused.cause} while call {call.id!r} ({call.tool}) was under way; it has run, and stands",
                f"{refused.cure} Do not do again what that call has done.",
            ) from None

    async def record_call(
        self, agent: Participant, event: Event, gate: str | None = None, caller: Caller | None = None
    ) -> Call:
        """Record an event that makes a call of an agent.

        Args:
            agent: The agent.
            event: The event.
            gate: Of the tool, where the event lets an irreversible call run.
            caller: Whoever has made the call, where it is recorded only for that.

        Raises:
            AgentNotActive: The agent has ended.
            NotItsTurn: The gate is closed again.
        """
        kernel = self._parts.kernel

        def decide() -> Event:
            if caller is not None:
                caller.require()
            require_active(agent)
            if gate is not None and kernel.gate(agent, gate) is not Gate.RUN:
                raise NotItsTurn
            return event

        made = await self._parts.recorder.record(decide)
        assert isinstance(made, Call), f"{type(event).__name__} makes a call"
        return made


def who_alone_knows(run: Run, owner: str) -> str | None:
    """Return whose word a run is: that it failed here says nothing of who has begun it since."""
    return owner if run.failure is not None else None


def is_open(call: Call) -> bool:
    """Tell whether it is not known yet what has come of a run, or of a reversal, that has begun."""
    return call.phase in (CallPhase.RUNNING, CallPhase.UNKNOWN, CallPhase.REVERSING)


def require_active(agent: Participant) -> None:
    """Refuse what an agent that has ended can no longer do.

    Raises:
        AgentNotActive: It has committed or aborted, or is just being aborted.
    """
    if agent.aborting:
        raise being_aborted(agent)
    if agent.ended:
        raise AgentNotActive(
            f"agent {agent.name!r} has {agent.phase.value}", "Join the domain again, as a new agent."
        )


async def restart(parts: Parts, agent: Participant) -> None:
    """Withdraw all that an agent has done, as a baseline protocol wants it.

    Raises:
        AgentRestarted: Always, for the agent to begin again.
    """
    kernel = parts.kernel
    await parts.recorder.record(
        lambda: Restarted(agent.rank) if not agent.ended and kernel.must_begin_again(agent) else None
    )
    raise AgentRestarted(
        f"agent {agent.name!r} was undone to resolve a conflict ({kernel.name})",
        "Begin again from the start.",
    )
