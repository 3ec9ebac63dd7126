"""Where agents stand in the order: as they join, and as they pass those below them."""

from __future__ import annotations

from coagent.audit.actors import Agent, Call
from coagent.audit.objects import Thing
from coagent.audit.state import State


def order_for(state: State, rank: int, after: int | None) -> int:
    """Return where an agent comes to stand that joins, having made room for it."""
    if state.by_arrival:
        return 0
    agents = state.agents.values()
    if after is not None:
        return _room_at(state, state.agents[after].order + 1)
    above = min((other.order for other in agents if other.rank > rank), default=None)
    below = [other.order for other in agents if above is None or other.order < above]
    wanted = max(rank, max(below, default=rank - 1) + 1)
    if above is None or wanted < above:
        return wanted
    lowest = max(below, default=rank - 1) + 1
    return above - 1 if lowest < above else _room_at(state, above)


def _room_at(state: State, order: int) -> int:
    taken = {agent.order: agent for agent in state.agents.values()}
    end = order
    while end in taken:
        end += 1
    moved = [taken[at] for at in range(order, end)]
    for call in state.left.values():
        if order <= call.agent.order < end and call.agent not in moved:
            moved.append(call.agent)
    for agent in moved:
        agent.order += 1
    return order


def unpassable(state: State, agent: Agent, order: int) -> str | None:
    """Say why an agent may not pass those below it; None where it may."""
    below = [other for other in state.agents.values() if other.order < agent.order]
    if not state.early:
        return "the order is fixed"
    if agent.pinned or any(other.pinned for other in below):
        return "a rank that was asked for is neither passed nor passes"
    if not below or order != min(other.order for other in below) - 1:
        return f"its order is to be {order}"
    if agent.pending or agent.disturbed:
        return "it has something to read"
    for call in agent.calls.values():
        if call.touching is not None:
            return f"{call.id} is under way"
        other = _in_the_way(state, call, below)
        if other is not None:
            return f"{call.id} touches what {other.name!r} below has touched"
    return None


def _in_the_way(state: State, call: Call, below: list[Agent]) -> Agent | None:
    ranks = {other.rank: other for other in below}
    things = state.things
    for key in call.writes:
        thing = things.all[key]
        for rank in [*thing.readers, *_writers(thing)]:
            if rank in ranks:
                return ranks[rank]
        for other in below:
            for scanning in other.scanning.values():
                if any(scan.covers(key) for scan, _ in scanning.seen.scans):
                    return other
    read = [things.all[key] for key, _, _ in call.seen.reads if key in things.all]
    for scan, _ in call.seen.scans:
        read += [thing for thing in things.written_in(scan.prefix) if scan.covers(thing.key)]
    return next((ranks[rank] for thing in read for rank in _writers(thing) if rank in ranks), None)


def _writers(thing: Thing) -> set[int]:
    return {write.call.agent.rank for write in thing.writes}
