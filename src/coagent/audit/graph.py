"""Circles of dependencies, and what they are called.

The names are Adya's (1999); which circle of several is shown follows Kingsbury & Alvaro 2020 ("Elle").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from coagent.audit import findings as names
from coagent.audit.actors import Agent
from coagent.audit.findings import Anomaly
from coagent.audit.history import Edge

_TRIED_MAX = 200


def cycles(edges: Sequence[Edge]) -> Iterator[list[Edge]]:
    """Yield one circle for each group of agents that all depend on each other: the plainest that it has.

    A circle of writes alone is plainer than one with reads, that plainer than one with a single rw edge, and
    that plainer than others; among equals the shortest.
    """
    for component in components(edges):
        inside = [edge for edge in edges if edge.before in component and edge.after in component]
        for kinds, starts in (
            ({"ww"}, {"ww"}),
            ({"ww", "wr"}, {"wr"}),
            ({"ww", "wr"}, {"rw"}),
            ({"ww", "wr", "rw"}, {"rw"}),
        ):
            found = _shortest(inside, kinds, starts)
            if found:
                yield found
                break


def named(cycle: Sequence[Edge]) -> Anomaly:
    """Return what a circle is called."""
    against = [edge for edge in cycle if edge.kind == "rw"]
    if not against:
        return names.CIRCULAR_FLOW if any(edge.kind == "wr" for edge in cycle) else names.DIRTY_WRITE
    if any(edge.phantom for edge in against):
        return names.PHANTOM
    if len(against) > 1:
        return names.WRITE_SKEW
    if len({edge.key for edge in cycle}) == 1 and len(cycle) == 2:
        return names.LOST_UPDATE if any(edge.kind == "ww" for edge in cycle) else names.INTERMEDIATE_READ
    return names.READ_SKEW


def components(edges: Iterable[Edge]) -> list[set[Agent]]:
    """Return the groups of more than one agent in which everybody depends on everybody (Tarjan 1972)."""
    after: dict[Agent, list[Agent]] = {}
    for edge in edges:
        after.setdefault(edge.before, []).append(edge.after)
        after.setdefault(edge.after, [])
    index: dict[Agent, int] = {}
    low: dict[Agent, int] = {}
    stack: list[Agent] = []
    on_stack: set[Agent] = set()
    found: list[set[Agent]] = []
    for root, others in after.items():
        if root in index:
            continue
        work = [(root, iter(others))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            agent, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(after[other])))
                    break
                if other in on_stack:
                    low[agent] = min(low[agent], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[agent])
                if low[agent] == index[agent]:
                    component: set[Agent] = set()
                    while agent not in component:
                        one = stack.pop()
                        on_stack.discard(one)
                        component.add(one)
                    if len(component) > 1:
                        found.append(component)
    return found


def _shortest(edges: Sequence[Edge], kinds: set[str], starts: set[str]) -> list[Edge]:
    """Return the shortest circle of one edge of `starts` and others of `kinds`; none where there is none."""
    best: list[Edge] = []
    allowed = _by_agent(edges, lambda edge: edge.kind in kinds)
    for edge in [candidate for candidate in edges if candidate.kind in starts][:_TRIED_MAX]:
        path = _path(allowed, edge.after, edge.before)
        if path and (not best or len(path) + 1 < len(best)):
            best = [edge, *path]
    return best


def _by_agent(edges: Iterable[Edge], wanted: Callable[[Edge], bool]) -> dict[Agent, list[Edge]]:
    found: dict[Agent, list[Edge]] = {}
    for edge in edges:
        if wanted(edge):
            found.setdefault(edge.before, []).append(edge)
    return found


def _path(after: dict[Agent, list[Edge]], start: Agent, end: Agent) -> list[Edge]:
    """Return the edges from one agent to another, as few as there can be; none where there is no way."""
    came: dict[Agent, Edge] = {}
    queue = deque([start])
    while queue and end not in came:
        for edge in after.get(queue.popleft(), ()):
            if edge.after not in came and edge.after is not start:
                came[edge.after] = edge
                queue.append(edge.after)
    path: list[Edge] = []
    at = end
    while at is not start:
        if at not in came:
            return []
        path.append(came[at])
        at = came[at].before
    return path[::-1]
