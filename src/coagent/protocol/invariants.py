"""The kernel's invariants, checked after every step in tests.

They are numbered at the types they speak of: `Call` (calls.py), `Trajectory` (trajectory.py), `Objects`
(objects.py) and `ScanIndex` (premises.py).
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from coagent.protocol.calls import Call, CallId, Position, Rank
from coagent.protocol.keys import Key
from coagent.protocol.objects import Objects
from coagent.protocol.participants import Participant
from coagent.protocol.phases import CallPhase
from coagent.protocol.premises import scan_holds
from coagent.protocol.trajectory import OutsideEdit, Trajectory
from coagent.protocol.values import same, selected

_WRITELESS = (CallPhase.LAPSED, CallPhase.STAGED)
_UNDER_WAY = (CallPhase.RUNNING, CallPhase.UNKNOWN)


def check(
    calls: Mapping[CallId, Call],
    objects: Objects,
    dirty: Container[CallId],
    agents: Mapping[Rank, Participant],
) -> None:
    """Assert every invariant; an AssertionError names the call or object that breaks one."""
    for trajectory in objects.trajectories.values():
        _check_trajectory(trajectory, calls)
    _check_tracked(objects)
    for call in calls.values():
        if call.id not in dirty and not call.irreversible:
            _check_premises(call, objects.trajectories)
        failed = call.seen.error is not None
        assert not (call.writes and (failed or call.phase in _WRITELESS)), call
        pending = call.id in agents[call.rank].pending
        assert call.id in dirty or pending == call.unheard or call.phase in _UNDER_WAY, call
    for agent in agents.values():
        assert set(agent.pending) <= set(agent.calls), agent
        assert not agent.ended or not agent.unread, agent
    _check_scans(calls, objects)


def _check_trajectory(trajectory: Trajectory, calls: Mapping[CallId, Call]) -> None:
    key = trajectory.key
    assert trajectory.positions == sorted(set(trajectory.positions)), key
    assert trajectory.reader_positions == sorted(set(trajectory.reader_positions)), key
    assert trajectory.positions == [writer.position for writer in trajectory.writers], key
    assert trajectory.reader_positions == [call.position for call in trajectory.readers], key
    assert all(key in writer.writes for writer in trajectory.writers), key
    assert all(any(read == key for read, _ in call.seen.reads) for call in trajectory.readers), key
    for call in [*trajectory.writers, *trajectory.readers]:
        assert isinstance(call, OutsideEdit) or calls.get(call.id) is call, (key, call)
    assert trajectory.base_known or not trajectory.writers, key
    if trajectory.writers:
        assert not isinstance(trajectory.writers[0], OutsideEdit), key
    if trajectory.base_known:
        assert same(trajectory.accepted[-1], trajectory.live()), key
        assert trajectory.accepted_at[-1] == trajectory.live_position, key
        assert len(trajectory.accepted) == len(trajectory.accepted_at), key


def _check_tracked(objects: Objects) -> None:
    for key, trajectory in objects.trajectories.items():
        assert trajectory.writers or trajectory.readers or key in objects.unapplied, (
            f"{key} is tracked for nobody"
        )
        if trajectory.writers or key in objects.unapplied:
            assert key in objects.written.under(key), f"{key} is written, and not among the written"
    for key in objects.unapplied:
        assert objects.trajectories[key] is objects.unapplied[key], key


def _check_scans(calls: Mapping[CallId, Call], objects: Objects) -> None:
    expected: dict[str, list[Call]] = {}
    for call in calls.values():
        for prefix in {scan.prefix for scan in call.seen.scans}:
            expected.setdefault(prefix, []).append(call)
    for scanning in expected.values():
        scanning.sort(key=_by_position)
    assert objects.scans.entries() == expected, "the index of scans is not what the calls have scanned"


def _by_position(call: Call) -> Position:
    return call.position


def _check_premises(call: Call, trajectories: Mapping[Key, Trajectory]) -> None:
    for (key, selector), seen in call.seen.reads.items():
        trajectory = trajectories[key]
        assert call in trajectory.readers, f"{call} read {key}, and is not among its readers"
        if trajectory.base_known:
            now = selected(trajectory.filtered(call.position), selector)
            assert same(now, seen), f"{call} saw {seen!r} of {key!r}, which is {now!r} at its position"
    for scan, seen in call.seen.scans.items():
        for key, trajectory in trajectories.items():
            if trajectory.writers and scan.covers(key):
                value = trajectory.filtered(call.position)
                holds = scan_holds(scan, seen, key, value, trajectory.base)
                assert holds, f"{call} scanned {scan} otherwise than {key!r} is"
