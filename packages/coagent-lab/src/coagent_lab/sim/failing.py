"""Live systems that fail: away for a while, unwilling, or unable to take something back; and who mends that.

What is refused is up to chance, so the serial run cannot know of it. The agents' programs remember which of
their calls were refused for good, and the serial run has the same calls fail.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import anyio.lowlevel

from coagent.agents.scripted import Asked, Program
from coagent.errors import CoAgentError, ConfigurationError, TargetError, TargetUnavailable, ToolFailed
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase
from coagent.protocol.values import Value
from coagent.runtime import patience, work
from coagent.runtime.domain import Domain
from coagent_lab.sim.check import Violation
from coagent_lab.sim.racing import Racer, pause
from coagent_lab.sim.remote import Remote
from coagent_lab.sim.targets import Slow
from coagent_lab.sim.world import World, scheme_of_line

MARK = "it will not have this today"
"""In the reason of whatever fails by chance."""

_MISHAPS_MAX = 12
_TURNS_MAX = 20_000


@contextmanager
def hurried(really: bool) -> Iterator[None]:
    """Have nobody wait by the clock for what is away."""
    if not really:
        yield
        return
    grace_s, wait_s = work.GRACE_S, patience._WAIT_S_MAX
    work.GRACE_S = patience._WAIT_S_MAX = 0.0
    try:
        yield
    finally:
        work.GRACE_S, patience._WAIT_S_MAX = grace_s, wait_s


class Mishaps:
    """Decides what fails; there are only so many mishaps in a run, so that it can end.

    Args:
        rng: Decides.
        likely: How likely something fails.
    """

    def __init__(self, rng: random.Random, likely: float) -> None:
        self._rng = rng
        self._likely = likely
        self.count = 0

    def strikes(self, _: str = "") -> bool:
        """Tell whether something fails now."""
        if self.count >= _MISHAPS_MAX or self._rng.random() >= self._likely:
            return False
        self.count += 1
        return True


class Flaky(Slow):
    """Memory behind a bad network, that now and then will not have a value.

    Args:
        initial: What it holds.
        schemes: What it owns.
        rng: Says how long it takes.
        mishaps: Says what it refuses, and what is answered by nobody.
    """

    instant = False

    def __init__(
        self, initial: Mapping[str, Value], schemes: Sequence[str], rng: random.Random, mishaps: Mishaps
    ) -> None:
        super().__init__(
            {key: value for key, value in initial.items() if key.partition(":")[0] in schemes}, rng
        )
        self.schemes = tuple(schemes)
        self.away = False
        self._mishaps = mishaps

    async def get(self, key: Key) -> Value:
        await self._reached()
        return await super().get(key)

    async def list(self, prefix: str) -> dict[Key, Value]:
        await self._reached()
        return await super().list(prefix)

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        await self._reached()
        if self._mishaps.strikes():
            raise TargetError(f"{key!r}: {MARK}")
        await super().put(key, value, expected=expected)
        if self._mishaps.strikes():
            raise TargetUnavailable(f"nobody has heard the answer: {MARK}")  # yet it has the value

    async def _reached(self) -> None:
        if self.away:
            await anyio.lowlevel.checkpoint()
            raise TargetUnavailable(f"the target of {', '.join(self.schemes)} is away: {MARK}")


class Patient(Racer):
    """An agent that does again later what some live system has not let it do."""

    async def _race(self) -> bool:
        try:
            did = await super()._race()
        except TargetError:
            self._see_to_it()  # what it would have undone or amended still stands
            did = True
        return await self._later() or did

    async def _do_its_work(self) -> None:
        with suppress(TargetError):
            await super()._do_its_work()

    async def _settle(self) -> bool:
        try:
            return await super()._settle()
        except TargetError:
            await self._wait_a_while()
            return False

    async def _later(self) -> bool:
        """Forget what was not let through, to do it again after a while."""
        walker = self.walker
        barred = any(_barred(made.error) and made.call_id is None for made in walker.made)
        if barred or _barred(walker.failure):
            await self._wait_a_while()
            return True
        return False

    async def _wait_a_while(self) -> None:
        self._see_to_it()
        await pause(self._rng)


def _barred(failure: BaseException | None) -> bool:
    return isinstance(failure, TargetError) and not isinstance(failure, ToolFailed)


# ---- what was refused --------------------------------------------------------------------------------------


def remembering(program: Program, refused: set[int], marks: Sequence[str] = (MARK,)) -> Program:
    """Return the program, that notes which of its calls were refused in its last pass.

    Args:
        program: The program.
        refused: Takes their numbers.
        marks: What stands in the reason of what was refused.
    """

    def run() -> Generator[Asked, Any, Any]:
        refused.clear()
        number, running = 0, program()
        try:
            asked = next(running)
            while True:
                try:
                    value = yield asked
                except CoAgentError as failure:
                    if any(mark in str(failure) for mark in marks):
                        refused.add(number)
                    number += 1
                    asked = running.throw(failure)
                else:
                    number += 1
                    asked = running.send(value)
        except StopIteration:
            return

    return run


def repeating(program: Program, refused: set[int], unheard: Collection[int] = ()) -> Program:
    """Return the program, of which the same calls fail, and of others no more is heard than that they ran."""

    def run() -> Generator[Asked, Any, Any]:
        number, running = 0, program()
        try:
            asked = next(running)
            while True:
                number += 1
                if number - 1 in refused:
                    asked = running.throw(ToolFailed(MARK))
                    continue
                try:
                    value = yield asked
                except ToolFailed as failure:
                    asked = running.throw(failure)
                else:
                    asked = running.send(None if number - 1 in unheard else value)
        except StopIteration:
            return

    return run


# ---- the weather, and a person -----------------------------------------------------------------------------


class Surroundings:
    """What goes on around the agents: a target goes and comes back, and a person sees to what is stuck.

    Args:
        domain: Where they work.
        world: What they do.
        targets: The live systems; the first one goes away.
        rng: Says when.
    """

    def __init__(self, domain: Domain, world: World, targets: Sequence[Slow], rng: random.Random) -> None:
        self._domain = domain
        self._world = world
        self._targets = targets
        self._rng = rng
        self.resolved = 0

    async def change_the_weather(self) -> None:
        """Have the first target be away, until everybody who has nothing to do with it is done."""
        gone = self._targets[0]
        assert isinstance(gone, Flaky), "these targets can be away"
        await pause(self._rng)
        gone.away = True
        try:
            if all(len(set(map(scheme_of_line, lines))) == 1 for lines in self._world.programs.values()):
                await self._see_others_end(gone.schemes)
            else:
                await pause(self._rng)
        finally:
            gone.away = False

    async def _see_others_end(self, schemes: Sequence[str]) -> None:
        free = self._free_of(schemes)
        turns = events = 0
        while waiting := [
            agent.name for agent in self._domain.agents if agent.name in free and self._waits(agent)
        ]:
            turns += 1
            if self._domain.events > events:
                turns, events = 0, self._domain.events
            if turns > _TURNS_MAX:
                raise Violation(f"{waiting} wait, though nothing but {', '.join(schemes)} is away")
            await anyio.lowlevel.checkpoint()

    def _waits(self, agent: Participant) -> bool:
        """Tell whether an agent has more to do.

        With "early", others may have to commit before it; and nobody at work passes one that has done what
        cannot be taken back.
        """
        if agent.ended or self._domain.order == "fixed":
            return not agent.ended
        below = [one for one in self._domain.agents if not one.ended and one.order < agent.order]
        acted = any(call.has_happened for one in below for call in one.calls.values())
        return agent.phase is AgentPhase.ACTIVE and not acted

    def _free_of(self, schemes: Sequence[str]) -> set[str]:
        """Return the agents that wait for nobody who has to do with a system."""
        free: set[str] = set()
        for name, lines in self._world.programs.items():
            if any(scheme_of_line(line) in schemes for line in lines):
                if self._domain.order == "fixed":
                    break
                continue
            free.add(name)
        return free

    async def help(self) -> None:
        """Decide about what is stuck, as long as anybody is at work or a target has yet to take something."""
        kernel = self._domain.kernel
        while not all(agent.ended for agent in self._domain.agents) or kernel.stuck or kernel.has_effects:
            await pause(self._rng)
            await anyio.lowlevel.checkpoint()
            for key in sorted(self._domain.kernel.stuck):
                with suppress(ConfigurationError, TargetUnavailable):
                    await self._domain.resolve(key, "retry")
                    self.resolved += 1


def keep_apart(world: World, rng: random.Random) -> None:
    """Have each agent keep to one system."""
    for name, lines in world.programs.items():
        scheme = scheme_of_line(rng.choice(lines))
        world.programs[name] = [line for line in lines if scheme_of_line(line) == scheme]


def unwilling(system: Remote, mishaps: Mishaps, domain: Domain) -> None:
    """Have a system behind declared tools fail now and then.

    What an agent had staged runs when it has done all the rest, some of which is reversed for that and runs
    again. Were that refused, the agent might give up what it has sent already; no serial run does that.
    """

    def fails(phase: str) -> bool:
        return not (phase == "exec" and _has_sent(domain)) and mishaps.strikes(phase)

    system.failing = fails
    system.reason = MARK


def _has_sent(domain: Domain) -> bool:
    """Tell whether what an agent at work had staged has run."""
    calls = [call for agent in domain.agents if not agent.ended for call in agent.calls.values()]
    return any(call.has_happened and domain.tools[call.tool].gate == "stage" for call in calls)
