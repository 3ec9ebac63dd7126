"""What is kept of a domain that is looked at: the spans of its agents, and where those of its calls are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from coagent.log.urls import shown_url
from coagent.protocol.calls import CallId, Rank, call_id
from coagent.protocol.events import (
    Aborted,
    Attached,
    CallAmended,
    CallBegun,
    CallObserved,
    CallStaged,
    CallUndone,
    Committed,
    Event,
    Finished,
    Promoted,
)
from coagent.protocol.participants import Participant
from coagent.runtime.notices import Notification
from coagent.runtime.runner import Parts
from coagent.telemetry import names
from coagent.telemetry.content import Content
from coagent.telemetry.harmless import harmless
from coagent.telemetry.measures import Measures

_CALLS_KEPT_MAX: Final = 10_000
"""How many spans of calls can still be linked to."""

WITHIN: ContextVar[tuple[Rank, SpanContext] | None] = ContextVar("coagent_call", default=None)
"""Whose call this task carries out, and where its span is."""


@dataclass
class AgentSpan:
    """The span of an agent that this process serves.

    Args:
        span: From when it joined here to its end.
        context: In which its calls are made, where nothing else traces them.
        joined_in: The span within which it joined; its calls are made there, too, but are the agent's.
    """

    span: Span
    context: Context
    joined_in: SpanContext
    finished_s: float | None = None
    totals: dict[str, int] = field(
        default_factory=lambda: {names.CALLS: 0, names.NOTICES: 0, names.REEXECUTIONS: 0}
    )


class Book:
    """What is kept of one open domain.

    Args:
        parts: The domain's.
        about: Its log and protocol.
        tracer: Makes the spans.
        measures: The metrics.
        content: Shows contents; None where they are not to be sent.
    """

    def __init__(
        self,
        parts: Parts,
        about: tuple[str, str],
        tracer: Tracer,
        measures: Measures,
        content: Content | None,
    ) -> None:
        self.parts = parts
        self.tracer = tracer
        self.measures = measures
        self.content = content
        self._about = {names.DOMAIN: shown_url(about[0]), names.PROTOCOL: about[1]}
        self._agents: dict[Rank, AgentSpan] = {}
        self._calls: OrderedDict[CallId, SpanContext] = OrderedDict()

    def about(self, agent: Participant) -> dict[str, Any]:
        """Return the attributes that say whose span it is."""
        return {
            names.AGENT_NAME: agent.name,
            names.RANK: int(agent.rank),
            names.ORDER: agent.order,
            **self._about,
        }

    # ---- agents --------------------------------------------------------------------------------------------

    def agent(self, rank: Rank) -> AgentSpan | None:
        """Return the span of an agent; None of one that this process does not serve."""
        return self._agents.get(rank)

    @harmless
    def met(self, agent: Participant) -> None:
        """Begin the span of an agent that has joined here, or has been taken up."""
        if agent.rank in self._agents or not self.parts.recorder.serves(agent):
            return
        around = get_current_span()
        where = around.get_span_context()
        # A request ends long before the agent that has come with it: the agent is none of its parts.
        of_request = where.is_remote or getattr(around, "kind", None) is SpanKind.SERVER
        links = [Link(where, {names.LINK: "joined_in"})] if of_request and where.is_valid else []
        span = self.tracer.start_span(
            f"{names.INVOKE_AGENT} {agent.name}",
            context=Context() if of_request else None,
            attributes={names.OPERATION: names.INVOKE_AGENT, **self.about(agent)},
            links=links,
        )
        joined_in = INVALID_SPAN_CONTEXT if of_request else where
        self._agents[agent.rank] = AgentSpan(span, set_span_in_context(span, Context()), joined_in)

    def _over(self, rank: Rank, outcome: str) -> None:
        one = self._agents.pop(rank, None)
        if one is None:
            return
        one.span.set_attributes({names.OUTCOME: outcome, **one.totals})
        if outcome == "aborted":
            one.span.set_attribute(names.ERROR_TYPE, "aborted")
            one.span.set_status(Status(StatusCode.ERROR))
            self.measures.aborts.add(1)
        elif outcome == "committed":
            self.measures.commits.add(1)
            if one.finished_s is not None:
                self.measures.wait_s.record(self.parts.clock.now_s() - one.finished_s)
        one.span.end()

    def close(self) -> None:
        """End the spans of those who have not ended, as the domain is closed here."""
        for rank in list(self._agents):
            self._over(rank, "open")

    # ---- events --------------------------------------------------------------------------------------------

    @harmless
    def observe(self, event: Event) -> None:
        """Hear of an event that the kernel has taken."""
        if self.content is not None:
            self.content.learn(event)
        match event:
            case CallObserved() | CallBegun() | CallStaged():
                self._note_call(event.rank)
            case CallAmended() | CallUndone():
                if (within := WITHIN.get()) is not None:
                    self.keep(event.call_id, within[1])
            case Finished(rank):
                if (one := self._agents.get(rank)) is not None:
                    one.finished_s = self.parts.clock.now_s()
            case Promoted(rank, order):
                if (one := self._agents.get(rank)) is not None:
                    one.span.set_attribute(names.ORDER, order)
            case Committed(rank):
                self._over(rank, "committed")
            case Aborted(rank):
                self._over(rank, "aborted")
            case Attached(rank, owner):
                if owner != self.parts.recorder.tenure.owner:
                    self._over(rank, "handed_over")
            case _:
                pass

    def _note_call(self, rank: Rank) -> None:
        """Note where a call's span is as soon as it counts: others may be told of it before it returns."""
        within = WITHIN.get()
        if within is not None and within[0] == rank:
            agent = self.parts.kernel.agents[rank]
            made = call_id(agent.name, agent.next_sequence - 1)
            if made not in self._calls:
                self.keep(made, within[1])

    # ---- calls ---------------------------------------------------------------------------------------------

    def keep(self, call: CallId, where: SpanContext) -> None:
        """Remember where the span of a call is."""
        self._calls[call] = where
        if len(self._calls) > _CALLS_KEPT_MAX:
            self._calls.popitem(last=False)

    def link(self, call: str | None, why: str, **more: Any) -> Link | None:
        """Return a link to a call's span; None where that is not known, as for one of another process."""
        where = None if call is None else self._calls.get(CallId(call))
        return None if where is None else Link(where, {names.LINK: why, **more})

    def told(self, rank: Rank, span: Span, notices: Iterable[Notification]) -> None:
        """Note that an agent is told something with what a span is about."""
        causes = []
        for notice in notices:
            causes.append(str(notice.cause.call_id or notice.cause.agent))
            link = self.link(notice.cause.call_id, "notice")
            if link is not None:
                span.add_link(link.context, {names.LINK: "notice", **self._about_notice(notice)})
        count = len(causes)
        if not count:
            return
        one = self._agents.get(rank)
        if one is not None:
            one.totals[names.NOTICES] += count
        if one is None or span is not one.span:
            span.set_attribute(names.NOTICES, count)
            span.set_attribute(names.NOTICE_CAUSES, sorted(set(causes)))
        self.measures.notices.add(count)

    def _about_notice(self, notice: Notification) -> Mapping[str, Any]:
        found: dict[str, Any] = {
            names.NOTICE_CAUSE: notice.cause.agent,
            names.NOTICE_CALL: str(notice.cause.call_id),
            names.NOTICE_PREMISES: [str(premise) for premise in notice.premises],
            names.NOTICE_KINDS: sorted({news.kind for news in notice.calls}),
        }
        if self.content is not None:
            found[names.NOTICE_KEY] = self.content.key(notice.key)
        return found
