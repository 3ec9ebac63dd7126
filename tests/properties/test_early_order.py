"""Early commits (rule 10): who passes whom, and that it comes to an end."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import anyio

from coagent.agents.scripted import Program
from coagent.protocol.calls import Observation, Rank
from coagent.protocol.events import CallObserved, Committed, Finished, Joined, Promoted
from coagent.protocol.mtpo import Mtpo
from coagent_lab.sim.interleavings import Interleaving, interleavings


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


def writes(*keys: str) -> Program:
    """Return a program that changes some objects, one after another."""

    def program() -> Generator[tuple[str, Mapping[str, Any]], Any, None]:
        for key in keys:
            yield "add", {"key": key, "field": "n", "amount": 1}

    return program


def all_ends(programs: list[Program], *pinned: str) -> list[Interleaving]:
    """Return how every interleaving of those programs ends; the agents are A0, A1 and so on."""
    named = {f"A{number}": program for number, program in enumerate(programs)}

    async def collect() -> list[Interleaving]:
        ways = interleavings({}, named, order="early", pinned=pinned)
        return [one async for one in ways]

    found = anyio.run(collect)
    assert not [one.violation for one in found if one.violation is not None]
    return found


def test_agents_with_nothing_in_common_end_in_any_order() -> None:
    found = all_ends([writes("kv:x"), writes("kv:y"), writes("kv:z")])
    assert len({one.ended for one in found}) == 6


def test_agents_that_touch_the_same_end_in_the_order_of_their_ranks_or_of_their_first_touch() -> None:
    found = all_ends([writes("kv:x", "kv:y"), writes("kv:y", "kv:z"), writes("kv:w")])
    assert {one.ended for one in found if one.ended.index("A0") < one.ended.index("A1")}
    passed = [one for one in found if one.ended.index("A1") < one.ended.index("A0")]
    for one in passed:
        before = one.schedule.index("A0", one.schedule.index("A0") + 1) if "A0" in one.schedule else 0
        assert one.schedule[:before].count("A1") == 2, (
            "it had ended before the first one came to what it wrote"
        )


def test_a_pinned_agent_is_never_passed_and_passes_nobody() -> None:
    for pinned in (("A0",), ("A1",), ("A2",)):
        for one in all_ends([writes("kv:x"), writes("kv:y"), writes("kv:z")], *pinned):
            at = one.ended.index(pinned[0])
            rank = int(pinned[0][1])
            assert set(one.ended[:at]) == {f"A{number}" for number in range(rank)}, one.schedule


def test_an_idle_agent_at_the_bottom_holds_up_nobody_that_has_nothing_to_do_with_it() -> None:
    found = all_ends([writes("kv:x"), writes("kv:y", "kv:z"), writes("kv:z")])
    idle = [one for one in found if one.schedule[-1] == "A0" and one.schedule[:-1].count("A0") == 0]
    assert idle
    assert all(one.ended[-1] == "A0" for one in idle)
