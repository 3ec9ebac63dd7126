"""The kernel's invariants, checked after every step in tests.

They are numbered at the types they speak of: `Call` (calls.py) and `Trajectory` (trajectory.py).
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from coagent.protocol.calls import Call, Rank
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.premises import scan_holds
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.values import same, selected


def check(
    calls: Mapping[str, Call],
    trajectories: Mapping[Key, Trajectory],
    dirty: Container[str],
    agents: Mapping[Rank, Participant],
) -> None:
    """Assert every invariant; an AssertionError names the call or object that breaks one."""
    for trajectory in trajectories.values():
        _check_trajectory(trajectory)
    for call in calls.values():
        if call.id not in dirty and not call.irreversible:
            _check_premises(call, trajectories)
        assert not (call.writes and (call.error is not None or call.dormant or call.staged)), call
        told = call.error == call.told_error and same(call.value, call.told_value)
        pending = call.id in agents[call.rank].pending
        assert call.id in dirty or pending == (not told), call
    for agent in agents.values():
        assert set(agent.pending) <= set(agent.calls), agent


def _check_trajectory(trajectory: Trajectory) -> None:
    assert trajectory.positions == sorted(set(trajectory.positions)), trajectory.key
    assert trajectory.reader_positions == sorted(set(trajectory.reader_positions)), trajectory.key
    assert trajectory.positions == [call.position for call in trajectory.writers], trajectory.key
    assert trajectory.reader_positions == [call.position for call in trajectory.readers], trajectory.key
    assert all(trajectory.key in call.writes for call in trajectory.writers), trajectory.key
    assert trajectory.base_known or not trajectory.writers, trajectory.key
    if trajectory.base_known:
        assert same(trajectory.accepted[-1], trajectory.live()), trajectory.key


def _check_premises(call: Call, trajectories: Mapping[Key, Trajectory]) -> None:
    for (key, selector), seen in call.reads.items():
        trajectory = trajectories[key]
        if trajectory.base_known:
            now = selected(trajectory.filtered(call.position), selector)
            assert same(now, seen), f"{call} saw {seen!r} of {key!r}, which is {now!r} at its position"
    for scan, seen in call.scans.items():
        for key, trajectory in trajectories.items():
            if trajectory.writers and scan.covers(key):
                value = trajectory.filtered(call.position)
                holds = scan_holds(scan, seen, key, value, trajectory.base)
                assert holds, f"{call} scanned {scan} otherwise than {key!r} is"
