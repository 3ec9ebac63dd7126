"""Breadth first through every situation that can be reached, none left out."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MethodType
from typing import Final, NamedTuple

from befalling import MISHAPS, Action, Case
from checkpoints import restored
from judgement import Before, check_end, check_illegal, check_situation
from situations import Situation

from coagent.protocol.checkpoint import KernelState, state_of
from coagent.protocol.mtpo import Mtpo


class Violation(NamedTuple):
    """What went wrong, and the shortest way there."""

    case: str
    trace: tuple[Action, ...]
    what: str


@dataclass
class Explored:
    """What was found in a case.

    Args:
        states: How many different situations there are.
        transitions: How many actions were tried in them.
        depth: The length of the longest shortest way.
        ends: How many situations are quiescent.
        overtaken: How many of the ends no serial run has to have, for what somebody outside has done.
        complete: Whether nothing was left out.
    """

    case: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    ends: int = 0
    overtaken: int = 0
    complete: bool = False
    violation: Violation | None = None
    parents: array[int] = field(default_factory=lambda: array("l"))
    actions: list[Action] = field(default_factory=list)

    def trace(self, state: int) -> tuple[Action, ...]:
        """Return the shortest way to a state."""
        found: list[Action] = []
        while state:
            found.append(self.actions[state])
            state = self.parents[state]
        return tuple(reversed(found))

    def forget(self) -> None:
        """Let go of how each state was reached."""
        self.parents, self.actions = array("l"), []


# ---- when two situations are the same ----------------------------------------------------------------------


def identity(now: Situation) -> bytes:
    """Return what is equal for situations that differ in nothing that matters from here on.

    It is the canonical checkpoint of the kernel and all that is beside it. Versions are numbered by their
    order alone, and how often something was forgotten does not count: both only ever grow.
    """
    beside = (
        sorted(now.world.live.items()),
        [(one.rank, one.end, one.made, one.look) for one in now.players.values()],
        now.places,
        sorted(now.base.items()),
        now.committed,
        now.sent,
        sorted(now.unseen),
        sorted(now.unsure),
        sorted(now.dead),
        sorted(now.left.items()),
        sorted(now.kept.items()),
        (now.aborts, now.refusals, now.crashes, sorted(now.outside), now.overtaken),
    )
    state = state_of(now.kernel)
    versions = {one.version for one in state.objects} | {put.version for put in now.puts.values()}
    numbers = {version: number for number, version in enumerate(sorted({0, *versions}))}
    puts = [(key, numbers[put.version], *put[1:]) for key, put in sorted(now.puts.items())]
    return blake2b(f"{_canonical(state, numbers)}{beside}{puts}".encode(), digest_size=16).digest()


def _canonical(state: KernelState, numbers: dict[int, int]) -> KernelState:
    """Return the state with what has no order sorted, and versions by their order."""
    ended = {agent.rank for agent in state.agents if agent.phase in ("committed", "aborted")}
    agents = [
        agent._replace(order=0, next_sequence=0) if agent.rank in ended else agent for agent in state.agents
    ]
    return state._replace(
        versions=0,
        forgotten=0,
        agents=tuple(sorted(agents, key=lambda agent: agent.rank)),
        ended=tuple(sorted(state.ended)),
        calls=tuple(
            call._replace(told=None) if call.told == call.seen else call  # equal, or the very same: all one
            for call in sorted(state.calls, key=lambda call: call.id)
        ),
        objects=tuple(
            one._replace(version=numbers[one.version])
            for one in sorted(state.objects, key=lambda one: one.key)
        ),
        written=tuple(sorted(state.written)),
        unapplied=tuple(sorted(state.unapplied)),
    )


def keep(now: Situation) -> bytes:
    """Return a situation as bytes, kernel and all; what is the same in each is left out."""
    kernel = now.kernel
    case, transitions = now.case, kernel._transitions
    now.case, kernel._transitions = None, {}  # type: ignore[assignment]
    now.world.events.clear()
    now.world.reruns.clear()
    kept = pickle.dumps(now, 5)
    now.case, kernel._transitions = case, transitions
    return kept


def recall(kept: bytes, case: Case) -> Situation:
    """Return the situation that was kept."""
    now: Situation = pickle.loads(kept)
    kernel, now.case = now.kernel, case
    kernel._transitions = {event: MethodType(method, kernel) for event, method in _TRANSITIONS.items()}
    return now


_TRANSITIONS: Final = {event: method.__func__ for event, method in Mtpo()._transitions.items()}  # type: ignore[attr-defined]


# ---- the search --------------------------------------------------------------------------------------------


def explore(
    case: Case,
    *,
    states_max: int = 10_000_000,
    twice_every: int = 1,
    on_progress: Callable[[Explored, int], None] = lambda explored, waiting: None,
) -> Explored:
    """Explore a case.

    Args:
        case: The case.
        states_max: Where to stop, incomplete.
        twice_every: In every how manieth situation illegal events are tried too, and whatever may happen
            happens also to a kernel restored from a checkpoint, which has to end like the one that was there.
        on_progress: Called at every new depth, with how many situations are at it.
    """
    return _Search(case, states_max, twice_every, on_progress).run()


class _Search:
    def __init__(
        self, case: Case, states_max: int, twice_every: int, on_progress: Callable[[Explored, int], None]
    ) -> None:
        self.case = case
        self.found = Explored(case.name)
        self._states_max = states_max
        self._twice_every = twice_every
        self._on_progress = on_progress
        self._known: dict[bytes, int] = {}
        self._sources, self._drains = array("l"), array("l")  # the steps that are nobody's mishap
        self._ends: set[int] = set()
        self._here: tuple[int, Action | None] = 0, None
        """The situation, and what is being tried in it."""

    def run(self) -> Explored:
        found = self.found
        first = Situation(self.case)
        first.begin()
        frontier = [(self._note(identity(first), 0, Action("begin")), keep(first))]
        while frontier:
            self._on_progress(found, len(frontier))
            following: list[tuple[int, bytes]] = []
            for number, kept in frontier:
                try:
                    following += self._expand(number, kept)
                except Exception as failure:
                    found.violation = self._violation(failure)
                    return found
                if found.states >= self._states_max:
                    return found
            frontier = following
            found.depth += bool(frontier)
        found.complete = True
        self._check_graph()
        return found

    def _note(self, name: bytes, parent: int, action: Action) -> int:
        found = self.found
        number = self._known[name] = found.states
        found.states += 1
        found.parents.append(parent)
        found.actions.append(action)
        return number

    def _expand(self, number: int, kept: bytes) -> Iterator[tuple[int, bytes]]:
        """Try whatever may happen in a situation; yields the new situations."""
        found = self.found
        self._here = number, None
        now = recall(kept, self.case)
        actions = now.actions()
        if now.quiescent:
            found.ends += 1
            found.overtaken += now.overtaken
            self._ends.add(number)
            check_end(now)
        twin = self._twin(now, actions) if number % self._twice_every == 0 else None
        for action in actions:
            found.transitions += 1
            self._here = number, action
            after = recall(kept, self.case)
            before = Before(after, action)
            after.perform(action)
            before.check(after)
            name = identity(after)
            known = self._known.get(name)
            new = known is None
            if known is None:
                check_situation(after)
                known = self._note(name, number, action)
            if action.kind not in MISHAPS:
                self._sources.append(number)
                self._drains.append(known)
            if twin is not None:
                again = recall(twin, self.case)
                again.perform(action)
                assert identity(again) == name, f"{action} ends otherwise with a restored kernel"
            if new:
                yield known, keep(after)

    def _twin(self, now: Situation, actions: list[Action]) -> bytes:
        """Return the situation with a restored kernel, having tried there what may not happen."""
        check_illegal(now)
        now.world.kernel = restored(now.kernel)
        again = now.actions()
        assert sorted(actions) == sorted(again), f"a restored kernel offers {again}, the other one {actions}"
        return keep(now)

    def _violation(self, failure: Exception) -> Violation:
        what = str(failure) or type(failure).__name__
        if not isinstance(failure, AssertionError):
            what = f"{type(failure).__name__}: {what}"
        number, action = self._here
        trace = self.found.trace(number)
        return Violation(self.case.name, trace if action is None else (*trace, action), what)

    # ---- the graph -----------------------------------------------------------------------------------------

    def _check_graph(self) -> None:
        """Check that every way on, whatever comes first, ends, and ends quiescent, without any more mishaps.

        What is neither an end nor on a way without return to one is left over when states are taken away
        from their ends back: it is stuck, or goes round for ever.
        """
        found = self.found
        left = array("l", bytes(8 * found.states))
        into: list[list[int]] = [[] for _ in range(found.states)]
        for source, drain in zip(self._sources, self._drains, strict=True):
            left[source] += 1
            into[drain].append(source)
        for state in range(found.states):
            if not left[state] and state not in self._ends:
                found.violation = Violation(self.case.name, found.trace(state), "nothing can go on: deadlock")
                return
        done = [state for state in range(found.states) if not left[state]]
        taken = 0
        while done:
            taken += 1
            for source in into[done.pop()]:
                left[source] -= 1
                if not left[source]:
                    done.append(source)
        if taken < found.states:
            rounds = next(state for state in range(found.states) if left[state])
            found.violation = Violation(self.case.name, found.trace(rounds), "it can go round for ever")
