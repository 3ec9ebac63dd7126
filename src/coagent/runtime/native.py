"""Runs native tools: their reads and writes are observed, and recorded together when they end.

A reversible run that saw what is no longer so when it ends is thrown away and made again: it has changed
nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from coagent.errors import AgentNotActive, LogError, TargetError, TargetUnavailable, ToolFailed
from coagent.protocol.calls import NOTHING, Call, Footprint, Observation, Position, Rank
from coagent.protocol.edit_merging import Merge, merged_run
from coagent.protocol.events import (
    Blocked,
    CallAmended,
    CallBegun,
    CallObserved,
    CallReexecuted,
    CallUndone,
    Event,
)
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.protocol.values import Selector, Value
from coagent.runtime.outcomes import Run, plain, told
from coagent.runtime.runner import NotBegun, NotGoneOn, Ran, Runner, new_intent, restart, who_alone_knows
from coagent.runtime.tasks import Caller
from coagent.targets.base import Before
from coagent.tools.base import Tool
from coagent.tools.intent import under
from coagent.tools.native import NativeTool
from coagent.tools.state import Reader, State

_ACTIVE = AgentPhase.ACTIVE
_NOTHING = Footprint(frozenset(), frozenset(), frozenset())
"""What an irreversible native call keeps others from: nothing, since what it writes enters like any other."""


class NativeRunner(Runner):
    """Runs tools written in Python over a `State`."""

    async def perform(
        self, agent: Participant, tool: Tool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Ran:
        assert isinstance(tool, NativeTool), "the runner of native tools runs native tools"
        if tool.effect == "irreversible":
            return await self._perform_once(agent, tool, arguments, checked)
        parts = self._parts
        kernel, recorder, moment_s = parts.kernel, parts.recorder, parts.clock.moment_s
        waiting = recorder.waiting
        while True:
            steps, deferred, began_s = kernel.steps, waiting.deferred, moment_s()
            forgotten, position = kernel.forgotten, recorder.position(agent)
            try:
                observation, failure = await self._observe(tool, checked, position, agent.rank)
            except TargetUnavailable as away:  # met by the tool itself, where no reader has waited for it
                if away.given_up:
                    raise
                observation, failure = await parts.patience.retry(
                    partial(self._observe, tool, checked, position, agent.rank), away
                )
            if kernel.steps != steps or waiting.deferred != deferred:  # something has happened meanwhile
                if recorder.position(agent) != position or kernel.forgotten != forgotten:
                    continue
                if not kernel.holds(observation, position):
                    continue
            if kernel.locks and await self._blocked(agent, observation):
                continue
            took_ms = int((moment_s() - began_s) * 1000)
            event = CallObserved(agent.rank, tool.name, arguments, observation, False, took_ms)
            if (
                not observation.writes
                and failure is None
                and kernel.reads_may_wait
                and recorder.reads_may_wait
                and not parts.copies.any  # what it read may be behind the log, which only an append tells
                and agent.phase is _ACTIVE
                and agent.called
            ):
                call_id = waiting.add_call(agent, event)
                if waiting.full:
                    await recorder.flush()
                return Ran(call_id, observation, None, None)
            if recorder.log.instant:
                call = recorder.record_now(event)
                assert isinstance(call, Call), "a call was recorded"
                return Ran(call.id, observation, failure, call)
            made = await self._record_if_it_holds(agent, event, position, forgotten)
            if made is not None:
                return Ran(made.id, observation, failure, made)

    async def _record_if_it_holds(
        self, agent: Participant, event: CallObserved, position: Position, forgotten: int
    ) -> Call | None:
        """Record a run unless it saw what is no longer so; None where it has to be made again."""
        parts = self._parts
        kernel, recorder = parts.kernel, parts.recorder
        steps = kernel.steps

        def decide() -> Event | None:
            if kernel.steps == steps:
                return event  # nothing has happened since it was looked at
            if agent.ended:
                raise AgentNotActive(
                    f"agent {agent.name!r} has {agent.phase.value}", "Join the domain again, as a new agent."
                )
            still = recorder.position(agent) == position and kernel.forgotten == forgotten
            return event if still and kernel.holds(event.observation, position) else None

        made = await recorder.record(decide)
        return made if isinstance(made, Call) else None

    async def _perform_once(
        self, agent: Participant, tool: NativeTool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Ran:
        """Run an irreversible tool: recorded before and after, once and no more."""
        caller = Caller()

        async def carried() -> Ran:
            owner = self._parts.recorder.tenure.owner
            event = CallBegun(agent.rank, tool.name, arguments, _NOTHING, True, owner, new_intent())
            call = await self.record_call(agent, event, tool.gate, caller)
            intent = call.intent
            run = await self._act(call, tool, checked)
            if isinstance(run.failure, NotGoneOn):
                await self.record_lost_again(call, intent, owner)
                raise run.failure
            whose = who_alone_knows(run, owner)
            await self.record_run(call, lambda: run.observation, intent=intent, owner=whose)
            self._require_still(agent, call, run)
            return Ran(call.id, run.observation, run.failure, call)

        return await self._parts.tasks.carry(carried, caller)

    async def run_staged(self, call: Call, tool: Tool) -> None:
        assert isinstance(tool, NativeTool), "the runner of native tools runs native tools"
        recorder = self._parts.recorder

        def begin() -> Event | None:
            kernel = self._parts.kernel
            agent = kernel.agents[call.rank]
            due = call.phase is CallPhase.STAGED and agent.at_work and kernel.its_turn(agent)
            return self.begins(call, _NOTHING) if due else None

        async def carried() -> None:
            if await recorder.record(begin) is None:
                return  # undone, or begun by somebody else, or somebody has passed its agent
            # What it sees is final, and so is what it does.
            await self._act_and_record(call, tool)

        await self._parts.tasks.carry(carried)

    async def run_again(self, call: Call, tool: Tool) -> None:
        assert isinstance(tool, NativeTool), "the runner of native tools runs native tools"

        def begin() -> Event | None:
            wanted = call.phase is CallPhase.UNKNOWN and self._parts.kernel.is_wanted(call)
            return self.begins(call, _NOTHING, call.intent) if wanted else None

        async def carried() -> None:
            if await self._parts.recorder.record(begin) is not None:
                await self._act_and_record(call, tool, again=True)

        await self._parts.tasks.carry(carried)

    async def take_back_unwanted(self, call: Call, tool: Tool, ran: Observation | None) -> None:
        raise AssertionError("what of a native tool can be taken back has no run that may be lost")

    def happened(self, call: Call, result: Value) -> Observation:
        return NOTHING._replace(value=result)

    async def _act_and_record(self, call: Call, tool: NativeTool, *, again: bool = False) -> None:
        intent, owner = call.intent, call.runner
        try:
            checked = tool.arguments.checked(call.arguments)
        except ToolFailed as failure:
            wrong = Observation.failed(told(failure))
            await self.record_run(call, lambda: wrong, intent=intent)
            return
        while isinstance((run := await self._act(call, tool, checked)).failure, NotBegun):
            if not await self.begun_anew(call, _NOTHING, intent, owner):
                return
            owner = self._parts.recorder.tenure.owner
        if isinstance(run.failure, NotGoneOn):
            await self.record_lost_again(call, intent, owner)
            return
        if again and isinstance(run.failure, TargetUnavailable):
            await self.record_lost_again(call, intent, owner)
            raise run.failure
        whose = who_alone_knows(run, owner)
        await self.record_run(call, lambda: run.observation, intent=intent, owner=whose)

    async def _act(self, call: Call, tool: NativeTool, checked: Mapping[str, Any]) -> Run:
        """Run an irreversible call whose run has begun here.

        What it reads may take as long as a target, or the log, is away. Where this process is thought to be
        dead by then, somebody may have said of the call that it has not run: so it goes no further.
        """
        owner = call.runner

        async def still() -> None:
            try:
                await self._still_begun(owner)
            except NotBegun as failure:
                raise NotGoneOn(failure.cause, failure.cure) from None

        try:
            await self._still_begun(owner)
        except (NotBegun, LogError) as failure:
            return Run(Observation.failed(told(failure)), failure)
        with under(call.intent):
            return await self._observe(tool, checked, call.position, call.rank, still)

    async def reexecute(self, call: Call, tool: Tool) -> None:
        arguments, position = call.arguments, call.position
        kernel, moment_s = self._parts.kernel, self._parts.clock.moment_s
        assert isinstance(tool, NativeTool), "the runner of native tools runs native tools"
        began_s = moment_s()
        seen = (await self._observe_again(call, tool, arguments)).observation
        if seen.error is not None and tool.merge is not None:
            seen = await self._merged(call, tool.merge, seen) or seen
        took_ms = int((moment_s() - began_s) * 1000)

        def decide() -> Event | None:
            if kernel.call(call.id) is not call or call.arguments is not arguments:
                return None  # undone or amended while it ran
            if not kernel.holds(seen, position) or call.position != position:
                return None
            return CallReexecuted(call.id, seen, took_ms)

        await self._parts.recorder.record(decide)

    async def _merged(self, call: Call, merge: Merge, failed: Observation) -> Observation | None:
        """Return the run that failed with the call's change merged into what is there; None: they clash."""
        merged = merged_run(call, failed, merge)
        if merged is None:
            return None
        writes, bases = dict(merged.writes), {}
        for key, value in writes.items():
            target = self._parts.targets.of(key)
            if target.admits:
                try:
                    writes[key] = await target.admit(key, value, _held(failed.reads, key, None))
                except TargetUnavailable:
                    raise
                except (ToolFailed, TargetError):
                    return None
            if not self._parts.kernel.base_known(key):
                bases[key] = failed.reads[key, None]
        return merged._replace(writes=writes, bases=bases)

    async def undo(self, call: Call, person: str = "") -> None:
        kernel = self._parts.kernel
        await self._parts.recorder.record(
            lambda: CallUndone(call.id, person) if kernel.call(call.id) is call else None
        )

    async def amend(
        self, call: Call, tool: Tool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Run:
        kernel, moment_s = self._parts.kernel, self._parts.clock.moment_s
        agent = kernel.agents[call.rank]
        while True:
            began_s = moment_s()
            run = await self._observe_again(call, tool, arguments)
            observation, took_ms = run.observation, int((moment_s() - began_s) * 1000)

            def decide(observation: Observation = observation, took_ms: int = took_ms) -> Event | None:
                if kernel.call(call.id) is not call:
                    raise AgentNotActive(f"call {call.id!r} of agent {agent.name!r} does not stand any more")
                self._parts.recorder.require_served(agent)
                holds = kernel.holds(observation, call.position)
                return CallAmended(call.id, arguments, observation, True, took_ms) if holds else None

            if await self._parts.recorder.record(decide) is not None:
                return run

    # ---- parts ---------------------------------------------------------------------------------------------

    async def _observe(
        self,
        tool: NativeTool,
        checked: Mapping[str, Any],
        position: Position,
        rank: Rank,
        still: Callable[[], Awaitable[None]] | None = None,
        kept: Value = None,
    ) -> Run:
        """Run a tool over the state at a position, and load what its undo needs.

        Args:
            kept: What an earlier run has drawn from the clock or from chance.
            still: Makes sure, as the tool reads, that the run is to go on; raises where it is not.
        """
        parts = self._parts
        once = tool.effect == "irreversible"  # recorded in any case, even if its objects are forgotten first
        reader = parts.reader(position, rank, once=once)
        state = State(parts.reader(position, rank, once=once, still=still) if once else reader, kept)
        try:
            if parts.copies.behind:
                await parts.copies.bring()
            value = plain(tool.name, await tool.run(state, checked))
            writes = state.writes
            if not writes:
                seen = Observation(state.reads, state.scans, NOTHING.writes, NOTHING.bases, value)
                return Run(seen if state.kept is None else seen._replace(prepared=state.kept), None)
            bases: dict[Key, Value] = {}
            for key in writes:
                target, before = parts.targets.of(key), _held(state.reads, key, reader)
                if target.admits:
                    writes[key] = await target.admit(key, writes[key], before)
                if once or not parts.kernel.base_known(key):
                    bases[key] = await before()
        except (TargetUnavailable, LogError) as failure:  # that is no answer of the tool's
            if once:  # it may have acted, so that it did not come to its end is recorded
                return Run(Observation.failed(told(failure), state.reads, state.scans), failure)
            raise
        except Exception as failure:
            failed = Observation.failed(told(failure), state.reads, state.scans)
            return Run(failed if state.kept is None else failed._replace(prepared=state.kept), failure)
        seen = Observation(state.reads, state.scans, writes, bases, value, prepared=state.kept)
        return Run(seen, None)

    async def _observe_again(self, call: Call, tool: Tool, arguments: Mapping[str, Value]) -> Run:
        """Run a call once more at its own position."""
        assert isinstance(tool, NativeTool), "the runner of native tools runs native tools"
        kernel = self._parts.kernel
        while True:
            forgotten, position = kernel.forgotten, call.position
            try:
                checked = tool.arguments.checked(arguments)
            except ToolFailed as failure:
                return Run(Observation.failed(told(failure)), failure)
            run = await self._observe(tool, checked, position, call.rank, kept=call.seen.prepared)
            still = kernel.forgotten == forgotten and call.position == position
            if still and kernel.holds(run.observation, position):
                return run

    async def _blocked(self, agent: Participant, observation: Observation) -> bool:
        """Wait until the locks that a run needs may be free; False where they are free now."""
        parts = self._parts
        kernel = parts.kernel
        blockers = kernel.blockers(agent, observation)
        if not blockers:
            return False
        await parts.recorder.record(lambda: Blocked(agent.rank, tuple(sorted(blockers))))
        await parts.recorder.until(lambda: agent.must_restart or agent.ended or not kernel.waiting(agent))
        if agent.must_restart:
            await restart(parts, agent)
        return True


def _held(reads: Mapping[tuple[Key, Selector | None], Value], key: Key, reader: Reader | None) -> Before:
    """Return what tells what an object held before a run wrote it: the run has read that, or it is read."""

    async def before() -> Value:
        whole = (key, None)
        return reads[whole] if whole in reads or reader is None else await reader.read(key)

    return before
