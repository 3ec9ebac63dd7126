"""A domain that is looked at, with what OpenTelemetry's own in-memory exporters have got of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import coagent
from coagent import Domain, State, tool
from coagent.telemetry import instrument


@tool
async def get(state: State, key: str) -> Any:
    """Read an object."""
    return await state.get(key)


@tool
async def put(state: State, key: str, value: Any) -> str:
    """Write an object."""
    await state.put(key, value)
    return "ok"


@tool
async def copy(state: State, source: str, to: str) -> Any:
    """Write what another object holds."""
    value = await state.get(source)
    if value == "poison":
        raise ValueError("it is poison: hunter2hunter2")
    await state.put(to, value)
    return value


@tool(effect="irreversible", gate="stage")
async def mail(state: State, text: str) -> str:
    """Send something at commit."""
    return f"sent {text}"


@tool(effect="irreversible", gate="wait")
async def post(state: State, text: str) -> str:
    """Send something when its turn has come."""
    return f"posted {text}"


TOOLS = (get, put, copy, mail, post)


class Seen:
    """What was seen of a domain."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._metrics], shutdown_on_exit=False)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """The spans that have ended, in the order in which they did."""
        return self._spans.get_finished_spans()

    def named(self, name: str, **attributes: Any) -> list[ReadableSpan]:
        """Return the spans of a name with some of our own attributes (`run="call"` is `coagent.run`)."""
        return [
            span
            for span in self.spans
            if span.name == name
            and all((span.attributes or {}).get(f"coagent.{key}") == one for key, one in attributes.items())
        ]

    def the(self, name: str, **attributes: Any) -> ReadableSpan:
        """Return the only span of a name."""
        (found,) = self.named(name, **attributes)
        return found

    def of_call(self, call: str, run: str = "call") -> ReadableSpan:
        """Return the span of a call."""
        (found,) = [
            span
            for span in self.spans
            if span.attributes
            and (span.attributes.get("coagent.call.id"), span.attributes.get("coagent.run")) == (call, run)
        ]
        return found

    def values(self, metric: str) -> dict[tuple[tuple[str, Any], ...], float]:
        """Return the points of a metric: its sum, or how often something was measured, by attributes."""
        data = self._metrics.get_metrics_data()
        found: dict[tuple[tuple[str, Any], ...], float] = {}
        for resource in () if data is None else data.resource_metrics:
            for scope in resource.scope_metrics:
                for one in scope.metrics:
                    for point in one.data.data_points if one.name == metric else ():
                        value = point.value if hasattr(point, "value") else point.count
                        found[tuple(sorted((point.attributes or {}).items()))] = value
        return found


def links(span: ReadableSpan) -> dict[str, list[int]]:
    """Return where the links of a span lead, by what they are for."""
    found: dict[str, list[int]] = {}
    for link in span.links:
        assert link.attributes is not None
        found.setdefault(str(link.attributes["coagent.link"]), []).append(link.context.span_id)
    return found


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


@asynccontextmanager
async def looked_at(
    initial: dict[str, Any] | None = None, *, arguments: bool = False, **options: Any
) -> AsyncIterator[tuple[Domain, Seen]]:
    """Open a domain that is looked at."""
    seen = Seen()
    memory = coagent.targets.Memory(initial or {"kv:x": 1})
    made = coagent.open_domain("memory:", targets=[memory], tools=TOOLS, **options)
    looked = instrument(made, arguments=arguments, tracer_provider=seen.tracers, meter_provider=seen.meters)
    async with looked as domain:
        yield domain, seen
