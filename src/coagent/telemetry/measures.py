"""The metrics."""

from __future__ import annotations

from typing import Final

from opentelemetry.metrics import Meter

# As the conventions advise for durations of tools, in seconds; agents think for minutes.
_CALL_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0)
_WAIT_S: Final = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Measures:
    """The instruments of one meter.

    No measurement has the name of an agent: a client that comes again and again under new names would make
    time series without end.

    Args:
        meter: The meter.
    """

    def __init__(self, meter: Meter) -> None:
        self.tool_s = meter.create_histogram(
            "gen_ai.execute_tool.duration",
            unit="s",
            description="The duration of a single tool execution.",
            explicit_bucket_boundaries_advisory=_CALL_S,
        )
        self.wait_s = meter.create_histogram(
            "coagent.commit.wait.duration",
            unit="s",
            description="For how long an agent that had finished waited for its commit.",
            explicit_bucket_boundaries_advisory=_WAIT_S,
        )
        self.calls = meter.create_counter(
            "coagent.calls", unit="{call}", description="Calls that have ended."
        )
        self.notices = meter.create_counter(
            "coagent.notices", unit="{notice}", description="Notices that agents were told."
        )
        self.reexecutions = meter.create_counter(
            "coagent.reexecutions", unit="{call}", description="Calls that ran again on a new prefix."
        )
        self.repairs = meter.create_counter(
            "coagent.repairs", unit="{call}", description="Calls that their own agents took back or amended."
        )
        self.commits = meter.create_counter(
            "coagent.commits", unit="{agent}", description="Agents that have committed."
        )
        self.aborts = meter.create_counter(
            "coagent.aborts", unit="{agent}", description="Agents that were aborted."
        )
