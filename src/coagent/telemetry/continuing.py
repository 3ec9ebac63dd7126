"""Going on with the trace of another program, which has said where it is in a variable.

Sources: W3C Trace Context, `traceparent`; OpenTelemetry, "Environment variables as context carriers".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator


@contextmanager
def going_on_with(traceparent: str) -> Iterator[None]:
    """Make the span that a text names the one around what is done within; what is none is ignored."""
    found = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    token = contexts.attach(found)
    try:
        yield
    finally:
        contexts.detach(token)
