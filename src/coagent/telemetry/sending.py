"""Sending what was seen to a collector, for CoAgent's own processes: it never holds anybody up.

Spans wait in a bounded queue, which drops what does not fit, and are sent by a thread of their own. A
collector that is away, slow or refuses costs a process one warning, and a second at its end. Where the
collector is, and all else, the standard variables `OTEL_*` tell.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_METRICS_TIMEOUT,
    OTEL_EXPORTER_OTLP_TIMEOUT,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from coagent.telemetry import names
from coagent.telemetry.harmless import say_once

END_S_MAX: Final = 1.0
"""How long the end of a process waits until all is sent, in seconds."""
_NOT_SENT: Final = "what is traced cannot be sent, and the agents go on without"
_SEND_EVERY_MS: Final = 1000.0
_SEND_S_MAX: Final = 3.0
"""How long one request to a collector may take, where no variable says otherwise."""


class Providers(NamedTuple):
    """Where spans and metrics go.

    Args:
        tracers: Spans.
        meters: Metrics.
        last: What is done before the last of them are sent.
    """

    tracers: trace.TracerProvider
    meters: metrics.MeterProvider
    last: list[Callable[[], object]]


@contextmanager
def sending(*, transport: str | None = None) -> Iterator[Providers | None]:
    """Send what is traced within, and what is left of it at the end.

    Args:
        transport: How this process is spoken to over MCP, as `network.transport`.

    Returns:
        Where spans and metrics go; None where OTEL_SDK_DISABLED says so.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield None
        return
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        yield Providers(
            trace.get_tracer_provider(), metrics.get_meter_provider(), []
        )  # somebody has seen to it
        return
    _one_warning()
    resource = Resource.create(_about_us())
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    if transport is not None:
        tracers.add_span_processor(_Transport(transport))
    if (spans := _span_exporter()) is not None:
        said = "OTEL_BSP_SCHEDULE_DELAY" in os.environ
        tracers.add_span_processor(
            BatchSpanProcessor(spans, schedule_delay_millis=None if said else _SEND_EVERY_MS)
        )
    found = _metric_exporter()
    readers = [] if found is None else [PeriodicExportingMetricReader(found)]
    meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    # The MCP library traces the requests of its servers and clients by the global ones.
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    providers = Providers(tracers, meters, [])
    _flush_when_told_to_end(providers)
    try:
        yield providers
    finally:
        _within(END_S_MAX, tracers.shutdown, meters.shutdown)


def _flush_when_told_to_end(providers: Providers) -> None:
    """Send what there is when SIGTERM ends the process as it would anyway, such as that of an HTTP server."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def told(number: int, frame: object) -> None:
        for act in providers.last:
            act()
        _within(END_S_MAX, providers.tracers.shutdown, providers.meters.shutdown)  # type: ignore[attr-defined]
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, told)


def _within(seconds: float, *acts: Callable[[], object]) -> None:
    """Do things side by side, and go on after a time whether they are done or not."""
    threads = [threading.Thread(target=_tried, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        say_once(_NOT_SENT, "what was left at the end was not sent in time")


def _tried(act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as failure:
        say_once(_NOT_SENT, failure)


def _about_us() -> dict[str, str]:
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    try:
        ours = version("coagent-mtpo")
    except PackageNotFoundError:
        ours = "0"
    return {"service.version": ours} | ({} if named else {"service.name": "coagent"})


# ---- exporters ---------------------------------------------------------------------------------------------


def _span_exporter() -> SpanExporter | None:
    chosen = _chosen("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
    if chosen == "console":
        return ConsoleSpanExporter(out=_stderr())
    if chosen != "otlp":
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(timeout=_timeout_s(OTEL_EXPORTER_OTLP_TRACES_TIMEOUT))


def _metric_exporter() -> MetricExporter | None:
    chosen = _chosen("OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL")
    if chosen == "console":
        return ConsoleMetricExporter(out=_stderr())
    if chosen != "otlp":
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(timeout=_timeout_s(OTEL_EXPORTER_OTLP_METRICS_TIMEOUT))


def _stderr() -> Any:
    import sys

    return sys.stderr  # standard output is the MCP client's


def _chosen(variable: str, protocol: str) -> str:
    """Return the exporter that the environment names: otlp, console or none."""
    chosen = os.environ.get(variable, "otlp").strip().lower() or "otlp"
    if chosen not in ("otlp", "console", "none"):
        say_once(variable, f"there is no {chosen!r}, so nothing is sent; choose otlp, console or none")
        return "none"
    spoken = os.environ.get(protocol) or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if chosen == "otlp" and spoken != "http/protobuf":
        say_once("OTEL_EXPORTER_OTLP_PROTOCOL", f"{spoken!r} is not spoken; choose http/protobuf (port 4318)")
        return "none"
    return chosen


def _timeout_s(variable: str) -> float | None:
    """Return how long a request may take; None where the environment says so."""
    said = variable in os.environ or OTEL_EXPORTER_OTLP_TIMEOUT in os.environ
    return None if said else _SEND_S_MAX


# ---- what is around it -------------------------------------------------------------------------------------


class _Transport(SpanProcessor):
    """Says of the spans of MCP requests how these came."""

    def __init__(self, transport: str) -> None:
        self._transport = transport

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.attributes is not None and names.MCP_METHOD in span.attributes:
            span.set_attribute(names.NETWORK_TRANSPORT, self._transport)


class _Once(logging.Handler):
    """Tells of the first failure, without a traceback."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        why = record.exc_info[1] if record.exc_info else None
        text = record.getMessage().splitlines()[0][:300]
        say_once(
            _NOT_SENT,
            text if why is None else f"{text} {type(why).__name__}",
        )


def _one_warning() -> None:
    """Have the library's own log cost one line of ours, for as long as the process lives."""
    theirs = logging.getLogger("opentelemetry")
    theirs.handlers, theirs.propagate = [_Once()], False
    logging.getLogger("urllib3").addHandler(logging.NullHandler())
