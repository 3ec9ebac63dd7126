"""Early commits (rule 10): who passes whom, and that it comes to an end."""

from __future__ import annotations

from coagent.protocol.calls import Observation, Rank
from coagent.protocol.events import CallObserved, Committed, Finished, Joined, Promoted
from coagent.protocol.mtpo import Mtpo


def test_two_who_may_pass_at_once_do_not_pass_each_other_for_ever() -> None:
    kernel = Mtpo(early=True)
    for rank, name in enumerate(("idle", "first", "second")):
        kernel.step(Joined(name, Rank(rank)))
        seen = Observation({(f"kv:{name}", None): 1}, {}, {}, {}, 1)
        kernel.step(CallObserved(Rank(rank), "read", {}, seen))
    kernel.step(Finished(Rank(1)))
    kernel.step(Finished(Rank(2)))
    done: list[tuple[str, int]] = []
    while (ready := kernel.ready()).promote is not None or ready.commit is not None:
        assert len(done) < 10, f"no end: {done}"
        if ready.promote is not None:
            done.append(("promoted", ready.promote[0]))
            kernel.step(Promoted(*ready.promote))
        elif ready.commit is not None:
            done.append(("committed", ready.commit))
            kernel.step(Committed(ready.commit))
    assert done == [("promoted", 1), ("committed", 1), ("promoted", 2), ("committed", 2)]
