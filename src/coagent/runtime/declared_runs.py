"""Single runs of declared tools: acting, recording what came of it, taking back what nobody wants any more.

What a run of an agent that has ended turns out to have done is taken back, where its tool can do that. So
that only one process does, it records first that it sees to the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.calls import Call, Footprint, Observation
from coagent.protocol.events import CallAmended, Event, ReversalBegun, ReversalFailed, RunBegun, RunLost
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import Value
from coagent.runtime.outcomes import Run, plain, told
from coagent.runtime.runner import NotBegun, Parts, Runner, is_open, who_alone_knows
from coagent.runtime.tokens import Tokens
from coagent.tools.base import Tool
from coagent.tools.declared import DeclaredTool
from coagent.tools.intent import under

_TAKEN_BACK = "its agent has ended, and it was taken back"


class DeclaredRuns(Runner):
    """Makes single runs of declared tools.

    Args:
        parts: The domain's.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._tokens = Tokens(parts)
        self.at_work: set[str] = set()
        """The runs that this process is about to make, or makes, by their intents."""

    async def run_again(self, call: Call, tool: Tool) -> None:
        declared, recorder = declared_tool(tool), self._parts.recorder

        async def carried() -> None:
            checked = declared.arguments.checked(call.arguments)
            footprint = call.under_way or declared.footprint(checked)

            def begin() -> Event | None:
                if call.phase is not CallPhase.UNKNOWN or not self._parts.kernel.is_wanted(call):
                    return None
                return self.begins(call, footprint, call.intent, prepared=call.prepared)

            if await recorder.record(begin) is None:
                return
            intent = call.intent
            made = await self._run_anew(call, declared, checked, footprint)
            if made is None:
                return
            run, whose = made
            if isinstance(run.failure, TargetUnavailable):
                await self.record_lost_again(call, intent, whose)
                raise run.failure
            await self._end(call, declared, run, footprint, checked, intent, whose)

        await self._parts.tasks.carry(carried)

    def happened(self, call: Call, result: Value) -> Observation:
        seen = Observation({}, {}, {}, {}, result, None, declared=True, prepared=call.prepared)
        run = Run(seen, None)
        assert call.under_way is not None, "it was under way when its process died"
        return self._tokens.observed(run, call.under_way, call.position, call.id)

    async def _end(
        self,
        call: Call,
        tool: DeclaredTool,
        run: Run,
        footprint: Footprint,
        checked: Mapping[str, Any],
        intent: str,
        whose: str | None,
        *,
        again: bool = False,
    ) -> None:
        """Record how a run has ended; of a call that counts as failed, it is taken back.

        Only an amendment brings such a call back, so that it ran was a trial. The agent may hear that it had
        failed while it runs, and by another process: what this one knows as it records is what counts.
        """
        taken_back = False
        while True:
            if not taken_back and _is_trial(call, run, footprint):
                try:
                    await tool.reverse(run.observation.prepared, run.observation.value, checked)
                except Exception as failure:
                    await self._leave_standing(call, run, footprint, told(failure))
                    return
                taken_back = True
            await self._record(
                call, tool, run, footprint, intent, again=again, whose=whose, taken_back=taken_back
            )
            mine = is_open(call) and call.intent == intent and self._parts.kernel.call(call.id) is call
            if taken_back or not mine or not _is_trial(call, run, footprint):
                return

    async def _leave_standing(self, call: Call, run: Run, footprint: Footprint, reason: str) -> None:
        """Let a call count that was only tried again, since what the trial did could not be taken back."""
        keys = ", ".join(sorted(footprint.writes))
        error = (
            f"call {call.id!r} ({call.tool}), which had failed, was tried again and could not be taken back "
            f"({reason}): it counts as made, and the state of {keys} is unknown"
        )
        seen = self._tokens.observed(run, footprint, call.position, call.id)
        owner = self._parts.recorder.tenure.owner

        def begun() -> Event | None:
            return ReversalBegun(call.id, footprint, owner) if call.applied and not call.under_way else None

        def failed() -> Event | None:
            mine = call.phase is CallPhase.REVERSING and call.runner == owner
            return ReversalFailed(call.id, error) if mine else None

        await self.record_outcome(call, lambda: CallAmended(call.id, call.arguments, seen, heard=False))
        await self._insist(begun)
        await self._insist(failed)

    async def _record(
        self,
        call: Call,
        tool: DeclaredTool,
        run: Run,
        footprint: Footprint,
        intent: str,
        *,
        again: bool = False,
        whose: str | None = None,
        taken_back: bool = True,
    ) -> None:
        def observed() -> Observation | None:
            if not taken_back and _is_trial(call, run, footprint):
                return None  # its agent has heard meanwhile that it had failed
            # Where it is under way again, another process is about to take it back.
            if run.failure is None and not call.irreversible and self._parts.kernel.call(call.id) is not call:
                return None
            if again:
                return self._tokens.again(call, run, footprint)
            return self._tokens.observed(run, footprint, call.position, call.id)

        await self.record_run(call, observed, intent=intent, owner=whose)
        if run.failure is None and self._is_unwanted(call) and call.intent == intent:
            await self.take_back_unwanted(call, tool, run.observation)

    def _is_unwanted(self, call: Call) -> bool:
        """Tell whether a call that may have run can be taken back, and its agent has ended."""
        unknown = call.phase is CallPhase.UNKNOWN and not call.irreversible
        return unknown and self._parts.kernel.call(call.id) is not call

    async def take_back_unwanted(self, call: Call, tool: Tool, ran: Observation | None) -> None:
        declared, recorder = declared_tool(tool), self._parts.recorder

        async def carried() -> None:
            await recorder.tenure.assure()
            footprint, intent = call.under_way, call.intent
            if footprint is None:  # others have seen to it
                return
            if await recorder.record(lambda: self._sees_to(call, footprint, intent)) is None:
                return
            owner = recorder.tenure.owner

            def lost() -> Event | None:
                return RunLost(call.id) if call.runner == owner and _is_running(call) else None

            seen = ran
            try:
                checked = declared.arguments.checked(call.arguments)
                if seen is None:
                    run = await self._run(call, declared, checked)
                    if isinstance(run.failure, NotBegun | TargetUnavailable):
                        raise run.failure  # which says nothing of the run before
                    seen = run.observation
                if seen.error is None:
                    await self._still_begun(owner)
                    await declared.reverse(seen.prepared, seen.value, checked)
            except NotBegun:
                await self.record_outcome(call, lost)
                return
            except Exception as failure:
                await self.record_outcome(call, lost)
                if seen is None and isinstance(failure, TargetUnavailable):
                    raise
                raise TargetError(
                    f"call {call.id!r} ({call.tool}) has run, and could not be taken back: {told(failure)}",
                    f"Take it back by hand, and say so: coagent resolve {call.id} --drop",
                ) from failure
            undone = Observation.failed(_TAKEN_BACK)
            await self.record_run(call, lambda: undone, intent=intent)

        await self._parts.tasks.carry(carried)

    def _sees_to(self, call: Call, footprint: Footprint, intent: str) -> Event | None:
        if not self._is_unwanted(call) or call.intent != intent:
            return None
        return self.begins(call, footprint, intent, prepared=call.prepared)

    async def _run_anew(
        self, call: Call, tool: DeclaredTool, checked: Mapping[str, Any], footprint: Footprint
    ) -> tuple[Run, str | None] | None:
        """Run a call, if need be under another lease than it was begun with.

        Returns:
            The run, and whose word it is (`who_alone_knows`); None where others see to it.
        """
        while True:
            intent, owner = call.intent, call.runner
            run = await self._run(call, tool, checked)
            if not isinstance(run.failure, NotBegun):
                return run, who_alone_knows(run, owner)
            if not await self.begun_anew(call, footprint, intent, owner):
                return None

    async def _run(self, call: Call, tool: DeclaredTool, checked: Mapping[str, Any]) -> Run:
        owner, intent = call.runner, call.intent
        self.at_work.add(intent)
        try:
            with under(intent):
                # Where it is run once more, it may have acted: what was there before, the log tells.
                prepared = call.prepared
                if prepared is None:
                    prepared = plain(tool.name, await tool.prepare(checked))
                    if prepared is not None:
                        await self.record_outcome(call, lambda: self._prepared(call, owner, prepared))
                await self._still_begun(owner)
                value = plain(tool.name, await tool.exec(checked))
        except Exception as failure:
            return Run(Observation.failed(told(failure))._replace(declared=True), failure)
        finally:
            self.at_work.discard(intent)
        return Run(Observation({}, {}, {}, {}, value, None, declared=True, prepared=prepared), None)

    def _prepared(self, call: Call, owner: str, prepared: Value) -> Event | None:
        """Return the event by which what is needed to take a call back survives its process."""
        if not _is_running(call) or call.runner != owner or call.under_way is None:
            return None
        if call.prepared is not None:  # it was recorded, though nothing was heard of that
            return None
        return RunBegun(call.id, call.under_way, owner, call.intent, None, prepared)


def _is_trial(call: Call, run: Run, footprint: Footprint) -> bool:
    """Tell whether a run has done something for a call that counts as failed."""
    return call.lapsed and run.failure is None and bool(footprint.writes)


def _is_running(call: Call) -> bool:
    return call.phase is CallPhase.RUNNING


def declared_tool(tool: Tool) -> DeclaredTool:
    """Return a tool as the declared one that it is."""
    assert isinstance(tool, DeclaredTool), "the runner of declared tools runs declared tools"
    return tool
