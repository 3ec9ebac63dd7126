"""AgentSession: one agent's way into the domain, from join to commit or abort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from coagent.errors import CoAgentError, TargetError, ToolFailed
from coagent.protocol.calls import Call, CallId, Position, Rank
from coagent.protocol.decisions import Gate
from coagent.protocol.events import (
    CallStaged,
    Event,
    Finished,
    OnDeath,
    StagedAmended,
)
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.protocol.values import Value, copied
from coagent.runtime.aborting import abort, take_back_all
from coagent.runtime.gate import opened_gate
from coagent.runtime.notices import Notification
from coagent.runtime.outcomes import (
    Issued,
    Outcome,
    Settlement,
    as_stored,
    issued,
    own_call,
    was_undone,
)
from coagent.runtime.owning import outlives
from coagent.runtime.runner import NotItsTurn, Parts, Ran, require_active, restart
from coagent.runtime.telling import Teller, Told
from coagent.runtime.work import Work
from coagent.tools.base import Tool
from coagent.wording.quoting import Quoting

_ACTIVE = AgentPhase.ACTIVE


class AgentSession:
    """One agent. Made by `Domain.join`; its methods may be called concurrently."""

    def __init__(self, parts: Parts, work: Work, participant: Participant) -> None:
        self._parts = parts
        self._work = work
        self._participant = participant
        self.quoting = Quoting()
        """Puts what others have written into what this agent is shown."""
        self._teller = Teller(parts, participant, self.quoting)
        self.person = ""  # who takes calls back through this session, where it is not the agent itself

    @property
    def name(self) -> str:
        """The agent's name."""
        return self._participant.name

    @property
    def rank(self) -> Rank:
        """The agent's place in the serialization order."""
        return self._participant.rank

    @property
    def state(self) -> Literal["active", "finished", "aborting", "committed", "aborted"]:
        """How far the agent has come; "aborting": it may do nothing more, and has not ended yet."""
        return self._participant.phase.value

    @property
    def notified(self) -> bool:
        """Whether there is something that the agent has not been told yet."""
        return self._participant.unread

    def say(self, text: str, *, goal: bool = False) -> None:
        """Note what the agent says of its work, for people who look on (`coagent ui`, `coagent log`).

        Its first line goes into the log with what comes next, cut to 280 characters. Nothing is decided by
        it, no other agent is shown it, and where the domain keeps no words nothing happens.

        Args:
            text: Such as what a model said as it made a call.
            goal: Whether that is what the agent is to reach.
        """
        if goal:
            self._teller.goal = text
        self._parts.recorder.waiting.say(self._participant, text, goal=goal)

    # ---- calls ---------------------------------------------------------------------------------------------

    async def call(self, tool: str, /, **arguments: Any) -> Outcome:
        """Call a tool at the end of the agent's sequence.

        Args:
            tool: The tool's name.
            **arguments: The tool's arguments, plain data.

        Returns:
            The outcome, with the notices that have come since the last one.

        Raises:
            UnknownTool: There is no such tool.
            InvalidArguments: The arguments do not fit the tool's schema.
            ToolFailed: The tool raised; its own CoAgentError is raised as it is. Nothing has changed, and
                the error carries `call_id` and `notifications`.
            TargetUnavailable: A live system was away for too long. Nothing has changed or was recorded.
            LogUnavailable: The log was, for a moment, as it was looked into. The same.
            AgentNotActive: The agent has ended.
            AgentRestarted: Under "2pl" and "occ": all its calls were withdrawn, begin again.
        """
        parts, participant = self._parts, self._participant
        made = parts.catalog.tools.get(tool) or parts.catalog.get(tool)
        checked = made.arguments.checked(arguments)
        recorder, kernel = parts.recorder, parts.kernel
        if recorder.log.shared:
            await recorder.freshen()
            recorder.require_served(participant)
        if participant.phase is not _ACTIVE or kernel.holds_calls:
            await self._until_it_may_call()
        stored = as_stored(made, arguments)
        if made.effect == "irreversible":
            with self._work.at_the_gate(participant.rank):
                ran = await self._perform_in_turn(made, stored, checked)
            if isinstance(ran, Outcome):
                return ran
        else:
            ran = await self._work.runners[made.kind].perform(participant, made, stored, checked)
        call, failure = ran.call, ran.failure
        if kernel.has_effects or kernel.has_work:
            await self._work.settle(() if call is None else call.writes, self._participant.rank)
        if parts.effects.delayed and call is not None and not call.irreversible:
            await self._give_up_if_delayed(call)
        if call is None:
            value = copied(ran.observation.value)
        elif failure is not None or call.refused:
            raise await self._failed(call, failure)
        else:
            # Others may have set off a re-execution meanwhile: then the first result comes with the notice of
            # it.
            value = copied(call.told.value)
        outcome = Outcome(value, ran.call_id)
        if participant.pending or participant.disturbed:
            outcome.notifications, outcome.changed = await self._deliver()
        return outcome

    async def _give_up_if_delayed(self, call: Call) -> None:
        """Withdraw a call whose target has been away for as long as a call waits for one.

        Raises:
            TargetUnavailable: It was.
        """
        parts = self._parts
        written = call.writes
        away = [parts.effects.delayed[key] for key in written if key in parts.effects.delayed]
        if away and self._participant.calls.get(call.id) is call:
            await self._work.runner_of(call).undo(call)
            await self._work.settle(written, self._participant.rank)
            failure = parts.patience.over(away[0])
            failure.notifications = (await self._deliver(apart=False))[0]
            raise failure from away[0]

    async def _until_it_may_call(self) -> None:
        parts, participant = self._parts, self._participant
        require_active(participant)
        if participant.must_restart:
            await self._begin_again()
        if parts.kernel.may_call(participant):
            return
        await parts.recorder.until(
            lambda: not participant.at_work or parts.kernel.may_call(participant), parts.meanwhile
        )
        require_active(participant)

    async def undo(self, call_id: str) -> Outcome:
        """Withdraw one of the agent's own calls, with everything mechanical that follows from it.

        Args:
            call_id: From an outcome or a notice. Undoing a call twice is no error.

        Returns:
            An outcome whose `changed` says which of the agent's own later results are different now.

        Raises:
            UnknownCall: The agent has made no such call.
            NotReversible: The call was irreversible and has run.
            TargetError: What it did could not be taken back.
            AgentNotActive: The agent has ended.
        """
        require_active(self._participant)
        await self._parts.recorder.flush()
        if not was_undone(self._participant, call_id):
            call = own_call(self._participant, call_id)
            written = list(call.writes)
            await self._work.runner_of(call).undo(call, self.person)
            await self._work.settle(written, self._participant.rank)
        notifications, changed = await self._deliver()
        return Outcome(None, CallId(call_id), notifications, changed=changed)

    async def amend(self, call_id: str, /, **arguments: Any) -> Outcome:
        """Replace one of the agent's own calls in place, keeping its position.

        Args:
            call_id: From an outcome or a notice.
            **arguments: The arguments to change; the others stay as they were.

        Returns:
            The outcome of the new run; `changed` says which later results are different now.

        Raises:
            UnknownCall, NotReversible, InvalidArguments, AgentNotActive: As for `undo` and `call`.
            ToolFailed: The new run failed; the call now has no effect.
        """
        require_active(self._participant)
        parts = self._parts
        await parts.recorder.flush()
        call = own_call(self._participant, call_id)
        made = parts.catalog.get(call.tool)
        merged = {**call.arguments, **arguments}
        checked = made.arguments.checked(merged)
        stored = as_stored(made, merged)
        if call.phase is CallPhase.STAGED:
            await parts.recorder.record(lambda: StagedAmended(call.id, stored))
            return Outcome("staged", call.id, (await self._deliver(apart=False))[0], "staged")
        run = await self._work.runner(made).amend(call, made, stored, checked)
        await self._work.settle(call.writes, self._participant.rank)
        if run.failure is not None or call.refused:
            raise await self._failed(call, run.failure)
        value = copied(call.told.value)
        notifications, changed = await self._deliver()
        return Outcome(value, call.id, notifications, changed=changed)

    # ---- the end -------------------------------------------------------------------------------------------

    async def outlive(self, on_death: OnDeath) -> None:
        """Say what becomes of the agent, should this process die; as for `open_domain`."""
        await outlives(self._parts, self._participant, on_death)

    async def finish(self, *, wait: bool = False) -> Settlement:
        """Say that the agent has nothing more to do, and commit when its turn has come.

        An agent that is notified goes on: it may call and repair, and finishes again.

        Args:
            wait: Wait for the agents that come before; then "waiting" is never returned.

        Returns:
            The settlement. After "committed" the session is over.

        Raises:
            AgentNotActive: The agent was aborted.
        """
        parts, participant = self._parts, self._participant
        while True:
            await parts.recorder.catch_up()
            await self._work.settle(of=participant.rank)
            if participant.phase is AgentPhase.COMMITTED:
                return Settlement("committed")
            require_active(participant)
            parts.recorder.require_served(participant)
            if participant.must_restart:
                await self._begin_again()
            if participant.unread:
                notifications = (await self._deliver(apart=False))[0]
                if notifications:
                    return Settlement("notified", notifications)
                continue
            await parts.recorder.flush(words=False)  # they go with what comes next
            if participant.phase is AgentPhase.ACTIVE:
                await parts.recorder.record(self._finished)
                continue
            if not wait:
                waits_for = [agent.name for agent in parts.kernel.waits_for(participant)]
                unknown = [call.id for call in parts.kernel.unknown if call.rank == participant.rank]
                return Settlement("waiting", waits_for=waits_for, unknown=unknown)

            def goes_on() -> bool:  # be it that an overseer has taken something back
                return participant.phase is not AgentPhase.FINISHED or participant.unread

            await parts.recorder.until(
                lambda: goes_on() or participant.must_restart or self._work.failed, parts.meanwhile
            )

    async def stirred(self, *others: AgentSession) -> None:
        """Wait until this agent, or one of the others, has ended or has something to look at."""
        agents = [one._participant for one in (self, *others)]
        before = [one.at_work for one in agents]
        await self._parts.recorder.until(
            lambda: (
                any(one.unread or one.must_restart for one in agents)
                or [one.at_work for one in agents] != before
            ),
            self._parts.meanwhile,
        )

    async def abort(self, reason: str = "") -> list[CallId]:
        """End the agent and withdraw all its calls; agents above that had read them are notified.

        Where a tool has to take something back, the log says first that the abort has begun: from then on
        the agent can only end, and whoever opens the domain sees to that. Aborting an aborted agent does
        nothing.

        Returns:
            The calls that stand all the same, because they cannot be taken back.

        Raises:
            AgentNotActive: The agent has committed.
            TargetError: A call could not be taken back; the agent has not ended. It is tried again.
        """
        return await abort(self._parts, self._work, self._participant, reason)

    async def wait_for_turn(self) -> list[Notification]:
        """Wait until what the agent was told is final: every agent before it has ended; or for notices.

        An agent that means to abort for what it has read waits here first: what it read may yet be withdrawn.

        Returns:
            The notices; none where its turn has come.

        Raises:
            AgentNotActive: The agent has ended.
            AgentRestarted: Under "2pl" and "occ": what it read was not final, begin again.
        """
        parts, participant = self._parts, self._participant
        await parts.recorder.flush()
        await self._work.settle()
        if participant.at_work and parts.kernel.must_begin_again(participant):
            await self._begin_again()
        while True:
            await parts.recorder.until(
                lambda: not participant.at_work or participant.unread or self._is_final(), parts.meanwhile
            )
            require_active(participant)
            if not participant.unread:
                await parts.rests_on_change(participant)
                await self._work.settle()
            if participant.unread:
                # What there was to be told may be gone by the time it is: then it goes on waiting.
                if notices := (await self._deliver(apart=False))[0]:
                    return notices
            elif self._is_final():  # also now that it has been looked at
                return []

    def _is_final(self) -> bool:
        """Tell whether neither what an agent at work may do nor what it has under way is news to it."""
        kernel, participant = self._parts.kernel, self._participant
        if any(call.under_way is not None for call in participant.calls.values()):
            return False  # it may have come from another process, and not know what that one has begun
        return kernel.its_turn(participant) or kernel.promotion(participant) is not None

    async def _begin_again(self) -> None:
        """Have all calls withdrawn, as a baseline protocol wants it.

        Raises:
            AgentRestarted: Always.
        """
        kept = self._parts.kernel.kept_calls(self._participant)
        await take_back_all(self._parts, self._work, self._participant, kept)
        try:
            await restart(self._parts, self._participant)
        finally:
            await self._work.settle()

    # ---- what the agent knows ------------------------------------------------------------------------------

    def tell_when_back(self) -> None:
        """Have what it is told count as told when it comes back, for an agent that outlives this process."""
        self._teller.when_back = True

    async def came_back(self) -> None:
        """Note that the agent has got what it was told last: it has come with something else."""
        await self._teller.came_back()

    async def notifications(self) -> list[Notification]:
        """Take the notices that have come, without calling anything; they count as told."""
        await self._parts.recorder.flush()
        await self._parts.recorder.catch_up()
        await self._work.settle()
        return (await self._deliver(apart=False))[0]

    def result(self, call_id: str) -> Value:
        """Return what one of the agent's calls returns, as far as the agent has been told.

        It may return something else by now; then a notice is on its way, and reasoning from anything but what
        was told would leave the agent with a premise that nobody knows of.

        Raises:
            ToolFailed: It failed.
            UnknownCall: The agent has made no such call, or has undone it.
        """
        read, own = self._parts.recorder.waiting.call(call_id), self._participant
        told = own_call(own, call_id, reversible=False).told if read is None else read.observation
        if told.error is not None:
            raise ToolFailed(told.error, call_id=call_id)
        return copied(told.value)

    @property
    def position(self) -> Position:
        """Where the agent's next call will stand in the order."""
        return self._parts.recorder.position(self._participant)

    async def peek(self, key: Key) -> Value:
        """Return an object as the agent would read it now; it does not become a premise.

        For gateways that have to know what an agent may see, such as whether a file is there for it.
        """
        reader = self._parts.reader(self.position, self.rank)
        return await reader.read(reader.canonical(key))

    async def flush(self) -> None:
        """Make durable what the agent was told so far; for gateways, before they answer another process."""
        await self._parts.recorder.flush()

    @property
    def calls(self) -> list[Issued]:
        """The agent's calls that it has not undone, in its order."""
        participant = self._participant
        return issued(participant, self._parts.recorder.waiting.named_calls(participant))

    def effective(self, call_id: str) -> bool:
        """Tell whether a call stands and, if it writes, whether its writes count."""
        if self._parts.recorder.waiting.call(call_id) is not None:
            return True
        call = self._parts.kernel.call(CallId(call_id))
        return call is not None and call.seen.error is None and not call.lapsed

    # ---- parts ---------------------------------------------------------------------------------------------

    async def _perform_in_turn(
        self, made: Tool, stored: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Ran | Outcome:
        """Run an irreversible call when it may, or say what became of it otherwise."""
        while True:
            held = await self._gate(made, stored)
            if held is not None:
                return held
            try:
                return await self._work.runners[made.kind].perform(self._participant, made, stored, checked)
            except NotItsTurn:
                continue

    async def _gate(self, made: Tool, stored: Mapping[str, Value]) -> Outcome | None:
        """Stage or hold an irreversible call; None when it may run now (rule 6)."""
        participant = self._participant
        gate = await opened_gate(self._parts, self._work, participant, made.gate)
        if gate is Gate.STAGE:
            event = CallStaged(participant.rank, made.name, stored)
            call = await self._work.runner(made).record_call(participant, event)
            return Outcome("staged", call.id, (await self._deliver(apart=False))[0], "staged")
        if gate is Gate.TELL:
            return Outcome(None, CallId(""), (await self._deliver(apart=False))[0], "held_back")
        return None

    def _finished(self) -> Event | None:
        participant = self._participant
        if participant.ended or participant.unread or participant.phase is not AgentPhase.ACTIVE:
            return None
        return Finished(participant.rank)

    async def _deliver(self, *, apart: bool = True) -> Told:
        return await self._teller.tell(apart=apart)

    async def _failed(self, call: Call, failure: Exception | None) -> CoAgentError:
        """Return the error that a call ends with."""
        # The error itself says that the call has failed.
        notifications = [
            one for one in (await self._deliver(apart=False))[0] if not one.only_says_failed(call.id)
        ]
        if isinstance(failure, CoAgentError):
            error = failure
        elif failure is not None:
            error = ToolFailed(f"tool {call.tool!r} failed: {call.seen.error}")
            error.__cause__ = failure
        else:
            error = TargetError(f"the target refused what tool {call.tool!r} wrote: {call.seen.error}")
        error.call_id = call.id
        error.notifications = notifications
        return error
