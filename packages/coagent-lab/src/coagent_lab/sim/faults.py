"""The kinds of faults that a run of kind "swarm" may have."""

from __future__ import annotations

FAULTS = (
    "killed", "stopped", "unheard", "slow", "cut_log", "cut_target", "away", "refused", "outside", "aborted",
    "meddling", "clocks", "checkpoints", "places",
)  # fmt: skip
"""What a run may have: processes that die, stand still, or hear no answer; slow requests; processes cut off
from the log, or from a target; targets that are away, or refuse a value; outsiders; agents that others end;
agents that undo and amend while calls are under way; clocks that differ; checkpoints; places of all kinds."""
