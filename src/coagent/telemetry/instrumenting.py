"""Having a domain looked at."""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import TracerProvider, get_tracer_provider

from coagent.errors import ConfigurationError
from coagent.masking.mask import Mask
from coagent.protocol.participants import Participant
from coagent.runtime.domain import Domain
from coagent.runtime.runner import Parts, Runner
from coagent.runtime.session import AgentSession
from coagent.runtime.work import Work
from coagent.telemetry.book import Book
from coagent.telemetry.content import Content
from coagent.telemetry.harmless import harmless
from coagent.telemetry.measures import Measures
from coagent.telemetry.names import SCOPE
from coagent.telemetry.runners import TracedDeclared, TracedNative
from coagent.telemetry.session import TracedSession
from coagent.tools.base import Kind


def instrument(
    domain: Domain,
    *,
    arguments: bool = False,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    mask: Mask | None = None,
) -> Domain:
    """Have what the agents of a domain do told to OpenTelemetry.

    Args:
        domain: One that has not been entered yet.
        arguments: Whether what calls are given and return is told as well, masked; and what errors say.
        tracer_provider: Whose spans they are; the global one by default.
        meter_provider: Whose metrics they are; the global one by default.
        mask: Through which contents are shown, where it has learned something already.

    Returns:
        The domain: `async with instrument(open_domain(...)) as domain`.

    Raises:
        ConfigurationError: It is looked at already.
    """
    if domain.instrument is not None:
        raise ConfigurationError("the domain is looked at already", "Call instrument() once.")
    domain.instrument = Telemetry(
        tracer_provider or get_tracer_provider(),
        meter_provider or get_meter_provider(),
        Content(mask or Mask()) if arguments else None,
    )
    return domain


class Telemetry:
    """Looks at one domain.

    Args:
        tracers: Makes its tracer.
        meters: Makes its meter.
        content: Shows contents; None where they are not to be sent.
    """

    def __init__(self, tracers: TracerProvider, meters: MeterProvider, content: Content | None) -> None:
        self._tracer = tracers.get_tracer(SCOPE)
        self._measures = Measures(meters.get_meter(SCOPE))
        self._content = content
        self._book: Book | None = None

    def began(self, domain: Domain, parts: Parts) -> dict[Kind, Runner]:
        """Begin to look."""
        about = (domain.url, domain.protocol)
        book = self._book = Book(parts, about, self._tracer, self._measures, self._content)
        parts.recorder.observers.append(book.observe)
        return {"native": TracedNative(parts, book), "declared": TracedDeclared(parts, book)}

    def session(self, parts: Parts, work: Work, participant: Participant) -> AgentSession:
        """Return a session whose calls are spans."""
        assert self._book is not None, "an open domain makes sessions"
        return TracedSession(parts, work, participant, self._book)

    @harmless
    def ended(self) -> None:
        """End what is open."""
        if self._book is not None:
            self._book.close()
            self._book = None
