"""Notifications as agents get them."""

from __future__ import annotations

from dataclasses import dataclass, field

from coagent.protocol.calls import CallId, Cause
from coagent.protocol.differences import difference
from coagent.protocol.inbox import CallNews, Moved, Proposal, StaleLiteral
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, copied
from coagent.wording.notices import notice_text
from coagent.wording.quoting import Quoting


@dataclass(frozen=True, slots=True)
class Notification:
    """One-way message from an earlier-ranked agent: a premise of yours has changed.

    Args:
        key: The object, or the prefix of a scan.
        part: The field, line range, glob or pattern that was read; None for the whole.
        before: What the calls saw (for a scan: the keys, or key to matching lines).
        after: What they would see now; of a stuck object the reason.
        diff: The change, for reading; of a stuck object the reason.
        cause: Who set it off: `cause.agent`, `cause.call_id`, `cause.tool`.
        premises: Own calls that saw the old value.
        dependents: Own later writes that may rest on it.
        stale_literals: Arguments of those in which the old value still stands, with the new one if clear.
        proposals: Own later calls with the new values in the place of the old ones that stand in them: right
            only where they came from there, so each is for the agent to take or to leave.
        own: Whether one of the agent's own calls has changed it: a staged one that ran, or a repair.
        calls: For each premise how the call ends now: `call_id`, `kind`, `before`, `after`.
        text: What a model is shown.
    """

    key: Key
    part: str | None
    before: Value
    after: Value
    diff: str
    cause: Cause
    premises: list[CallId]
    dependents: list[CallId]
    stale_literals: list[StaleLiteral]
    proposals: list[Proposal]
    own: bool
    calls: list[CallNews] = field(repr=False)
    text: str = field(repr=False)

    @property
    def stuck(self) -> bool:
        """Whether it speaks of an object that its system will not hold as it should, and of no change."""
        return any(news.kind == "stuck" for news in self.calls)

    def only_says_failed(self, call_id: str) -> bool:
        """Tell whether it speaks of no premise, but only of the failure of one call."""
        ends = [(news.call_id, news.kind) for news in self.calls]
        return self.part == "result" and ends == [(call_id, "withdrawn")]


def notification(moved: Moved, quoting: Quoting) -> Notification:
    """Make the notification of a premise that moved.

    Args:
        moved: The premise.
        quoting: Of the agent that gets it.
    """
    stuck = any(news.kind == "stuck" for news in moved.calls)
    diff = str(moved.after) if stuck else difference(moved.before, moved.after)
    return Notification(
        key=moved.key,
        part=moved.part,
        before=copied(moved.before),
        after=copied(moved.after),
        diff=diff,
        cause=moved.cause,
        premises=[call.call_id for call in moved.calls],
        dependents=list(moved.dependents),
        stale_literals=list(moved.stale_literals),
        proposals=[one._replace(arguments=copied(one.arguments)) for one in moved.proposals],
        own=moved.own,
        calls=list(moved.calls),
        text=notice_text(moved, diff, quoting),
    )
