"""What stands for the values of systems that nobody can see into: a token for each run that wrote."""

from __future__ import annotations

from coagent.protocol.calls import Call, CallId, Footprint, Observation, Position
from coagent.protocol.keys import Key, Scan
from coagent.protocol.values import UNLOADED, Value, same
from coagent.runtime.outcomes import Run
from coagent.runtime.runner import Parts


class Tokens:
    """Tells which tokens a run has found, and which it leaves.

    Args:
        parts: The domain's.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def again(self, call: Call, run: Run, footprint: Footprint) -> Observation:
        """Return a run in the place of the last one, with the tokens that it had where nothing differs."""
        seen = self.observed(run, footprint, call.position, call.id)
        before = call.seen
        unchanged = (
            run.failure is None
            and same(seen.value, before.value)
            and seen.reads == before.reads
            and seen.scans == before.scans
        )
        if call.writes and unchanged:
            return seen._replace(writes=call.writes)  # the same again: nobody above need hear of it
        return seen

    def observed(self, run: Run, footprint: Footprint, position: Position, identity: CallId) -> Observation:
        """Return the run with the tokens that stand on its keys now."""
        kernel = self._parts.kernel
        token = f"{identity}@{self._parts.recorder.log.head + 1}"
        writes: dict[Key, Value] = {}
        if run.failure is None:
            writes = dict.fromkeys(sorted(footprint.writes), token)
        scans: dict[Scan, dict[Key, Value]] = {
            scan: {
                key: value
                for key, value in kernel.known_under(scan.prefix, position)
                if scan.covers(key) and value is not None
            }
            for scan in sorted(footprint.scans, key=str)
        }
        # What lies in a range was read as well: no target can say again which token stands there, so it must
        # not be forgotten as long as somebody rests on it.
        read = footprint.reads.union(*scans.values())
        return run.observation._replace(
            reads={(key, None): self._token(key, position) for key in sorted(read)},
            scans=scans,
            writes=writes,
            bases={key: None for key in writes if not kernel.base_known(key)},
        )

    def _token(self, key: Key, position: Position) -> Value:
        token = self._parts.kernel.lookup(key, position)
        return None if token is UNLOADED else token
