"""The objects that active agents have touched: their trajectories, and what has to reach the targets."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from coagent.protocol.calls import Observation, Position
from coagent.protocol.decisions import Effect
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
    """

    __slots__ = ("forgotten", "live_changes", "scans", "trajectories", "unapplied", "versions", "written")

    def __init__(self) -> None:
        self.trajectories: dict[Key, Trajectory] = {}
        self.written = KeyIndex()
        self.scans = ScanIndex()
        self.unapplied: dict[Key, Trajectory] = {}
        self.versions = 0
        self.live_changes: list[tuple[Key, Value]] = []
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

    def written_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        """Yield the written objects under a prefix with their filtered values."""
        for key in self.written.under(prefix):
            yield key, self.trajectories[key].filtered(position)

    def holds(self, observation: Observation, position: Position) -> bool:
        """Tell whether all that a run at `position` saw is what it would see now."""
        for (key, selector), seen in observation.reads.items():
            trajectory = self.trajectories.get(key)
            if trajectory is not None and trajectory.base_known:
                now = selected(trajectory.filtered(position), selector)
                if now is not seen and not same(now, seen):
                    return False
        for scan, seen in observation.scans.items():
            for key, value in self.written_under(scan.prefix, position):
                base = self.trajectories[key].base
                if scan.covers(key) and not scan_holds(scan, seen, key, value, base):
                    return False
        return all(key in observation.bases or self.base_known(key) for key in observation.writes)

    # ---- live values ---------------------------------------------------------------------------------------

    def refresh_live(self, trajectory: Trajectory) -> None:
        """Note the live value of an object, if it is another one now, as something for its target."""
        live = trajectory.live()
        if same(live, trajectory.accepted[-1]):
            return
        self.versions += 1
        trajectory.version = self.versions
        trajectory.accepted.append(live)
        self.unapplied[trajectory.key] = trajectory
        self.written.add(trajectory.key)
        self.live_changes.append((trajectory.key, live))

    def effects(self, blocked: Collection[Key]) -> tuple[Effect, ...]:
        """Return what the targets need, but for the blocked objects, in order of key."""
        found = []
        for key in sorted(self.unapplied):
            if key not in blocked:
                trajectory = self.unapplied[key]
                accepted = trajectory.accepted
                found.append(Effect(key, accepted[-1], tuple(accepted), trajectory.version))
        return tuple(found)

    def applied(self, key: Key, version: int) -> bool:
        """Note that the target holds a version; False where that version is not the latest."""
        trajectory = self.unapplied.get(key)
        if trajectory is None or trajectory.version != version:
            return False
        del self.unapplied[key]
        trajectory.accepted = [trajectory.accepted[-1]]
        if not trajectory.writers:
            self.maybe_forget(trajectory)
        return True

    def refused(self, key: Key, version: int) -> Trajectory | None:
        """Return the trajectory of a refused version, if that is the latest and a call is to blame."""
        trajectory = self.unapplied.get(key)
        if trajectory is None or trajectory.version != version or not trajectory.writers:
            return None
        return trajectory

    def found_outside(self, trajectory: Trajectory, value: Value) -> None:
        """Take a value that no call wrote for the new base, and put the live value above it again."""
        trajectory.base = value
        trajectory.ever_written = True
        self.versions += 1
        trajectory.version = self.versions
        live = trajectory.live()
        if same(live, value):
            self.unapplied.pop(trajectory.key, None)
            trajectory.accepted = [live]
        else:
            trajectory.accepted += [value, live]
            self.unapplied[trajectory.key] = trajectory
        self.live_changes.append((trajectory.key, live))
