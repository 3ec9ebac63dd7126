"""The objects that active agents have touched: their trajectories, and what has to reach the targets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from coagent.protocol.calls import Call, Observation, Position
from coagent.protocol.decisions import Effect, LiveChange
from coagent.protocol.key_index import KeyIndex
from coagent.protocol.keys import Key
from coagent.protocol.premises import ScanIndex, scan_holds
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.values import UNLOADED, Value, same, selected


class Objects:
    """Trajectories by key, with the indexes that keep every look-up independent of the history behind it.

    Invariants:
        1. An object is tracked just as long as an active agent has touched it, or its target lags behind.
        2. `written` holds the tracked objects whose filtered and target values may differ.
        3. A stuck object is one that its target does not hold as it should.
    """

    __slots__ = (
        "forgotten", "half_reversed", "live_changes", "scans", "stuck", "trajectories", "unapplied",
        "versions", "written",
    )  # fmt: skip

    def __init__(self) -> None:
        self.trajectories: dict[Key, Trajectory] = {}
        self.written = KeyIndex()
        self.scans = ScanIndex()
        self.unapplied: dict[Key, Trajectory] = {}
        self.stuck: dict[Key, str] = {}
        """What a person has to decide about, and why; declared calls too stand here by what they wrote."""
        self.half_reversed: set[Key] = set()
        """Those of them of which nobody knows whether a call was taken back.

        That another value is to be there by now, since others' calls have changed, says nothing of what is.
        """
        self.versions = 0
        self.live_changes: list[LiveChange] = []
        self.forgotten = 0
        """How often a written object has ceased to be one, or to be tracked."""

    def track(self, key: Key) -> Trajectory:
        """Return the trajectory of an object, tracking it from now on."""
        trajectory = self.trajectories.get(key)
        if trajectory is None:
            trajectory = self.trajectories[key] = Trajectory(key)
        return trajectory

    def maybe_forget(self, trajectory: Trajectory) -> None:
        """Stop tracking an object that no active agent has touched and whose target is up to date."""
        if trajectory.writers or trajectory.key in self.unapplied:
            return
        if trajectory.ever_written and self.written.discard(trajectory.key):
            self.forgotten += 1  # a scan under way may have found it in its target while it was written
        if trajectory.readers:
            return
        if self.trajectories.pop(trajectory.key, None) is not None and trajectory.ever_written:
            self.forgotten += 1

    def lookup(self, key: Key, position: Position) -> Value:
        """Return the filtered value, or `UNLOADED` where it is not known here."""
        trajectory = self.trajectories.get(key)
        if trajectory is None or not trajectory.base_known:
            return UNLOADED
        return trajectory.filtered(position)

    def base_known(self, key: Key) -> bool:
        """Tell whether the value below all writes of the object is known."""
        trajectory = self.trajectories.get(key)
        return trajectory is not None and trajectory.base_known

    def follow(self, moved: Callable[[int], int]) -> None:
        """Follow agents that have moved to other orders, and have passed nobody."""
        for trajectory in self.trajectories.values():
            trajectory.follow(moved)
        for prefix in self.scans.entries():
            self.scans.reorder(prefix)

    def written_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        """Yield the written objects under a prefix with their filtered values."""
        for key in self.written.under(prefix):
            yield key, self.trajectories[key].filtered(position)

    def writers_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Position | None]]:
        """Yield the written objects under a prefix with where their filtered values were written."""
        for key in self.written.under(prefix):
            yield key, self.trajectories[key].writer_before(position)

    def known_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        """Yield the objects under a prefix whose values are known, written or read, with filtered values."""
        for key, trajectory in self.trajectories.items():
            if trajectory.base_known and key.startswith(prefix):
                yield key, trajectory.filtered(position)

    def holds(self, observation: Observation, position: Position) -> bool:
        """Tell whether all that a run at `position` saw is what it would see now."""
        for (key, selector), seen in observation.reads.items():
            trajectory = self.trajectories.get(key)
            if trajectory is not None and trajectory.base_known:
                now = selected(trajectory.filtered(position), selector)
                if now is not seen and not same(now, seen):
                    return False
        return self.scans_hold(observation, position) and all(
            key in observation.bases or self.base_known(key) for key in observation.writes
        )

    def scans_hold(self, observation: Observation, position: Position) -> bool:
        """Tell whether the scans of a run at `position` are what they would be now."""
        return self.changed_under_scans(observation, position) is None

    def changed_under_scans(self, observation: Observation, position: Position) -> Trajectory | None:
        """Return the first object that the scans of a run at `position` would see otherwise now."""
        for scan, seen in observation.scans.items():
            for key, value in self.written_under(scan.prefix, position):
                trajectory = self.trajectories[key]
                if scan.covers(key) and not scan_holds(scan, seen, key, value, trajectory.base):
                    return trajectory
        return None

    # ---- live values ---------------------------------------------------------------------------------------

    def refresh_live(self, trajectory: Trajectory) -> None:
        """Note the live value of an object, if it is another one now, as something for its target."""
        live, position = trajectory.live(), trajectory.live_position
        if same(live, trajectory.accepted[-1]):
            trajectory.accepted_at[-1] = position
            return
        self._note_live(trajectory, live, position)

    def _note_live(self, trajectory: Trajectory, live: Value, position: Position) -> None:
        self.versions += 1
        trajectory.version = self.versions
        self.live_changes.append(LiveChange(trajectory.key, live, tuple(trajectory.accepted)))
        trajectory.accepted.append(live)
        trajectory.accepted_at.append(position)
        key = trajectory.key
        self.unapplied[key] = trajectory
        if self.stuck and key not in self.half_reversed:
            self.stuck.pop(key, None)  # another value may do
        trajectory.ever_written = True  # be it by a call that was heard of after its agent had been aborted
        self.written.add(key)

    def effects(self, blocked: Collection[Key]) -> tuple[Effect, ...]:
        """Return what the targets need, but for blocked and stuck objects, in order of key."""
        found = []
        for key in sorted(self.unapplied) if len(self.unapplied) > 1 else self.unapplied:
            if key not in blocked and key not in self.stuck:
                trajectory = self.unapplied[key]
                accepted = trajectory.accepted
                found.append(Effect(key, accepted[-1], tuple(accepted), trajectory.version))
        return tuple(found)

    def applied(self, key: Key, version: int) -> Trajectory | None:
        """Note that the target holds a version; None where that version is not the latest."""
        trajectory = self.unapplied.get(key)
        if trajectory is None or trajectory.version != version:
            return None
        del self.unapplied[key]
        if self.stuck and key not in self.half_reversed:
            self.stuck.pop(key, None)  # it has taken it after all, from another process
        trajectory.accepted, trajectory.accepted_at = [trajectory.accepted[-1]], [trajectory.accepted_at[-1]]
        if trajectory.writers:
            writer = trajectory.writers[-1]
            if type(writer) is Call and key not in writer.accepted:
                writer.accepted |= {key}
        else:
            self.maybe_forget(trajectory)
        return trajectory

    def outstanding(self, key: Key, version: int) -> Trajectory | None:
        """Return the trajectory whose latest version that is, if its target has yet to take it."""
        trajectory = self.unapplied.get(key)
        return trajectory if trajectory is not None and trajectory.version == version else None

    def take_outside(self, trajectory: Trajectory, found: Value, at: Position) -> None:
        """Note that the target holds a value that no call wrote, and see to it that it gets the live one.

        Args:
            trajectory: Of the object, into which the outsider's change has been entered.
            found: What the target holds.
            at: Where the outsider's change has been entered.
        """
        trajectory.ever_written = True
        self.stuck.pop(trajectory.key, None)
        live, position = trajectory.live(), trajectory.live_position
        if same(live, found):
            self.versions += 1  # a version that was on its way is not the latest any more
            trajectory.version = self.versions
            self.live_changes.append(LiveChange(trajectory.key, live, tuple(trajectory.accepted)))
            trajectory.accepted, trajectory.accepted_at = [live], [position]
            self.unapplied.pop(trajectory.key, None)
        else:
            trajectory.accepted.append(found)
            trajectory.accepted_at.append(at)
            self._note_live(trajectory, live, position)
