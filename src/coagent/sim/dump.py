"""The state of a kernel as plain text, so that two kernels can be compared."""

from __future__ import annotations

import json
from typing import Any

from coagent.protocol.calls import Call
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.trajectory import Trajectory


def dump(kernel: Mtpo) -> str:
    """Return everything that a kernel's answers depend on, in a form that is equal for equal states."""
    objects = kernel._objects
    state = {
        "agents": [_agent(agent) for _, agent in sorted(kernel.agents.items())],
        "order": kernel._order,
        "top": kernel._top,
        "floor": kernel._floor,
        "calls": [_call(call) for _, call in sorted(kernel._calls.items())],
        "objects": [_trajectory(one) for _, one in sorted(objects.trajectories.items())],
        "dirty": sorted(kernel._dirty._calls),
        "unapplied": sorted(objects.unapplied),
        "versions": objects.versions,
        "forgotten": objects.forgotten,
    }
    return json.dumps(state, sort_keys=True, default=repr)


def _agent(agent: Participant) -> dict[str, Any]:
    slots = {slot: getattr(agent, slot) for slot in Participant.__slots__ if slot not in ("calls", "pending")}
    return {**slots, "phase": agent.phase.value, "calls": list(agent.calls), "pending": list(agent.pending)}


def _call(call: Call) -> dict[str, Any]:
    plain = {slot: getattr(call, slot) for slot in Call.__slots__}
    for name in ("reads", "told_reads", "scans", "told_scans"):
        plain[name] = sorted((repr(premise), seen) for premise, seen in plain[name].items())
    return plain


def _trajectory(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "key": trajectory.key,
        "base": trajectory.base,
        "base_known": trajectory.base_known,
        "writers": [call.id for call in trajectory.writers],
        "readers": [call.id for call in trajectory.readers],
        "accepted": trajectory.accepted,
        "version": trajectory.version,
        "ever_written": trajectory.ever_written,
    }
