"""The span of one call, from when it is made until its result, or its failure, is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Any

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, Status, StatusCode, get_current_span, set_span_in_context

from coagent.errors import CoAgentError
from coagent.protocol.calls import CallId
from coagent.protocol.participants import Participant
from coagent.runtime.outcomes import Outcome
from coagent.telemetry import names
from coagent.telemetry.book import WITHIN, Book
from coagent.telemetry.harmless import harmless
from coagent.tools.names import function_names


class CallSpan:
    """A call that is looked at while it is made; used with `with`.

    Where what is around it traces just this tool, as an MCP server's request does, that span is the call's.

    Args:
        book: The domain's.
        agent: Whose call it is.
        tool: What is called.
        run: Why it runs: call, amend or undo.
        of: The call that is amended or undone.
        arguments: With what.
    """

    def __init__(
        self,
        book: Book,
        agent: Participant,
        tool: str,
        run: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        of: str | None = None,
    ) -> None:
        self._book = book
        self._agent = agent
        self._tool = tool if tool in book.parts.catalog.tools else names.UNKNOWN
        self._run = run
        self._arguments = arguments
        self._of = of
        self._span: Span | None = None
        self._owns = True
        self._context: Token[Context] | None = None
        self._within: Any = None
        self._began_s = time.perf_counter()
        self._status = "failed"

    @harmless
    def _begin(self) -> None:
        book, agent = self._book, self._agent
        around = get_current_span()
        attributes = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_NAME: self._tool,
            names.TOOL_TYPE: "function",
            names.RUN: self._run,
            **book.about(agent),
        }
        mine = book.agent(agent.rank)
        if self._run == "call" and self._is_traced_by(around):
            self._owns, span = False, around
            del attributes[names.TOOL_NAME]  # as its caller has it
            span.set_attributes(attributes)
            if mine is not None:
                span.add_link(mine.span.get_span_context(), {names.LINK: "agent"})
        else:
            where = around.get_span_context()
            of_agent = mine is not None and (not where.is_valid or where.span_id == mine.joined_in.span_id)
            links = [one] if (one := book.link(self._of, "call")) is not None else []
            if mine is not None and not of_agent:
                links += [Link(mine.span.get_span_context(), {names.LINK: "agent"})]
            if self._run == "undo":
                del attributes[names.OPERATION]
                attributes[names.UNDO] = True
            verb = "undo" if self._run == "undo" else names.EXECUTE_TOOL
            parent = mine.context if mine is not None and of_agent else None
            span = book.tracer.start_span(
                f"{verb} {self._tool}", context=parent, attributes=attributes, links=links
            )
        self._span = span
        self._context = contexts.attach(set_span_in_context(span))
        self._within = WITHIN.set((agent.rank, span.get_span_context()))

    def _is_traced_by(self, around: Span) -> bool:
        """Tell whether a span is of this very tool execution, and of no other call yet."""
        known = getattr(around, "attributes", None)
        if not around.is_recording() or known is None or names.DOMAIN in known:
            return False
        called = known.get(names.TOOL_NAME)
        return known.get(names.OPERATION) == names.EXECUTE_TOOL and (
            called == self._tool or called in function_names([self._tool])
        )

    def __enter__(self) -> CallSpan:
        self._begin()
        return self

    @harmless
    def ended(self, outcome: Outcome) -> None:
        """Note what the agent is told."""
        book, span = self._book, self._span
        if span is None:
            return
        self._status = outcome.status
        span.set_attribute(names.STATUS, outcome.status)
        self._note_id(span, outcome.call_id)
        if outcome.changed:
            span.set_attribute(names.CHANGED, len(outcome.changed))
        value = outcome.value
        if isinstance(value, dict) and type(value.get("exit_code")) is int:
            span.set_attribute(names.EXIT_CODE, value["exit_code"])
        book.told(self._agent.rank, span, outcome.notifications)
        if book.content is not None and self._arguments is not None and span.is_recording():
            read = book.parts.recorder.waiting.call(outcome.call_id)
            if read is not None:  # its event is still to come
                book.content.learn(read)
            span.set_attributes(book.content.of_call(self._arguments, value))

    def _note_id(self, span: Span, call: str | None) -> None:
        if not call:
            return
        span.set_attribute(names.CALL_ID, str(call))
        if self._owns:
            span.set_attribute(names.TOOL_CALL_ID, str(call))
        if self._run != "undo":
            self._book.keep(CallId(call), span.get_span_context())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    @harmless
    def _end(self, error: BaseException | None) -> None:
        if self._within is not None:
            WITHIN.reset(self._within)
        if self._context is not None:
            contexts.detach(self._context)
        span = self._span
        if span is None:
            return
        try:
            if error is not None:
                self._failed(span, error)
            self._measure(error)
        finally:
            if self._owns:
                span.end()

    def _failed(self, span: Span, error: BaseException) -> None:
        book = self._book
        span.set_attributes({names.ERROR_TYPE: type_of(error), names.STATUS: self._status})
        content = book.content
        span.set_status(Status(StatusCode.ERROR, None if content is None else content.message(error)))
        if isinstance(error, CoAgentError):
            span.set_attribute(names.ERROR_CODE, error.code)
            self._note_id(span, error.call_id)
            book.told(self._agent.rank, span, error.notifications)
        if content is not None and self._arguments is not None:
            span.set_attributes(content.of_call(self._arguments))

    def _measure(self, error: BaseException | None) -> None:
        book, measures = self._book, self._book.measures
        about: dict[str, Any] = {names.TOOL_NAME: self._tool}
        if self._run != "call":
            measures.repairs.add(1, {**about, names.RUN: self._run})
        if self._run == "undo":
            return
        if error is not None:
            about[names.ERROR_TYPE] = type_of(error)
        measures.tool_s.record(time.perf_counter() - self._began_s, {**about, names.TOOL_TYPE: "function"})
        if self._run == "call":
            measures.calls.add(1, {**about, names.STATUS: self._status})
            if (mine := book.agent(self._agent.rank)) is not None:
                mine.totals[names.CALLS] += 1


def type_of(error: BaseException) -> str:
    """Return the class of an error, as `error.type` names it."""
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__qualname__
