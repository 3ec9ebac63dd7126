"""One simulated run: a world, a schedule and the verdict, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from coagent.agents.scripted import AgentReport, ScriptedAgent, run_agents
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.values import Value
from coagent.runtime.clock import VirtualClock
from coagent.runtime.domain import PROTOCOLS, Domain, open_domain
from coagent.sim.check import Violation, check_notices, check_outcome, check_replay
from coagent.sim.dump import dump
from coagent.sim.oracle import SerialRun, run_serially
from coagent.sim.processes import Process
from coagent.sim.stepper import Stepper
from coagent.sim.targets import Crowded, Slow, Systems
from coagent.sim.tools import TOOLS, outbox, pauses
from coagent.sim.world import Dialect, World, fresh_value, make_world

STEPS_MAX = 4000

Mode: TypeAlias = Literal["stepped", "concurrent"]


@dataclass(frozen=True)
class Options:
    """How a world is run; all but the first three follow from the seed.

    Args:
        dialect: Which kind of target holds the state.
        log: "memory", or the directory for SQLite logs.
        protocol: The protocol.
        mode: "stepped": a schedule says who moves next; "concurrent": tasks of their own, over a target that
            takes its time.
        joining: "first": all join in rank order before anybody moves; "pinned": in another order, with pinned
            ranks; "late": each with its first move.
        patience: How long one agent tends to stay on the move (1: no longer than by chance).
        eager: Whether higher ranks tend to move first, so that nearly every call of a lower one comes late.
        fumbling: How likely a step is a needless one of the agent's own.
        aborting: How likely a step ends the agent from outside.
        moving: How likely it is, with a shared log, that an agent goes on in the other process.
        crashing: How likely a process is replaced by a new one that reads the log.
        watched: Whether invariants and the replay are checked after every event.
    """

    dialect: Dialect = "memory"
    log: str = "memory"
    protocol: str = "mtpo"
    order: Literal["fixed", "early"] = "fixed"
    mode: Mode = "stepped"
    joining: Literal["first", "pinned", "late"] = "first"
    patience: int = 1
    eager: bool = False
    fumbling: float = 0.0
    aborting: float = 0.0
    moving: float = 0.0
    crashing: float = 0.0
    watched: bool = False


@dataclass
class Verdict:
    """How a run went.

    Args:
        violation: What was wrong; None where nothing was.
        events: How many events were logged.
    """

    seed: int
    options: Options
    world: World
    reports: list[AgentReport]
    events: int = 0
    violation: str | None = None

    @property
    def notifications(self) -> int:
        """How many notices there were."""
        return sum(report.tally.notifications for report in self.reports)


def options_of(
    seed: int, dialect: Dialect = "memory", log: str = "memory", protocol: str = "mtpo"
) -> Options:
    """Draw the options of a seed."""
    rng = random.Random(f"options {seed}")
    options = Options(
        dialect,
        log,
        protocol,
        joining=rng.choice(("first", "first", "pinned", "late")),
        patience=rng.choice((1, 1, 1, 3, 8)),
        eager=rng.random() < 0.25,
        fumbling=rng.choice((0.0, 0.0, 0.1, 0.3)),
        aborting=rng.choice((0.0, 0.0, 0.0, 0.02)),
        moving=rng.choice((0.0, 0.1, 0.5)),
        crashing=rng.choice((0.0, 0.0, 0.05)),
        watched=rng.random() < 0.15,
    )
    if protocol == "mtpo" and log == "memory" and dialect == "memory" and rng.random() < 0.25:
        options = replace(options, mode="concurrent", joining="first")
    if protocol != "mtpo":
        options = replace(options, fumbling=0.0, aborting=0.0, watched=False)
    return options


def run_seed(
    seed: int,
    dialect: Dialect = "memory",
    log: str = "memory",
    protocol: str = "mtpo",
    systems: Systems | None = None,
    *,
    watched: bool | None = None,
) -> Verdict:
    """Run one seed and judge it.

    Args:
        seed: Everything follows from it, the world, the options and the schedule.
        dialect: Which kind of target holds the state.
        log: "memory", or a directory for SQLite logs.
        protocol: The protocol.
        systems: Where targets other than memory come from; made and closed here where it is None.
        watched: Whether to check invariants and replay after every event; by default the seed decides.

    Returns:
        The verdict; it never raises for what the run did.
    """
    options = options_of(seed, dialect, log, protocol)
    if watched is not None:
        options = replace(options, watched=watched)
    world = make_world(seed, dialect)
    with _given(systems, dialect) as given:
        return anyio.run(_Simulation(seed, options, world, given).verdict)


@contextmanager
def _given(systems: Systems | None, dialect: Dialect) -> Iterator[Systems]:
    if systems is not None:
        yield systems
    else:
        with Systems(dialect) as made:
            yield made


class _Simulation:
    def __init__(self, seed: int, options: Options, world: World, systems: Systems) -> None:
        self.options = options
        self.world = world
        self.systems = systems
        self.rng = random.Random(f"schedule {seed}")
        self.verdict_ = Verdict(seed, options, world, [])
        self.effects: list[tuple[str, str, Any]] = []
        self.absent: set[str] = set()
        self.steps = 0
        self.events: list[Event] = []
        self.dumps: list[str] = []

    async def verdict(self) -> Verdict:
        outbox.set(self.effects)
        try:
            if self.options.mode == "concurrent":
                await self._run_concurrently()
            else:
                await self._run_stepwise()
        except (Exception, BaseExceptionGroup) as failure:
            self.verdict_.violation = _described(failure)
        return self.verdict_

    def agents(self) -> list[ScriptedAgent]:
        return [ScriptedAgent(name, self.world.program(name)) for name in self.world.programs]

    # ---- concurrent tasks ----------------------------------------------------------------------------------

    async def _run_concurrently(self) -> None:
        slow = Slow(self.world.initial, self.rng)
        turns = self.rng.choice((1, 3, 10))
        pauses.set(lambda: self.rng.randint(0, turns))
        agents = [
            replace(agent, think_s=self.rng.choice((0, 3, 20)), start_s=self.rng.choice((0, 0, 30)))
            for agent in self.agents()
        ]
        clock = VirtualClock() if self.rng.random() < 0.2 else Crowded(self.rng)
        async with open_domain("memory:", targets=[slow], tools=TOOLS, clock=clock) as domain:
            self._watch(domain)
            report = await run_agents(domain, agents)
            self.verdict_.reports = report.agents
            pauses.set(lambda: 0)
            self._judge(domain, slow.snapshot(), self._serial([agent.name for agent in agents]))

    # ---- a schedule ----------------------------------------------------------------------------------------

    async def _run_stepwise(self) -> None:
        options = self.options
        self.world.initial = await self.systems.reset(self.world.initial)
        url = "memory:"
        if options.log != "memory":
            path = Path(options.log) / f"{self.verdict_.seed}.sqlite"
            for stale in path.parent.glob(f"{path.name}*"):
                stale.unlink()
            url = f"sqlite:{path}"
        processes = [Process(lambda: self._domain(url)) for _ in range(2 if options.log != "memory" else 1)]
        async with anyio.create_task_group() as tasks:
            for process in processes:
                await process.start(tasks)
                self._watch(process.domain)
            try:
                await self._step_through(processes, tasks)
            finally:
                with anyio.CancelScope(shield=True):
                    for process in processes:
                        await process.end()

    async def _step_through(self, processes: list[Process], tasks: TaskGroup) -> None:
        options, shared = self.options, len(processes) > 1
        steppers = [Stepper(self.rng.choice(processes).domain, agent) for agent in self.agents()]
        await self._join(steppers)
        last: Stepper | None = None
        while any(not stepper.ended for stepper in steppers):
            if shared:
                if self.rng.random() < options.crashing:
                    await self._crash(processes, steppers, tasks)
                for process in processes:
                    await process.domain.catch_up()
            if not any(stepper.may_step() for stepper in steppers):
                await self._wait(processes)
                if all(stepper.ended for stepper in steppers):
                    break
            last = self._next(steppers, last)
            if shared and self.rng.random() < options.moving:
                if last.joined and not last.ended:
                    await last.run.session.flush()
                last.move_to(self.rng.choice(processes).domain)
            if last.may_step():
                await self._move(last, steppers)
        await self._wait(processes)
        for stepper in steppers:
            if stepper.run.report.state == "active":
                stepper.run.ended("committed")  # while it was waiting
        by_rank = sorted((one.run.report for one in steppers), key=lambda report: report.rank)
        self.verdict_.reports = by_rank
        domain = processes[0].domain
        live = await self.systems.snapshot(domain)
        self._judge(domain, live, self._serial([report.name for report in by_rank]))

    def _domain(self, url: str) -> Domain:
        target = self.systems.target(self.world.initial)
        return open_domain(
            url, targets=[target], tools=TOOLS, protocol=self.options.protocol, order=self.options.order
        )

    async def _wait(self, processes: list[Process]) -> None:
        """Do what processes do whose agents all wait: look at the log, and at what is left to be done."""
        for _ in range(2):
            for process in processes:
                await process.domain.settle()

    async def _join(self, steppers: list[Stepper]) -> None:
        if self.options.joining == "first":
            for stepper in steppers:
                await stepper.join()
        elif self.options.joining == "pinned":
            ranks = list(enumerate(steppers))
            self.rng.shuffle(ranks)
            for rank, stepper in ranks:
                await stepper.join(3 * rank)

    def _next(self, steppers: list[Stepper], last: Stepper | None) -> Stepper:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Violation(f"no quiescence after {STEPS_MAX} steps")
        movable = [stepper for stepper in steppers if stepper.may_step()]
        if not movable:
            stuck = [stepper.agent.name for stepper in steppers if not stepper.ended]
            raise Violation(f"{stuck} wait for each other")
        if last in movable and self.rng.randrange(self.options.patience) > 0:
            return last
        if self.options.eager and self.rng.random() < 0.8:
            return movable[-1]
        return self.rng.choice(movable)

    async def _move(self, stepper: Stepper, steppers: list[Stepper]) -> None:
        options, chance = self.options, self.rng.random()
        # A calm phase at the end must lead to quiescence, so mishaps end after a while.
        calm = self.steps > 150
        if stepper.joined and not calm and chance < options.aborting:
            self.absent.add(stepper.agent.name)
            await stepper.abort()
        elif stepper.joined and not calm and chance < options.aborting + options.fumbling:
            await stepper.fumble(self.rng, lambda: fresh_value(self.world, self.rng))
        else:
            await stepper.step()

    async def _crash(self, processes: list[Process], steppers: list[Stepper], tasks: TaskGroup) -> None:
        """Replace a process: what it had not logged is lost, and its agents go on elsewhere."""
        process = self.rng.choice(processes)
        dead = process.domain
        for stepper in steppers:
            if stepper.domain is dead and stepper.joined and not stepper.ended:
                await (
                    stepper.run.session.flush()
                )  # what its agents were told, they would tell a later process
        await process.kill()
        await process.start(tasks)
        for stepper in steppers:
            if stepper.domain is dead:
                stepper.move_to(process.domain)

    # ---- judging -------------------------------------------------------------------------------------------

    def _watch(self, domain: Domain) -> None:
        if not self.options.watched:
            return
        kernel = domain.kernel
        assert isinstance(kernel, Mtpo)

        def look(event: Event) -> None:
            kernel.check_invariants()
            self.events.append(event)
            self.dumps.append(dump(kernel))

        domain.observe(look)

    def _serial(self, order: list[str]) -> SerialRun:
        programs = [(name, self.world.program(name)) for name in order]
        return run_serially(self.world.initial, programs, TOOLS, self.absent)

    def _judge(self, domain: Domain, live: dict[str, Value], serial: SerialRun) -> None:
        reports = self.verdict_.reports
        kernel = domain.kernel
        kernel.check_invariants()
        if isinstance(kernel, Mtpo) and kernel._objects.trajectories:
            raise Violation(f"still tracked at the end: {sorted(kernel._objects.trajectories)}")
        if not domain.quiescent:
            raise Violation("all agents have ended, but the domain is not quiescent")
        check_outcome(live, self.effects, reports, serial, self.absent)
        self.verdict_.events = domain.events
        if self.options.protocol == "mtpo":
            check_notices(reports)
        if self.options.watched and self.options.log == "memory":
            again = PROTOCOLS[self.options.protocol](early=self.options.order == "early")
            check_replay(self.events, self.dumps, again)


def _described(failure: BaseException) -> str:
    if isinstance(failure, BaseExceptionGroup):
        return "; ".join(_described(one) for one in failure.exceptions)
    if isinstance(failure, Violation):
        return str(failure)
    trace = failure.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
    return f"{type(failure).__name__}: {failure}{where}"
