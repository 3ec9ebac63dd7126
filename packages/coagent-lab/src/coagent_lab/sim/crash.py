"""Processes that are killed at any point, and others that go on from the log with what had got out by then.

A point is just before, or just after, something reaches the log or a target. From the chosen one on, nothing
of that process reaches either. What it had in mind is lost: its agents begin with the calls that the log has.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from coagent.log.base import Checkpoint, Lease, Log, LogSettings
from coagent.processes import Process as SystemProcess
from coagent.protocol.events import Event
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.runtime.domain import Domain, _Open
from coagent.targets.memory import Memory
from coagent_lab.sim.check import Violation
from coagent_lab.sim.processes import Process
from coagent_lab.sim.remote import Remote, remote
from coagent_lab.sim.simulation import ALL_TOOLS, Simulation
from coagent_lab.sim.stepper import Stepper
from coagent_lab.sim.targets import SCHEMES
from coagent_lab.sim.tools import outbox

_PROCESSES = 2


class Killed(Exception):
    """The process is dead, and does nothing any more."""


class Life:
    """How long processes live.

    Args:
        last: The number of the point at which one of them is killed, or stopped; 0: none is.
        stops: Whether it is stopped there, and goes on later.
    """

    def __init__(self, last: int = 0, *, stops: bool = False) -> None:
        self.points = 0
        self.last = last
        self.stops = stops

    def is_over(self) -> bool:
        """Pass a point; tells whether it was the last one."""
        self.points += 1
        return self.points == self.last


class Body:
    """What of a process can be killed.

    Args:
        life: Counts the points of all processes.
    """

    def __init__(self, life: Life) -> None:
        self._life = life
        self.dead = False
        self.stopped: anyio.Event | None = None
        """While the process is stopped: what lets it go on."""

    async def pass_point(self) -> None:
        """Pass a point; where the process is stopped there, or was before, that takes until it goes on.

        Raises:
            Killed: It was the last one, or there is no process any more.
        """
        self.live()
        if self._life.is_over():
            if self._life.stops:
                self.stopped = anyio.Event()
            else:
                self.dead = True
        if self.stopped is not None:
            await self.stopped.wait()
        self.live()

    def go_on(self) -> None:
        """Let a stopped process go on."""
        if self.stopped is not None:
            self.stopped.set()
            self.stopped = None

    def live(self) -> None:
        """Do nothing, which takes a process.

        Raises:
            Killed: There is none any more.
        """
        if self.dead:
            raise Killed


class MortalLog(Log):
    """A log that nothing reaches from a process that is dead.

    Args:
        log: The log.
        body: Of the process.
    """

    def __init__(self, log: Log, body: Body) -> None:
        self._log = log
        self._body = body
        self.shared, self.instant, self.by_itself = log.shared, log.instant, log.by_itself

    @property
    def head(self) -> int:
        return self._log.head

    @property
    def settings(self) -> LogSettings:
        return self._log.settings

    async def append(self, events: Sequence[Event]) -> None:
        await self._body.pass_point()
        await self._log.append(events)
        await self._body.pass_point()

    @property
    def contended(self) -> bool:
        return self._log.contended

    async def hold(self) -> None:
        await self._body.pass_point()
        await self._log.hold()
        await self._body.pass_point()

    async def let_go(self) -> None:
        self._body.live()
        await self._log.let_go()

    async def read(self) -> Sequence[Event]:
        self._body.live()
        return await self._log.read()

    def stale(self, *, now: bool = False) -> bool:
        return self._log.stale(now=now)

    async def attend(self) -> None:
        await self._log.attend()

    async def checkpoint(self) -> Checkpoint | None:
        return await self._log.checkpoint()

    async def keep(self, checkpoint: Checkpoint) -> None:
        await self._body.pass_point()
        await self._log.keep(checkpoint)
        await self._body.pass_point()

    @property
    def since_checkpoint(self) -> int:
        return self._log.since_checkpoint

    async def tidy(self) -> int:
        self._body.live()
        return await self._log.tidy()

    async def take_lease(self, owner: str, process: SystemProcess, seconds: float) -> None:
        self._body.live()
        await self._log.take_lease(owner, process, seconds)

    async def renew_lease(self, owner: str, seconds: float) -> bool:
        self._body.live()
        return await self._log.renew_lease(owner, seconds)

    async def end_lease(self, owner: str, *, late: bool = False) -> bool:
        self._body.live()
        return await self._log.end_lease(owner, late=late)

    async def leases(self) -> Sequence[Lease]:
        self._body.live()
        return await self._log.leases()

    async def close(self) -> None:
        await self._log.close()


class Lasting(Memory):
    """Memory that outlives the process, as a system elsewhere does.

    Args:
        objects: What it holds; shared by all who use it.
        body: Of the process that uses it.
    """

    instant = False
    replicate = None  # type: ignore[assignment]

    def __init__(self, objects: dict[Key, Value], body: Body) -> None:
        super().__init__({}, schemes=SCHEMES)
        self._objects = objects
        self._body = body

    async def get(self, key: Key) -> Value:
        self._body.live()
        return await super().get(key)

    async def list(self, prefix: str) -> dict[Key, Value]:
        self._body.live()
        return await super().list(prefix)

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        await self._body.pass_point()
        await super().put(key, value, expected=expected)
        await self._body.pass_point()


class MortalDomain(Domain):
    """A domain in a process that can be killed."""

    body: Body

    async def _assembled(self, log: Log) -> _Open:
        return await super()._assembled(MortalLog(log, self.body))


class CrashSimulation(Simulation):
    """Runs a trial to its end, and then again and again, killed somewhere else each time."""

    async def _run_stepwise(self) -> None:
        wanted = self.options.crashes
        at_first = await self._live_through(0)
        points = range(1, at_first + 1)
        chosen = points if not wanted else sorted(self.rng.sample(points, min(wanted, len(points))))
        for last in chosen:
            try:
                await self._live_through(last)
            except Exception as failure:
                raise Violation(f"killed at point {last} of {at_first}: {failure!r}") from failure

    async def _live_through(self, last: int) -> int:
        """Run the trial with a process killed at a point; returns how many points there were."""
        self._begin_anew()
        with tempfile.TemporaryDirectory(prefix="coagent-sim-") as directory:
            life = Life(last)
            held = {Key(key): value for key, value in self._held_by_targets().items()}
            url = f"sqlite:{Path(directory) / 'log'}"
            processes = [Mortal(life, url, self.options.order, held) for _ in range(_PROCESSES)]
            async with anyio.create_task_group() as tasks:
                try:
                    for process in processes:
                        await process.revive(tasks)
                    await self._go_through(processes, tasks)
                finally:
                    with anyio.CancelScope(shield=True):
                        for process in processes:
                            await process.end()
        return life.points

    def _begin_anew(self) -> None:
        trial = self.verdict_.trial
        self.rng = random.Random(f"schedule {trial.schedule}")
        self.world = trial.world.copied()
        self.effects.clear()
        self.absent.clear()
        self.verdict_.timeline.clear()
        self.steps = 0
        self.remote = Remote(self.world.initial)
        outbox.set(self.effects)
        remote.set(self.remote)

    async def _go_through(self, processes: list[Mortal], tasks: TaskGroup) -> None:
        steppers = [Stepper(self.rng.choice(processes).domain, agent) for agent in self.agents()]
        for process in processes:
            self._watch(process.domain)
        last: Stepper | None = None
        joined = False
        while True:
            try:
                if joined and all(stepper.ended for stepper in steppers):
                    await self._wait(list(processes))
                    break
                if not joined:
                    await self._join([stepper for stepper in steppers if not stepper.joined])
                    joined = True
                last = await self._once(processes, steppers, last)
            except Exception:
                if not any(process.body.dead for process in processes):
                    raise
            for process in [process for process in processes if process.body.dead]:
                await self._take_up(process, processes, steppers, tasks)
                last = None
        self.verdict_.reports = sorted((one.run.report for one in steppers), key=lambda report: report.rank)
        aborted = {stepper.agent.name for stepper in steppers if stepper.run.session.state == "aborted"}
        self.absent &= aborted  # who was to be ended by a process that was killed may have lived on
        domain = processes[0].domain
        live = processes[0].target.snapshot()
        self._judge(domain, live, self._serial([report.name for report in self.verdict_.reports]))

    async def _once(
        self, processes: list[Mortal], steppers: list[Stepper], last: Stepper | None
    ) -> Stepper | None:
        for process in processes:
            await process.domain.catch_up()
        if not any(stepper.may_step() for stepper in steppers):
            await self._wait(list(processes))
            for stepper in steppers:
                if stepper.ended and stepper.run.report.state == "active":
                    stepper.run.ended("committed")
            if all(stepper.ended for stepper in steppers):
                return None
        last = self._next(steppers, last)
        await self._move(last, steppers)
        return last

    async def _take_up(
        self, dead: Mortal, processes: list[Mortal], steppers: list[Stepper], tasks: TaskGroup
    ) -> None:
        """Have another process take the place of a dead one, and its agents be taken up."""
        orphans = [stepper for stepper in steppers if stepper.domain is dead.domain]
        self.verdict_.timeline.append("a process is killed")
        await dead.kill()
        await dead.revive(tasks)
        self._watch(dead.domain)
        for stepper in orphans:
            taker = self.rng.choice(processes)
            if not taker.body.dead:
                await taker.domain.catch_up()
            await stepper.taken_up(taker.domain)


class Mortal(Process):
    """A process that can be killed.

    Args:
        life: Says when.
        url: Of its log.
        order: Of its domain.
        held: What the target holds.
    """

    def __init__(self, life: Life, url: str, order: str, held: dict[Key, Value]) -> None:
        super().__init__(self._domain_of_its_own)
        self._life, self._url, self._order, self._held = life, url, order, held
        self.body = Body(life)
        self.target = Lasting(held, self.body)

    async def revive(self, tasks: TaskGroup) -> None:
        """Start it, or another one in its place; again where that is killed as it starts."""
        while True:
            self.body = Body(self._life)
            try:
                await self.start(tasks)
                return
            except Exception:
                if not self.body.dead:
                    raise

    def _domain_of_its_own(self) -> Domain:
        self.target = Lasting(self._held, self.body)
        domain = MortalDomain(
            self._url,
            targets=[self.target],
            tools=ALL_TOOLS,
            protocol="mtpo",
            order=None if self._order not in ("fixed", "early") else self._order,  # type: ignore[arg-type]
            clock=None,
            patience_s=60.0,
            on_death="keep",
        )
        domain.body = self.body
        return domain
