"""One simulation: a world under a schedule, in a domain, and the judgement of how it ends."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from coagent.agents.scripted import ScriptedAgent, run_agents
from coagent.protocol.calls import OUTSIDE
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.values import Value
from coagent.runtime.clock import VirtualClock
from coagent.runtime.domain import Domain, open_domain
from coagent.runtime.patience import LIMIT_S_DEFAULT
from coagent.runtime.protocols import PROTOCOLS
from coagent_lab.sim.check import Violation, check_notices, check_outcome, check_replay
from coagent_lab.sim.dump import dump
from coagent_lab.sim.failing import (
    Flaky,
    Mishaps,
    Patient,
    Surroundings,
    hurried,
    remembering,
    repeating,
    unwilling,
)
from coagent_lab.sim.ledger import Ledger
from coagent_lab.sim.oracle import AnyTool, SerialRun, run_history, run_serially
from coagent_lab.sim.order import check_order, check_waiting
from coagent_lab.sim.outsider import Outsider
from coagent_lab.sim.processes import Process, watched_over
from coagent_lab.sim.racing import Racer, race
from coagent_lab.sim.remote import DECLARED_TOOLS, SCHEME, Remote, remote
from coagent_lab.sim.restoring import Restored
from coagent_lab.sim.stepper import Stepper
from coagent_lab.sim.targets import Crowded, Slow, Still, Systems, Witnessed
from coagent_lab.sim.tools import TOOLS, outbox, pauses
from coagent_lab.sim.trial import Trial, Verdict
from coagent_lab.sim.world import is_final, stray_call

STEPS_MAX = 4000
SECONDS_MAX = 15.0
"""When nothing happens for so long, a run hangs."""
HAPPENINGS_MAX = 50_000
"""When more than that happens, it never ends."""
ALL_TOOLS: list[AnyTool] = [*TOOLS, *DECLARED_TOOLS]


class Simulation:
    """Runs and judges one trial.

    Args:
        trial: What to run.
        systems: Where targets come from.
    """

    def __init__(self, trial: Trial, systems: Systems) -> None:
        self.options = trial.options
        self.world = world = trial.world.copied()
        self.systems = systems
        self.rng = random.Random(f"schedule {trial.schedule}")
        self.verdict_ = Verdict(trial)
        self.effects: list[tuple[str, str, Any]] = []
        self.absent: set[str] = set()
        self.steps = 0
        self.events: list[Event] = []
        self.dumps: list[str] = []
        self.ledger: Ledger | None = None
        self.target: Witnessed | None = None
        self.refused: dict[str, set[int]] = {}
        """Which calls of an agent's program some live system has refused for good."""
        self.remote = Remote(world.initial)
        self.remote.note = self.verdict_.timeline.append
        lasting = (name for name in world.programs if is_final(world, name))
        self.lasting = frozenset(lasting if trial.options.kind in ("declared", "failing") else ())
        """Who is never ended from outside: what has left the building would stand."""

    async def verdict(self) -> Verdict:
        """Run it; whatever goes wrong is in the verdict."""
        outbox.set(self.effects)
        remote.set(self.remote)
        try:
            timeline = self.verdict_.timeline
            watch = watched_over(SECONDS_MAX, lambda: self.steps + len(timeline), HAPPENINGS_MAX)
            with watch, hurried(self.options.mode == "concurrent"):
                if self.options.mode == "concurrent":
                    await self._run_concurrently()
                else:
                    await self._run_stepwise()
        except (Exception, BaseExceptionGroup) as failure:
            self.verdict_.violation = described(failure)
        except asyncio.CancelledError:
            self.verdict_.violation = f"it hangs, or never ends: {len(timeline)} things had happened"
        return self.verdict_

    def agents(self) -> list[ScriptedAgent]:
        """Return the agents, in rank order."""
        found = []
        for name in self.world.programs:
            program = self.world.program(name)
            if self.options.kind == "failing":
                program = remembering(program, self.refused.setdefault(name, set()))
            found.append(ScriptedAgent(name, program))
        return found

    # ---- concurrent tasks ----------------------------------------------------------------------------------

    async def _run_concurrently(self) -> None:
        options, racing = self.options, self.options.kind in ("racing", "declared", "failing")
        failing = options.kind == "failing"
        mishaps = Mishaps(self.rng, options.failing)
        targets = self._flaky(mishaps) if failing else [Slow(self._held_by_targets(), self.rng)]
        turns = self.rng.choice((1, 3, 10))
        pauses.set(lambda: self.rng.randint(0, turns))
        agents = [
            replace(agent, think_s=self.rng.choice((0, 3, 20)), start_s=self.rng.choice((0, 0, 30)))
            for agent in self.agents()
        ]
        clock = VirtualClock() if self.rng.random() < 0.2 and not racing else Crowded(self.rng)
        patience_s = self.rng.choice((0.0, LIMIT_S_DEFAULT)) if failing else LIMIT_S_DEFAULT
        async with open_domain(
            "memory:",
            targets=targets,
            tools=ALL_TOOLS,
            clock=clock,
            order=options.order,
            patience_s=patience_s,
        ) as domain:
            ledger = Ledger(self.world.initial, lambda key: None)
            domain.observe(ledger.take)
            self._watch(domain)
            if failing:
                unwilling(self.remote, mishaps, domain)
            if racing:
                around = Surroundings(domain, self.world, targets, self.rng)
                self.verdict_.reports, self.absent = await race(
                    domain,
                    agents,
                    self.rng,
                    options.fumbling,
                    options.aborting,
                    self.lasting,
                    Patient if failing else Racer,
                    (around.change_the_weather, around.help) if failing else (),
                    ledger.gives_up,
                )
            else:
                self.verdict_.reports = (await run_agents(domain, agents)).agents
            pauses.set(lambda: 0)
            await domain.settle()
            check_order(ledger, options.order)
            live = {key: value for target in targets for key, value in target.snapshot().items()}
            self._judge(domain, live, self._serial([agent.name for agent in ledger.ended]))

    def _flaky(self, mishaps: Mishaps) -> list[Slow]:
        targets: list[Slow] = [
            Flaky(self._held_by_targets(), schemes, self.rng, mishaps)
            for schemes in (("kv",), ("txt", "hdr"))
        ]
        self.rng.shuffle(targets)
        return targets

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
                self._follow(process.domain)
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
        outsider = self._outsider(processes[0].domain)
        last: Stepper | None = None
        while any(not stepper.ended for stepper in steppers):
            if shared:
                if self.rng.random() < options.crashing:
                    await self._crash(processes, steppers, tasks)
                for process in processes:
                    await process.domain.catch_up()
            if outsider is not None and self.steps < 150 and self.rng.random() < options.outside:
                await outsider.act()
            if not any(stepper.may_step() for stepper in steppers):
                await self._wait(processes)
                if all(stepper.ended for stepper in steppers):
                    break
            last = self._next(steppers, last)
            if shared and self.rng.random() < options.moving:
                if last.joined and not last.ended:
                    await last.run.session.flush()
                await last.move_to(self.rng.choice(processes).domain)
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
        serial = self._serial([report.name for report in by_rank])
        numbers = {stepper.agent.name: stepper.numbers for stepper in steppers}
        if self.ledger is not None:
            check_order(self.ledger, self.options.order)
            programs = {name: self.world.program(name) for name in self.world.programs}
            history = self.ledger.history(programs, self.absent, numbers)
            serial = run_history(self.world.initial, history, ALL_TOOLS)
        try:
            self._judge(domain, live, serial)
        except Violation as violation:
            if self.ledger is not None:
                difference = self.ledger.first_difference(serial, numbers)
                raise Violation(f"{difference}; {violation}") from None
            raise

    def _domain(self, url: str) -> Domain:
        options, clock = self.options, None
        initial = self._held_by_targets()
        target = self.systems.target(initial)
        if options.kind != "plain" and options.log == "memory":
            clock = Still()
            target = self.target = Witnessed(initial)
        return open_domain(
            url,
            targets=[target],
            tools=ALL_TOOLS,
            protocol=options.protocol,
            order=options.order,
            clock=clock,
            on_death="keep",
        )

    def _held_by_targets(self) -> dict[str, Value]:
        return {key: value for key, value in self.world.initial.items() if not key.startswith(SCHEME)}

    def _follow(self, domain: Domain) -> None:
        """Keep a ledger of what happens, where the serial order or what outsiders do is to be found out."""
        if self.target is not None:
            self.ledger = self.target.witness = Ledger(self.world.initial, self.target.held)
            domain.observe(self.ledger.take)

    def _outsider(self, domain: Domain) -> Outsider | None:
        if self.ledger is None or self.target is None or not self.options.outside:
            return None
        return Outsider(self.rng, self.world, domain, self.target, self.ledger, self.options.looking)

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
        elif self.options.joining == "mixed":
            for number, stepper in enumerate(steppers):
                if self.rng.random() < 0.4:
                    await stepper.join()
                elif self.rng.random() < 0.5:
                    stepper.rank = self.rng.randint(0, 2 * number + 1)
        elif self.options.joining == "inside":
            await steppers[0].join()
            for stepper in steppers[1:]:
                if self.rng.random() < 0.8:
                    stepper.parent = self.rng.choice([one for one in steppers if one is not stepper])

    def _next(self, steppers: list[Stepper], last: Stepper | None) -> Stepper:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Violation(f"no quiescence after {STEPS_MAX} steps")
        movable = [stepper for stepper in steppers if stepper.may_step()]
        if not movable:
            stuck = [stepper.agent.name for stepper in steppers if not stepper.ended]
            raise Violation(f"{stuck} wait for each other")
        if self.options.idling and len(movable) > 1:
            movable = [stepper for stepper in movable if stepper is not steppers[0]]
        if last in movable and self.rng.randrange(self.options.patience) > 0:
            return last
        if self.options.eager and self.rng.random() < 0.8:
            return movable[-1]
        return self.rng.choice(movable)

    async def _move(self, stepper: Stepper, steppers: list[Stepper]) -> None:
        options, chance = self.options, self.rng.random()
        # A calm phase at the end must lead to quiescence, so mishaps end after a while.
        calm = self.steps > 150
        mortal = stepper.joined and stepper.agent.name not in self.lasting
        if mortal and not calm and chance < options.aborting:
            self.absent.add(stepper.agent.name)
            await stepper.abort()
        elif stepper.joined and not calm and chance < options.aborting + options.fumbling:
            await stepper.fumble(self.rng, lambda: stray_call(self.world, self.rng))
        else:
            did = await stepper.step()
            if did == "finished" and self.ledger is not None:
                check_waiting(self.ledger, stepper.run.session.rank, self.options.order)

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
                await stepper.move_to(process.domain)

    def _upwards(self, cause: int, rank: int) -> bool:
        """Tell whether what one agent did may be news to another."""
        if cause == OUTSIDE.rank:
            lowest = min(report.rank for report in self.verdict_.reports)
            return (
                self.options.kind in ("outside", "failing") or rank > lowest
            )  # or of an agent that has committed since
        # Who was below may have been passed since; and what an agent's own repairs and staged calls have
        # changed after they were answered is news to it as well.
        if self.options.order == "early":
            return True
        if self.options.joining == "inside" and self.ledger is not None:
            return self.ledger.agents[cause].order <= self.ledger.agents[rank].order
        return cause <= rank

    # ---- judging -------------------------------------------------------------------------------------------

    def _watch(self, domain: Domain) -> None:
        domain.observe(self.verdict_.note)
        if self.options.restoring:
            made, early = domain.kernel, self.options.order == "early"
            assert isinstance(made, Mtpo), "checkpoints are of Mtpo"
            rng = random.Random(f"restored {self.verdict_.trial.schedule}")
            protocol = PROTOCOLS[self.options.protocol]
            domain.observe(Restored(made, lambda: protocol(early=early), rng, self.options.restoring).take)
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
        programs = [
            (name, repeating(self.world.program(name), self.refused.get(name, set()))) for name in order
        ]
        return run_serially(self.world.initial, programs, ALL_TOOLS, self.absent)

    def _judge(self, domain: Domain, live: dict[str, Value], serial: SerialRun) -> None:
        reports = self.verdict_.reports
        kernel = domain.kernel
        live = live | self.remote.objects
        kernel.check_invariants()
        if isinstance(kernel, Mtpo) and kernel._objects.trajectories:
            raise Violation(f"still tracked at the end: {sorted(kernel._objects.trajectories)}")
        if not domain.quiescent:
            raise Violation("all agents have ended, but the domain is not quiescent")
        self.verdict_.overtaken = self.ledger is not None and self.ledger.overtaken
        if not self.verdict_.overtaken:
            grouped = self.options.order == "early"
            check_outcome(live, self.effects, reports, serial, self.absent, grouped=grouped)
        if self.remote.faults:
            raise Violation(self.remote.faults[0])
        self.verdict_.events = domain.events
        if self.options.protocol == "mtpo":
            check_notices(reports, self._upwards)
        if self.options.watched and self.options.log == "memory":
            again = PROTOCOLS[self.options.protocol](early=self.options.order == "early")
            check_replay(self.events, self.dumps, again)


def described(failure: BaseException) -> str:
    """Return in words how a run has failed."""
    if isinstance(failure, BaseExceptionGroup):
        return "; ".join(described(one) for one in failure.exceptions)
    if isinstance(failure, Violation):
        return str(failure)
    trace = failure.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
    return f"{type(failure).__name__}: {failure}{where}"
