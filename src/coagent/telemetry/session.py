"""A session whose calls and repairs are spans."""

from __future__ import annotations

from typing import Any

from coagent.protocol.calls import CallId
from coagent.protocol.participants import Participant
from coagent.runtime.notices import Notification
from coagent.runtime.outcomes import Outcome, Settlement
from coagent.runtime.runner import Parts
from coagent.runtime.session import AgentSession
from coagent.runtime.work import Work
from coagent.telemetry.book import Book
from coagent.telemetry.calls import CallSpan
from coagent.telemetry.harmless import harmless


class TracedSession(AgentSession):
    """One agent, looked at.

    Args:
        parts: The domain's.
        work: The domain's.
        participant: The agent.
        book: What is kept of it.
    """

    def __init__(self, parts: Parts, work: Work, participant: Participant, book: Book) -> None:
        super().__init__(parts, work, participant)
        self._book = book
        book.met(participant)

    async def call(self, tool: str, /, **arguments: Any) -> Outcome:
        with CallSpan(self._book, self._participant, tool, "call", arguments) as seen:
            outcome = await super().call(tool, **arguments)
            seen.ended(outcome)
            return outcome

    async def amend(self, call_id: str, /, **arguments: Any) -> Outcome:
        tool = self._tool(call_id)
        with CallSpan(self._book, self._participant, tool, "amend", arguments, of=call_id) as seen:
            outcome = await super().amend(call_id, **arguments)
            seen.ended(outcome)
            return outcome

    async def undo(self, call_id: str) -> Outcome:
        with CallSpan(self._book, self._participant, self._tool(call_id), "undo", of=call_id) as seen:
            outcome = await super().undo(call_id)
            seen.ended(outcome)
            return outcome

    async def finish(self, *, wait: bool = False) -> Settlement:
        settlement = await super().finish(wait=wait)
        self._told(settlement.notifications)
        return settlement

    async def notifications(self) -> list[Notification]:
        notices = await super().notifications()
        self._told(notices)
        return notices

    async def wait_for_turn(self) -> list[Notification]:
        notices = await super().wait_for_turn()
        self._told(notices)
        return notices

    def _tool(self, call_id: str) -> str:
        call = self._participant.calls.get(CallId(call_id))
        return "" if call is None else call.tool

    @harmless
    def _told(self, notices: list[Notification]) -> None:
        """Note what the agent is told apart from any call."""
        mine = self._book.agent(self.rank)
        if notices and mine is not None:
            self._book.told(self.rank, mine.span, notices)
