"""AgentSession: one agent's way into the domain, from join to commit or abort."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from coagent.errors import (
    AgentNotActive,
    CoAgentError,
    NotReversible,
    TargetError,
    ToolFailed,
    UnknownCall,
    UnknownTool,
)
from coagent.protocol.calls import Call, Observation, Position, Rank
from coagent.protocol.events import (
    Aborted,
    CallAmended,
    CallStaged,
    CallUndone,
    Event,
    Finished,
    NoticesDelivered,
    StagedAmended,
)
from coagent.protocol.inbox import moved_premises
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant, Phase
from coagent.protocol.values import Value, copied
from coagent.runtime.driver import Driver, Tool
from coagent.runtime.notices import Notification, notification
from coagent.runtime.outcomes import Run
from coagent.runtime.quoting import Quoting
from coagent.runtime.reader import PositionReader
from coagent.tools.declared import DeclaredTool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call, an undo or an amendment gives.

    Args:
        value: What the tool returned; "staged" for a staged call; None for an undo or a call held back.
        call_id: The call, for `undo` and `amend`.
        notifications: What the agent has not been told yet.
        status: "done"; "staged": it runs at commit; "held_back": an irreversible call that did not run,
            because there are notices to read first: call again if it is still right.
        changed: Own calls that rested on the one undone or amended, and what they return now.
    """

    value: Value
    call_id: str
    notifications: list[Notification] = field(default_factory=list)
    status: Literal["done", "staged", "held_back"] = "done"
    changed: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What `finish` returns.

    Args:
        state: "committed"; "notified": a premise moved, look at the notices and finish again; "waiting": an
            agent that comes before has not ended yet.
        notifications: The notices, where the state is "notified".
    """

    state: Literal["committed", "notified", "waiting"]
    notifications: list[Notification] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Issued:
    """One of an agent's own calls as it stands now.

    Args:
        call_id: For `undo` and `amend`.
        tool: What was called.
        arguments: As called or last amended.
        effective: Whether it went through and, if it writes, its writes count.
        staged: Whether it is irreversible and has yet to run.
    """

    call_id: str
    tool: str
    arguments: Mapping[str, Value]
    effective: bool
    staged: bool


class AgentSession:
    """One agent. Made by `Domain.join`; its methods may be called concurrently."""

    def __init__(self, driver: Driver, participant: Participant) -> None:
        self._driver = driver
        self._participant = participant
        self.quoting = Quoting()
        """Puts what others have written into what this agent is shown."""

    @property
    def name(self) -> str:
        """The agent's name."""
        return self._participant.name

    @property
    def rank(self) -> Rank:
        """The agent's place in the serialization order."""
        return self._participant.rank

    @property
    def state(self) -> Literal["active", "finished", "committed", "aborted"]:
        """How far the agent has come."""
        return self._participant.phase.value

    @property
    def notified(self) -> bool:
        """Whether there is something that the agent has not been told yet."""
        return bool(self._participant.pending)

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
            AgentNotActive: The agent has ended.
            AgentRestarted: Under "2pl" and "occ": all its calls were withdrawn, begin again.
        """
        driver, participant = self._driver, self._participant
        made = driver.tool(tool)
        if made is None:
            raise self._unknown_tool(tool)
        checked = made.arguments.checked(arguments)
        self._require_active()
        if participant.must_restart:
            await driver.restart(participant)
        if not driver.kernel.may_call(participant):
            await driver.until(lambda: participant.ended or driver.kernel.may_call(participant))
            self._require_active()
        stored = _stored(made, arguments)
        if made.effect == "irreversible":
            held = await self._gate(made, stored)
            if held is not None:
                return held
        call, failure = await driver.perform(participant, made, stored, checked)
        await driver.pump()
        if failure is not None or call.refused:
            self._raise(call, failure)
        # Others may have set off a re-execution meanwhile: then the first result comes with the notice of it.
        value = copied(call.told_value)
        if participant.pending:
            notifications, changed = self._deliver()
            return Outcome(value, call.id, notifications, changed=changed)
        return Outcome(value, call.id)

    async def undo(self, call_id: str) -> Outcome:
        """Withdraw one of the agent's own calls, with everything mechanical that follows from it.

        Args:
            call_id: From an outcome or a notice. Undoing a call twice is no error.

        Returns:
            An outcome whose `changed` says which of the agent's own later results are different now.

        Raises:
            UnknownCall: The agent has made no such call.
            NotReversible: The call was irreversible and has run.
            AgentNotActive: The agent has ended.
        """
        self._require_active()
        if not self._was_undone(call_id):
            call = self._own(call_id)

            if call.applied:
                await self._driver.declared.undo(call)
            else:
                kernel = self._driver.kernel
                self._driver.record_when(
                    lambda: CallUndone(call_id) if kernel.call(call_id) is call else None
                )
            await self._driver.pump()
        notifications, changed = self._deliver()
        return Outcome(None, call_id, notifications, changed=changed)

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
        self._require_active()
        driver, call = self._driver, self._own(call_id)
        made = driver.tool(call.tool)
        if made is None:
            raise self._unknown_tool(call.tool)
        merged = {**call.arguments, **arguments}
        checked = made.arguments.checked(merged)
        stored = _stored(made, merged)
        if call.staged:
            driver.record_when(lambda: StagedAmended(call_id, stored))
            return Outcome("staged", call_id, self._deliver()[0], "staged")
        if isinstance(made, DeclaredTool):
            run = await driver.declared.amend(call, made, stored, checked)
        else:
            run = await self._amend_native(call, stored)
        await driver.pump()
        if run.failure is not None or call.refused:
            self._raise(call, run.failure)
        value = copied(call.told_value)
        notifications, changed = self._deliver()
        return Outcome(value, call_id, notifications, changed=changed)

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
        driver, participant = self._driver, self._participant
        while True:
            driver.catch_up()
            await driver.pump()
            if participant.phase is Phase.COMMITTED:
                return Settlement("committed")
            self._require_active()
            if participant.must_restart:
                await driver.restart(participant)
            if participant.pending:
                notifications, _ = self._deliver()
                if notifications:
                    return Settlement("notified", notifications)
                continue
            driver.flush()
            if participant.phase is Phase.ACTIVE:
                driver.record_when(self._finished)
                continue
            if not wait:
                return Settlement("waiting")
            await driver.until(
                lambda: participant.ended or bool(participant.pending) or participant.must_restart
            )

    async def abort(self, reason: str = "") -> None:
        """End the agent and withdraw all its calls; agents above that had read them are notified.

        Aborting an aborted agent does nothing.

        Raises:
            AgentNotActive: The agent has committed.
        """
        if self._participant.phase is Phase.ABORTED:
            return
        self._require_active()
        participant = self._participant
        if any(call.applied for call in participant.calls.values()):
            await self._driver.declared.abort(participant, reason)
        else:
            self._driver.record_when(lambda: None if participant.ended else Aborted(participant.rank, reason))
        await self._driver.pump()

    async def wait_for_turn(self) -> list[Notification]:
        """Wait until what the agent was told is final: every agent before it has ended; or for notices.

        An agent that means to abort for what it has read waits here first: what it read may yet be withdrawn.

        Returns:
            The notices; none where its turn has come.

        Raises:
            AgentNotActive: The agent has ended.
        """
        driver, participant = self._driver, self._participant
        await driver.pump()
        await driver.until(
            lambda: (
                participant.ended
                or bool(participant.pending)
                or driver.kernel.may_run_irreversible(participant)
            )
        )
        self._require_active()
        return self._deliver()[0]

    def notifications(self) -> list[Notification]:
        """Take the notices that have come, without calling anything; they count as told."""
        self._driver.catch_up()
        return self._deliver()[0]

    def result(self, call_id: str) -> Value:
        """Return what one of the agent's calls returns, as far as the agent has been told.

        It may return something else by now; then a notice is on its way, and reasoning from anything but what
        was told would leave the agent with a premise that nobody knows of.

        Raises:
            ToolFailed: It failed.
            UnknownCall: The agent has made no such call, or has undone it.
        """
        call = self._own(call_id, reversible=False)
        if call.told_error is not None:
            raise ToolFailed(call.told_error, call_id=call_id)
        return copied(call.told_value)

    @property
    def position(self) -> Position:
        """Where the agent's next call will stand in the order."""
        return self._driver.kernel.position(self._participant)

    async def peek(self, key: Key) -> Value:
        """Return an object as the agent would read it now; it does not become a premise.

        For gateways that have to know what an agent may see, such as whether a file is there for it.
        """
        driver = self._driver
        reader = PositionReader(driver.kernel, driver.targets, self.position)
        return await reader.read(reader.canonical(key))

    @property
    def calls(self) -> list[Issued]:
        """The agent's calls that it has not undone, in its order."""
        return [
            Issued(call.id, call.tool, call.arguments, call.error is None and not call.dormant, call.staged)
            for call in self._participant.calls.values()
        ]

    def effective(self, call_id: str) -> bool:
        """Tell whether a call stands and, if it writes, whether its writes count."""
        call = self._driver.kernel.call(call_id)
        return call is not None and call.error is None and not call.dormant

    async def _amend_native(self, call: Call, stored: Mapping[str, Value]) -> Run:
        driver = self._driver
        while True:
            run = await driver.observe_again(call, stored)
            assert run is not None
            observation = run.observation

            def decide(observation: Observation = observation) -> Event | None:
                self._own(call.id)
                holds = driver.kernel.holds(observation, call.position)
                return CallAmended(call.id, stored, observation) if holds else None

            if driver.record_when(decide):
                return run

    # ---- parts ---------------------------------------------------------------------------------------------

    async def _gate(self, made: Tool, stored: Mapping[str, Value]) -> Outcome | None:
        """Stage or hold an irreversible call; None when it may run now."""
        driver, participant = self._driver, self._participant
        if made.gate == "stage" or driver.kernel.stages_all:
            driver.record_when(lambda: CallStaged(participant.rank, made.name, stored))
            call = next(reversed(participant.calls.values()))
            return Outcome("staged", call.id, self._deliver()[0], "staged")
        while True:
            if participant.pending:
                return Outcome(None, "", self._deliver()[0], "held_back")
            if driver.kernel.may_run_irreversible(participant):
                staged = next((call for call in participant.calls.values() if call.staged), None)
                if staged is None:
                    return None
                # What was staged before this call comes before it in the order, so it runs first.
                await driver.run_staged(staged)
                continue
            await driver.until(
                lambda: (
                    participant.ended
                    or bool(participant.pending)
                    or driver.kernel.may_run_irreversible(participant)
                )
            )
            self._require_active()

    def _finished(self) -> Event | None:
        participant = self._participant
        if participant.ended or participant.pending or participant.phase is not Phase.ACTIVE:
            return None
        return Finished(participant.rank)

    def _deliver(self) -> tuple[list[Notification], dict[str, Value]]:
        """Tell the agent what it has not been told: notices, and changes that it set off itself."""
        participant = self._participant
        notifications: list[Notification] = []
        changed: dict[str, Value] = {}

        def decide() -> Event | None:
            notifications.clear()
            changed.clear()
            if not participant.pending:
                return None
            for moved in moved_premises(participant):
                if moved.cause.rank == participant.rank:
                    changed.update({news.call_id: copied(news.after) for news in moved.calls})
                else:
                    notifications.append(notification(moved, self.quoting))
            return NoticesDelivered(participant.rank, tuple(participant.pending))

        self._driver.record_when(decide)
        return notifications, changed

    def _raise(self, call: Call, failure: Exception | None) -> None:
        notifications, _ = self._deliver()
        if isinstance(failure, CoAgentError):
            error = failure
        elif failure is not None:
            error = ToolFailed(f"tool {call.tool!r} failed: {call.error}")
        else:
            error = TargetError(f"the target refused what tool {call.tool!r} wrote: {call.error}")
        error.call_id = call.id
        error.notifications = list(notifications)
        raise error from (None if error is failure else failure)

    def _require_active(self) -> None:
        if self._participant.ended:
            raise AgentNotActive(
                f"agent {self.name!r} has {self._participant.phase.value}",
                "Join the domain again, as a new agent.",
            )

    def _was_undone(self, call_id: str) -> bool:
        name, _, sequence = call_id.rpartition(".")
        known = (
            name == self.name and sequence.isdigit() and 0 < int(sequence) < self._participant.next_sequence
        )
        return known and call_id not in self._participant.calls

    def _own(self, call_id: str, *, reversible: bool = True) -> Call:
        call = self._participant.calls.get(call_id)
        if call is None:
            standing = ", ".join(list(self._participant.calls)[-10:]) or "none"
            raise UnknownCall(
                f"agent {self.name!r} has no standing call {call_id!r}", f"Its latest calls are: {standing}."
            )
        if reversible and not call.reversible:
            raise NotReversible(
                f"call {call_id!r} ({call.tool}) is irreversible and has run",
                "Make up for it by another call.",
            )
        return call

    def _unknown_tool(self, name: str) -> UnknownTool:
        nearest = difflib.get_close_matches(name, self._driver.tools, 1)
        known = ", ".join(sorted(self._driver.tools)) or "none"
        cure = f"Did you mean {nearest[0]!r}?" if nearest else f"The domain has: {known}."
        return UnknownTool(f"there is no tool {name!r}", cure)


def _stored(made: Tool, arguments: Mapping[str, Any]) -> dict[str, Value]:
    try:
        return {name: copied(value) for name, value in arguments.items()}
    except TypeError as error:
        raise ToolFailed(f"an argument of tool {made.name!r} is not plain data: {error}") from None
