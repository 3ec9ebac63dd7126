"""What a file says of telemetry, and switching it on for a process of CoAgent's own."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from coagent.systems.base import Table

if TYPE_CHECKING:
    from coagent.masking.mask import Mask
    from coagent.runtime.domain import Domain

_SAYS = logging.getLogger("coagent.telemetry")


class TelemetryTable(Table):
    """What is told to a collector of OpenTelemetry; which one, the variables `OTEL_*` say.

    Args:
        enabled: Whether anything is.
        arguments: Whether what calls are given and return is, too: masked, and cut short.
    """

    enabled: bool = False
    arguments: bool = False


@contextmanager
def telemetry(
    table: TelemetryTable, domain: Domain, mask: Mask | None = None, *, transport: str | None = None
) -> Iterator[None]:
    """Have what the agents of a domain do told to a collector, where a file says so.

    What is missing for that is said, and keeps nobody from working.

    Args:
        table: What the file says.
        domain: A domain that has not been entered yet.
        mask: Of the process' output, which knows some secrets already.
        transport: How MCP clients speak to this process: "pipe" or "tcp".
    """
    if not table.enabled:
        yield
        return
    try:
        from coagent.telemetry import instrument
        from coagent.telemetry.sending import sending
    except ImportError as error:
        cure = "Install it: pip install 'coagent-mtpo[otel]'."
        _SAYS.warning("[telemetry] is enabled, and nothing is sent: %s. %s", error, cure)
        yield
        return
    with sending(transport=transport) as providers:
        if providers is not None:
            instrument(
                domain,
                arguments=table.arguments,
                tracer_provider=providers.tracers,
                meter_provider=providers.meters,
                mask=mask,
            )
            if domain.instrument is not None:
                providers.last.append(domain.instrument.ended)
        yield


def continue_trace(environment: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Have what is traced within go on with the trace of the program that has these variables.

    Args:
        environment: With `TRACEPARENT`, where it has one; does nothing where nothing is traced.
    """
    if "TRACEPARENT" not in environment or "coagent.telemetry.sending" not in sys.modules:
        return nullcontext()
    from coagent.telemetry.continuing import going_on_with

    return going_on_with(str(environment["TRACEPARENT"]))
