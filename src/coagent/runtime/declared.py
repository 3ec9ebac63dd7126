"""Runs declared tools: what stands in the way is reversed newest first, and runs again afterwards.

Nobody can see into the systems behind declared tools, so the kernel tracks tokens instead of values: each run
leaves a token of its own on the keys it writes, and whoever saw another token is run again. Before anything
is done in such a system, the log says so, with what will be touched: whoever wants to touch the same waits,
in any process, and nobody else does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from coagent.errors import AgentNotActive, TargetError, ToolFailed
from coagent.protocol.calls import Call, Cause, Footprint, Observation, Position, call_id
from coagent.protocol.decisions import Gate
from coagent.protocol.events import (
    CallAmended,
    CallBegun,
    CallRan,
    CallReexecuted,
    CallReversed,
    CallUndone,
    Event,
    Resolved,
    ReversalBegun,
    ReversalFailed,
)
from coagent.protocol.participants import Participant
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import Value
from coagent.runtime.declared_runs import DeclaredRuns, declared_tool
from coagent.runtime.not_known import refuse_stuck, refuse_unknown, stuck_in
from coagent.runtime.outcomes import Run, told
from coagent.runtime.right_of_way import RightOfWay, both
from coagent.runtime.runner import (
    NotBegun,
    NotItsTurn,
    Parts,
    Ran,
    new_intent,
    require_active,
    who_alone_knows,
)
from coagent.runtime.tasks import Caller
from coagent.tools.base import Tool


class DeclaredRunner(DeclaredRuns):
    """Runs tools that say what they touch, and how they are taken back.

    Args:
        parts: The domain's.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._way = RightOfWay(parts)

    async def perform(
        self, agent: Participant, tool: Tool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Ran:
        declared = declared_tool(tool)
        footprint = declared.footprint(checked)
        irreversible = tool.effect == "irreversible"
        recorder, caller = self._parts.recorder, Caller()

        async def carried() -> Ran:
            cause = Cause(agent.name, call_id(agent.name, agent.next_sequence), tool.name, agent.rank)

            def begin() -> Event:
                caller.require()
                require_active(agent)
                if irreversible and self._parts.kernel.gate(agent, tool.gate) is not Gate.RUN:
                    raise NotItsTurn
                owner = recorder.tenure.owner
                return CallBegun(
                    agent.rank, tool.name, arguments, footprint, irreversible, owner, new_intent()
                )

            call = await self._clear_and_begin(
                lambda: self._parts.kernel.position(agent),
                footprint,
                cause,
                begin,
                lambda: not agent.at_work or caller.gone,
            )
            assert call is not None, "a call of an active agent begins"
            intent, owner = call.intent, call.runner
            run = await self._run(call, declared, checked)
            whose = who_alone_knows(run, owner)
            await self._record(call, declared, run, footprint, intent, whose=whose)
            self._require_still(agent, call, run)
            return Ran(call.id, run.observation, run.failure, call)

        return await self._parts.tasks.carry(carried, caller)

    async def reexecute(self, call: Call, tool: Tool) -> None:
        declared = declared_tool(tool)
        kernel, recorder = self._parts.kernel, self._parts.recorder
        arguments = call.arguments

        def gone() -> bool:
            return (
                kernel.call(call.id) is not call
                or not kernel.is_dirty(call)
                or call.arguments is not arguments
            )

        async def carried() -> None:
            try:
                checked = declared.arguments.checked(arguments)
            except ToolFailed as failure:
                failed = Observation.failed(told(failure))
                await recorder.record(lambda: CallReexecuted(call.id, failed))
                return
            footprint = declared.footprint(checked)
            await self._way.give(call, footprint, gone)
            begun = await self._clear_and_begin(
                lambda: call.position,
                footprint,
                call.cause or call.as_cause,
                lambda: None if gone() else self.begins(call, footprint),
                gone,
                own=call,
            )
            if begun is None:
                return
            intent = call.intent
            if (made := await self._run_anew(call, declared, checked, footprint)) is not None:
                await self._end(call, declared, made[0], footprint, checked, intent, made[1], again=True)

        await self._parts.tasks.carry(carried)

    async def run_staged(self, call: Call, tool: Tool) -> None:
        declared = declared_tool(tool)
        kernel, recorder = self._parts.kernel, self._parts.recorder

        def due() -> bool:
            # Somebody may have passed its agent since. What it reverses may make calls of its agent's own run
            # again, so more than that cannot be asked.
            agent = kernel.agents.get(call.rank)
            return (
                call.phase is CallPhase.STAGED
                and agent is not None
                and agent.at_work
                and all(one.ended or one.order >= agent.order for one in kernel.agents.values())
            )

        async def carried() -> None:
            try:
                checked = declared.arguments.checked(call.arguments)
                footprint = declared.footprint(checked)
            except ToolFailed as failure:
                failed = Observation.failed(told(failure))
                nothing = Footprint(frozenset(), frozenset(), frozenset())
                if await recorder.record(lambda: self.begins(call, nothing) if due() else None) is not None:
                    await self.record_outcome(call, lambda: CallRan(call.id, failed))
                return
            begun = await self._clear_and_begin(
                lambda: call.position,
                footprint,
                call.as_cause,
                lambda: self.begins(call, footprint) if due() else None,
                lambda: not due(),
            )
            if begun is None:
                return
            intent = call.intent
            if (made := await self._run_anew(call, declared, checked, footprint)) is not None:
                await self._record(call, declared, made[0], footprint, intent, whose=made[1])

        await self._parts.tasks.carry(carried)

    async def undo(self, call: Call, person: str = "") -> None:
        kernel, recorder, caller = self._parts.kernel, self._parts.recorder, Caller()

        def undone() -> Event | None:
            caller.require()
            # It has failed, or was reversed to make room: there is nothing to be taken back.
            free = kernel.call(call.id) is call and call.under_way is None and not call.applied
            return CallUndone(call.id, person) if free else None

        async def carried() -> None:
            while not await self._take_back(call, None, lambda: CallUndone(call.id, person), caller):
                if await recorder.record(undone) is not None:
                    return

        await self._parts.tasks.carry(carried, caller)

    async def amend(
        self, call: Call, tool: Tool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Run:
        declared = declared_tool(tool)
        kernel, recorder, caller = self._parts.kernel, self._parts.recorder, Caller()
        footprint = declared.footprint(checked)

        def begin() -> Event:
            self._require_standing(call)
            recorder.require_served(kernel.agents[call.rank])
            return self.begins(call, footprint, arguments=arguments)

        def begin_at_first() -> Event:
            caller.require()
            return begin()

        async def carried() -> Run:
            if not await self._take_back(call, footprint, begin, caller):
                await self._clear_and_begin(
                    lambda: call.position,
                    footprint,
                    call.as_cause,
                    begin_at_first,
                    lambda: kernel.call(call.id) is not call or caller.gone,
                    own=call,
                )
            intent = call.intent
            made = await self._run_anew(call, declared, checked, footprint)
            if made is None or not await self._amended(call, made, footprint, intent):
                if made is not None and made[0].failure is None and self._is_unwanted(call):
                    await self.take_back_unwanted(call, declared, made[0].observation)
                recorder.require_served(kernel.agents[call.rank])
                self._require_standing(call)
                assert made is not None, "who serves an agent runs its calls"
            return made[0]

        return await self._parts.tasks.carry(carried, caller)

    async def _amended(
        self, call: Call, made: tuple[Run, str | None], footprint: Footprint, intent: str
    ) -> bool:
        """Record how an amended call ran; False where somebody else has said what has become of it."""
        kernel, (run, whose) = self._parts.kernel, made

        def decide() -> Event | None:
            if call.intent != intent or call.phase not in (CallPhase.RUNNING, CallPhase.UNKNOWN):
                return None
            if whose not in (None, call.runner):
                return None
            if kernel.call(call.id) is not call:
                return None
            seen = self._tokens.observed(run, footprint, call.position, call.id)
            return CallAmended(call.id, call.arguments, seen)

        return await self.record_outcome(call, decide) is not None

    def _require_standing(self, call: Call) -> None:
        if self._parts.kernel.call(call.id) is not call:
            raise AgentNotActive(f"call {call.id!r} does not stand any more")

    # ---- making room ---------------------------------------------------------------------------------------

    async def _take_back(
        self, call: Call, wanted: Footprint | None, then: Callable[[], Event], caller: Caller
    ) -> bool:
        """Reverse a call, and those above that rest on it; its own end is recorded as `then`.

        Args:
            call: The call.
            wanted: What nobody else may touch meanwhile, beside what the call does.
            then: What is recorded when it has been reversed.
            caller: Whoever takes it back: where they are gone, it does not begin any more.

        Returns:
            Whether it was reversed; False where it has no effect that could be.

        Raises:
            AgentNotActive: It does not stand any more.
            TargetError: It, or something above it, cannot be reversed.
        """
        kernel, recorder = self._parts.kernel, self._parts.recorder
        while True:
            caller.require()
            self._require_standing(call)
            if call.under_way is not None:
                refuse_unknown([call])
                self._parts.advance()
                await recorder.until(
                    lambda: call.under_way is None or call.phase is CallPhase.UNKNOWN or caller.gone,
                    self._parts.meanwhile,
                )
                continue
            if not call.applied:
                return False
            # Only now: while it was waited for, it may have been amended to touch something else.
            refuse_stuck(kernel, call.footprint)
            footprint = call.footprint if wanted is None else both(call.footprint, wanted)
            gone = await self._cleared(
                lambda: call.position,
                footprint,
                call.as_cause,
                lambda: kernel.call(call.id) is not call or not call.applied or caller.gone,
                own=call,
            )
            begun = not gone and await self._begin_reversal(call, footprint, caller)
            if begun and await self._reverse(call, then):
                return True

    async def _clear_and_begin(
        self,
        position: Callable[[], Position],
        footprint: Footprint,
        cause: Cause,
        begin: Callable[[], Event | None],
        gone: Callable[[], bool],
        *,
        own: Call | None = None,
    ) -> Call | None:
        """Make room for a call and record that it begins, with nobody in between; None where it is gone.

        Raises:
            TargetError: Something that stands in the way cannot be reversed.
        """
        kernel, recorder = self._parts.kernel, self._parts.recorder
        while True:
            if await self._cleared(position, footprint, cause, gone, own=own, also_own=True):
                begin()  # says why, where the agent has ended
                return None

            def decide() -> Event | None:
                now = kernel.obstacles(position(), footprint, own)
                return None if now.wait_for or now.reverse or stuck_in(kernel, footprint) else begin()

            made = await recorder.record(decide)
            if isinstance(made, Call):
                return made
            if gone():
                begin()
                return None

    async def _cleared(
        self,
        position: Callable[[], Position],
        footprint: Footprint,
        cause: Cause,
        gone: Callable[[], bool],
        *,
        own: Call | None = None,
        also_own: bool = False,
    ) -> bool:
        """Wait for what is under way and reverse what is above, until nothing is in the way.

        Args:
            position: Where the call stands.
            footprint: What it touches.
            cause: Who makes room.
            gone: Whether it is not wanted any more.
            own: The call itself, where it has run before.
            also_own: Whether that is to be reversed as well.

        Returns:
            Whether it is gone meanwhile.

        Raises:
            TargetError: Something that stands in the way cannot be reversed.
        """
        kernel, recorder = self._parts.kernel, self._parts.recorder
        with self._way.wanted(position, footprint):
            await recorder.catch_up()
            while not gone():
                refuse_stuck(kernel, footprint)
                obstacles = kernel.obstacles(position(), footprint, own)
                refuse_unknown(obstacles.wait_for)
                if obstacles.wait_for:
                    waiting = obstacles.wait_for
                    self._parts.advance()
                    await recorder.until(
                        lambda: gone() or kernel.obstacles(position(), footprint, own).wait_for != waiting,  # noqa: B023
                        self._parts.meanwhile,
                    )
                    continue
                in_the_way = [call for call in obstacles.reverse if also_own or call is not own]
                if not in_the_way:
                    return False
                call = in_the_way[0]
                self._require_reversible(call)
                refuse_stuck(kernel, call.footprint)  # nobody knows whether it was taken back before
                if await self._begin_reversal(call, footprint):
                    await self._reverse(call, lambda: CallReversed(call.id, cause))  # noqa: B023
            return True

    async def _begin_reversal(self, call: Call, footprint: Footprint, caller: Caller | None = None) -> bool:
        """Record that a call is about to be reversed; False where something has come in between.

        Args:
            call: The call.
            footprint: What nobody else may touch meanwhile, beside what the call does.
            caller: Whoever takes it back in its agent's name; None: it makes room for another one.
        """
        kernel = self._parts.kernel

        def decide() -> Event | None:
            if caller is not None:
                caller.require()
            if kernel.call(call.id) is not call or not call.applied or call.under_way is not None:
                return None
            if caller is not None:
                self._parts.recorder.require_served(kernel.agents[call.rank])
            if stuck_in(kernel, call.footprint):
                return None
            touched = both(call.footprint, footprint)
            # Another process may have run again meanwhile what rests on it, or have begun to.
            now = kernel.obstacles(call.position, touched, call)
            busy = [other for other in now.wait_for if caller is not None or other.under_way is not None]
            if busy or any(other is not call for other in now.reverse):
                return None
            return ReversalBegun(call.id, touched, self._parts.recorder.tenure.owner)

        return await self._parts.recorder.record(decide) is not None

    async def _reverse(self, call: Call, then: Callable[[], Event]) -> bool:
        """Reverse a call whose reversal has begun.

        Returns:
            Whether it was; False where this process was thought to be dead before it had done anything: the
            call stands as it was.

        Raises:
            TargetError: It could not be reversed.
            AgentNotActive: Its agent has been taken up meanwhile, or its abort has begun; the call was
                reversed, and will run again.
        """
        declared = declared_tool(self._parts.catalog.get(call.tool))
        owner, record = call.runner, partial(self.record_outcome, call)

        def mine() -> bool:
            return call.phase is CallPhase.REVERSING and call.runner == owner

        try:
            checked = declared.arguments.checked(call.arguments)
            await self._still_begun(owner)
            await declared.reverse(call.seen.prepared, call.seen.value, checked)
        except NotBegun:
            await self._not_reversed(call, mine)
            return False
        except Exception as failure:
            keys = ", ".join(sorted(call.writes))
            error = (
                f"call {call.id!r} ({call.tool}) could not be reversed ({told(failure)}): "
                f"the state of {keys} is unknown"
            )
            await record(lambda: ReversalFailed(call.id, error) if mine() else None)
            raise TargetError(
                error, "Look at the system and put it right by hand, then say so: coagent resolve."
            ) from failure
        try:
            await record(lambda: then() if mine() else None)
        except AgentNotActive:
            await record(lambda: CallReversed(call.id, call.as_cause) if mine() else None)
            raise
        return True

    async def _not_reversed(self, call: Call, mine: Callable[[], bool]) -> None:
        """Record that a reversal has done nothing, whatever others take it for that thought it had begun."""
        kernel, record = self._parts.kernel, self._parts.recorder.record
        await self.record_outcome(
            call, lambda: ReversalFailed(call.id, "it was not begun") if mine() else None
        )
        for key in call.writes:
            await record(lambda: Resolved(key, "retry") if key in kernel.stuck else None)  # noqa: B023

    async def reverse_again(self, call: Call) -> None:
        """Reverse a call of which the log says that its reversal has begun here, though it has not."""

        async def carried() -> None:
            await self._reverse(call, lambda: CallReversed(call.id, call.cause or call.as_cause))

        await self._parts.tasks.carry(carried)

    def _require_reversible(self, call: Call) -> None:
        tool = self._parts.catalog.find(call.tool)
        if tool is None or call.irreversible:
            raise TargetError(
                f"call {call.id!r} ({call.tool}) stands in the way and cannot be reversed here",
                "Wait until its agent has committed, or run in a process that has its tool.",
            )
