"""OpenTelemetry: what agents do, as spans, links and metrics by the conventions for GenAI; off by default.

Sources: open-telemetry/semantic-conventions-genai v0.1.0 (all of it "Development"), `execute_tool`,
`invoke_agent` and MCP; SEP-414 (trace context in `params._meta`). What is our own has names in `coagent.`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coagent.telemetry.instrumenting import instrument

__all__ = ["instrument"]


def __getattr__(name: str) -> object:
    if name != "instrument":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from coagent.telemetry.instrumenting import instrument

    return instrument
