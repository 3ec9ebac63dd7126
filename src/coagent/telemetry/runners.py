"""Runs that no agent waits for: a call on a new prefix, a staged one at commit, one after a crash."""

from __future__ import annotations

import time
from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from coagent.protocol.calls import Call
from coagent.runtime.declared import DeclaredRunner
from coagent.runtime.native import NativeRunner
from coagent.runtime.runner import Parts, Runner
from coagent.telemetry import names
from coagent.telemetry.book import Book
from coagent.telemetry.calls import type_of
from coagent.telemetry.harmless import harmless
from coagent.tools.base import Tool


class _Traced(Runner, ABC):
    """Looks at what a runner that comes after it among the bases of a class runs."""

    def __init__(self, parts: Parts, book: Book) -> None:
        super().__init__(parts)
        self._book = book

    async def reexecute(self, call: Call, tool: Tool) -> None:
        with run_again(self._book, call, "reexecution"):
            await super().reexecute(call, tool)  # type: ignore[safe-super]  # of the runner after it

    async def run_staged(self, call: Call, tool: Tool) -> None:
        with run_again(self._book, call, "staged"):
            await super().run_staged(call, tool)  # type: ignore[safe-super]  # of the runner after it

    async def run_again(self, call: Call, tool: Tool) -> None:
        with run_again(self._book, call, "again"):
            await super().run_again(call, tool)  # type: ignore[safe-super]  # of the runner after it


class TracedNative(_Traced, NativeRunner):
    """Runs native tools, looked at."""


class TracedDeclared(_Traced, DeclaredRunner):
    """Runs declared tools, looked at."""


@contextmanager
def run_again(book: Book, call: Call, run: str) -> Iterator[None]:
    """Look at a run of a call that has its place."""
    began_s = time.perf_counter()
    span = _begun(book, call, run)
    if span is None:
        yield
        return
    context = contexts.attach(set_span_in_context(span))
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        contexts.detach(context)
        _ended(book, call, run, span, failure, time.perf_counter() - began_s)


@harmless
def _begun(book: Book, call: Call, run: str) -> Span:
    agent = book.parts.kernel.agents[call.rank]
    mine = book.agent(call.rank)
    cause = call.cause if run == "reexecution" else None
    links = [book.link(call.id, "call"), book.link(None if cause is None else cause.call_id, "cause")]
    return book.tracer.start_span(
        f"{names.EXECUTE_TOOL} {call.tool}",
        context=Context() if mine is None else mine.context,
        attributes={
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_NAME: call.tool,
            names.TOOL_TYPE: "function",
            names.TOOL_CALL_ID: str(call.id),
            names.CALL_ID: str(call.id),
            names.RUN: run,
            names.REEXECUTION: run == "reexecution",
            **book.about(agent),
        },
        links=[link for link in links if link is not None],
    )


@harmless
def _ended(
    book: Book, call: Call, run: str, span: Span, failure: BaseException | None, seconds: float
) -> None:
    about = {names.TOOL_NAME: call.tool}
    error = "ToolFailed" if failure is None and call.seen.error is not None else None
    if failure is not None:
        error = type_of(failure)
    if error is not None:
        span.set_attribute(names.ERROR_TYPE, error)
        span.set_status(Status(StatusCode.ERROR))
        about[names.ERROR_TYPE] = error
    if run == "reexecution":
        book.measures.reexecutions.add(1, about)
        if (mine := book.agent(call.rank)) is not None:
            mine.totals[names.REEXECUTIONS] += 1
    else:  # what runs again is the same execution, for whoever counts them
        book.measures.tool_s.record(seconds, {**about, names.TOOL_TYPE: "function"})
    value = call.seen.value
    if isinstance(value, dict) and type(value.get("exit_code")) is int:
        span.set_attribute(names.EXIT_CODE, value["exit_code"])
    if book.content is not None:
        span.set_attributes(book.content.of_call(call.arguments, value))
    span.end()
