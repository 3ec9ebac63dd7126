"""Processes that die, or are stopped, at any point; others recover their agents, and they come back.

Time is virtual: it passes between steps, in which whoever lives renews its lease. A process that is stopped
is thought to be dead once its lease has run out; what it was about to do, it does when it goes on, whatever
others have made of its agents meanwhile.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from coagent.errors import AgentNotActive, CoAgentError
from coagent.log.base import Lease, Log
from coagent.processes import Process as SystemProcess
from coagent.processes import this_process
from coagent.protocol.calls import Rank
from coagent.protocol.events import Aborted, Event, OnDeath
from coagent.protocol.keys import Key
from coagent.runtime.domain import Domain, _Open
from coagent.runtime.recovery import REASON
from coagent.runtime.tenure import LEASE_S, Tenure
from coagent_lab.sim.check import Violation
from coagent_lab.sim.crash import Body, CrashSimulation, Lasting, Life, Mortal, MortalDomain, MortalLog
from coagent_lab.sim.simulation import ALL_TOOLS
from coagent_lab.sim.stepper import Stepper

_PROCESSES = 2
_STEP_S_MAX = 12.0


class Leases:
    """The leases of all processes, by a clock that only goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._until: dict[str, float] = {}

    def take(self, owner: str, seconds: float) -> None:
        """Begin a lease."""
        self._until[owner] = self.now_s + seconds

    def renew(self, owner: str, seconds: float) -> bool:
        """Let a lease last from now on; False where there is none."""
        if owner not in self._until:
            return False
        self._until[owner] = self.now_s + seconds
        return True

    def end(self, owner: str, late: bool) -> bool:
        """End a lease, perhaps only one that has run out; whether there is none any more."""
        if not late or self._until.get(owner, 0.0) <= self.now_s:
            self._until.pop(owner, None)
        return owner not in self._until

    def all(self) -> list[Lease]:
        """Return all of them."""
        return [Lease(owner, this_process(), until - self.now_s) for owner, until in self._until.items()]


class LeasedLog(MortalLog):
    """A log of a process that can be killed or stopped, whose leases go by a virtual clock.

    Args:
        log: The log.
        body: Of the process.
        leases: All of them.
    """

    def __init__(self, log: Log, body: Body, leases: Leases) -> None:
        super().__init__(log, body)
        self._leases = leases

    async def take_lease(self, owner: str, process: SystemProcess, seconds: float) -> None:
        self._body.live()
        self._leases.take(owner, seconds)

    async def renew_lease(self, owner: str, seconds: float) -> bool:
        self._body.live()
        return self._leases.renew(owner, seconds)

    async def end_lease(self, owner: str, *, late: bool = False) -> bool:
        self._body.live()
        return self._leases.end(owner, late)

    async def leases(self) -> Sequence[Lease]:
        self._body.live()
        return self._leases.all()


class LeasedDomain(MortalDomain):
    """A domain in a process that can be killed or stopped."""

    attends = False
    leases: Leases

    async def _assembled(self, log: Log) -> _Open:
        return await Domain._assembled(self, LeasedLog(log, self.body, self.leases))

    def _tenure(self, log: Log) -> Tenure:
        return Tenure(log, now_s=lambda: self.leases.now_s)

    @property
    def tenure(self) -> Tenure:
        """Its lease."""
        return self._opened.parts.recorder.tenure

    async def recover(self) -> None:
        """See to what the dead have left, as an open domain does now and then."""
        await self._opened.parts.recorder.catch_up()
        await self._opened.recovery.recover()


class Leased(Mortal):
    """A process that holds a lease.

    Args:
        life: Says when it is killed or stopped.
        url: Of its log.
        order: Of its domain.
        held: What the target holds.
        leases: All of them.
        on_death: What becomes of its unfinished agents.
    """

    def __init__(
        self, life: Life, url: str, order: str, held: dict[Key, object], leases: Leases, on_death: OnDeath
    ) -> None:
        super().__init__(life, url, order, held)
        self._leases, self._on_death = leases, on_death

    def _domain_of_its_own(self) -> Domain:
        self.target = Lasting(self._held, self.body)
        domain = LeasedDomain(
            self._url,
            targets=[self.target],
            tools=ALL_TOOLS,
            protocol="mtpo",
            order=None if self._order not in ("fixed", "early") else self._order,  # type: ignore[arg-type]
            clock=None,
            patience_s=60.0,
            on_death=self._on_death,
        )
        domain.body, domain.leases = self.body, self._leases
        return domain

    def spare(self) -> None:
        """Let it, and those that share its fate, live from now on."""
        self._life.last = 0

    @property
    def leased(self) -> LeasedDomain:
        """Its domain."""
        assert isinstance(self.domain, LeasedDomain), "it makes such domains"
        return self.domain


class OwnersSimulation(CrashSimulation):
    """Runs a trial to its end, and then again and again, with a process killed or stopped somewhere else."""

    async def _live_through(self, last: int) -> int:
        self._begin_anew()
        chance = random.Random(f"owners {self.verdict_.trial.schedule} {last}")
        on_death: OnDeath = chance.choice(("abort", "keep"))
        leases = Leases()
        with tempfile.TemporaryDirectory(prefix="coagent-sim-") as directory:
            life = Life(last, stops=chance.random() < 0.7)
            held = {Key(key): value for key, value in self._held_by_targets().items()}
            url = f"sqlite:{Path(directory) / 'log'}"
            processes = [
                Leased(life, url, self.options.order, held, leases, on_death) for _ in range(_PROCESSES)
            ]
            async with anyio.create_task_group() as tasks:
                try:
                    for process in processes:
                        await process.revive(tasks)
                    await _Course(self, processes, leases, chance, tasks).run()
                finally:
                    with anyio.CancelScope(shield=True):
                        for process in processes:
                            process.body.go_on()
                            await process.end()
        return life.points

    def cease(self, processes: Sequence[Leased]) -> None:
        """Have nobody killed or stopped any more: who was stopped now, nobody would let go on."""
        for process in processes:
            process.spare()


class _Course:
    """One run: steps of agents in processes, of which one is killed or stopped, recovered, and comes back."""

    def __init__(
        self,
        simulation: OwnersSimulation,
        processes: list[Leased],
        leases: Leases,
        chance: random.Random,
        tasks: TaskGroup,
    ) -> None:
        self._of = simulation
        self._processes = processes
        self._leases = leases
        self._chance = chance
        self._tasks = tasks
        self._steppers: list[Stepper] = []
        self._frozen: list[tuple[Stepper, anyio.Event]] = []
        """Agents in the middle of a step of a process that was stopped."""
        self._recovered: set[Rank] = set()
        """Whom others have aborted because its process was thought to be dead."""
        self._until = 0
        """After how many steps a stopped process goes on."""

    async def run(self) -> None:
        of = self._of
        for process in self._processes:
            self._watch(process.domain)
        self._steppers = [Stepper(of.rng.choice(self._processes).domain, agent) for agent in of.agents()]
        for stepper in self._steppers:
            while not stepper.joined:
                for process in self._stopped:
                    await self._let_go_on(process)
                if not stepper.joined:
                    await self._act(stepper, stepper.join)
                    if not stepper.joined and not self._frozen:  # it was killed; the log may know the agent
                        await self._taken_up(stepper)
        last: Stepper | None = None
        while any(not stepper.ended for stepper in self._steppers) or self._stopped:
            await self._pass_time()
            movable = [one for one in self._steppers if self._is_free(one) and one.may_step()]
            if movable:
                last = of.rng.choice(movable)
                of.steps += 1
                if of.steps > 3000:
                    raise Violation("no quiescence after 3000 steps")
                await self._act(last, last.step)
            else:
                await self._look_after()
        self._of.cease(self._processes)
        for _ in range(2):
            for process in self._processes:
                await self._tend(process, settle=True)
        await self._sort_out()
        of.verdict_.reports = sorted(
            (one.run.report for one in self._steppers), key=lambda report: report.rank
        )
        of._judge(
            self._processes[0].domain,
            self._processes[0].target.snapshot(),
            of._serial([report.name for report in of.verdict_.reports]),
        )

    @property
    def _stopped(self) -> list[Leased]:
        return [process for process in self._processes if process.body.stopped is not None]

    def _is_free(self, stepper: Stepper) -> bool:
        return all(stepper.domain is not process.domain for process in self._stopped)

    async def _act(self, stepper: Stepper, act: object) -> None:
        """Let an agent do something, as far as its process goes on; then see what has become of processes."""
        process = next(one for one in self._processes if one.domain is stepper.domain)
        done, failures = await self._carried(process, act)
        if not done.is_set():
            self._frozen.append((stepper, done))
            self._of.verdict_.timeline.append("a process is stopped")
        elif failures and not process.body.dead and not self._is_lost(stepper, failures[0]):
            raise failures[0]
        if process.body.dead:
            await self._replace(process)
        elif self._stopped and not self._until:
            self._until = self._of.steps + self._chance.randint(1, 30)

    async def _carried(self, process: Leased, act: object) -> tuple[anyio.Event, list[Exception]]:
        """Do something in a process until it is done, or the process is stopped."""
        done = anyio.Event()
        failures: list[Exception] = []

        async def run() -> None:
            try:
                await act()  # type: ignore[operator]  # what the stepper does
            except Exception as failure:
                failures.append(failure)
            finally:
                done.set()

        self._tasks.start_soon(run)
        while not done.is_set() and process.body.stopped is None:
            with anyio.move_on_after(0.001):
                await done.wait()
        return done, failures

    def _is_lost(self, stepper: Stepper, failure: Exception) -> bool:
        return isinstance(failure, AgentNotActive) and stepper.domain is not None

    async def _pass_time(self) -> None:
        """Let time pass, in which whoever lives renews its lease, and others may come back."""
        self._leases.now_s += self._chance.uniform(0, _STEP_S_MAX)
        stopped = self._stopped
        if stopped and self._of.steps >= self._until:
            await self._look_after(long=self._chance.random() < 0.8)
            for process in stopped:
                await self._let_go_on(process)
        for process in self._processes:
            await self._tend(process)
        await self._sort_out()

    async def _tend(self, process: Leased, *, settle: bool = False) -> None:
        """Have a process do what it does by itself, unless it is stopped; it may be killed meanwhile."""
        if process.body.stopped is not None:
            return

        async def tend() -> None:
            await process.leased.tenure.renew()
            await process.domain.catch_up()
            if settle:
                await process.leased.recover()
                await process.domain.settle()

        _, failures = await self._carried(process, tend)
        if failures and not process.body.dead:
            raise failures[0]
        if process.body.dead:
            await self._replace(process)

    async def _look_after(self, *, long: bool = True) -> None:
        """Let a long time pass, and everybody who lives see to those who do not."""
        for _ in range(3):
            if long:
                self._leases.now_s += LEASE_S
            for process in self._processes:
                await self._tend(process, settle=True)
        if self._stopped and not any(self._is_free(one) and one.may_step() for one in self._steppers):
            self._until = 0
            for process in self._stopped:
                await self._let_go_on(process)
        await self._sort_out()

    async def _let_go_on(self, process: Leased) -> None:
        self._of.verdict_.timeline.append("a stopped process goes on")
        process.body.go_on()
        frozen, self._frozen = self._frozen, []
        for _, done in frozen:
            await done.wait()
        await self._tend(process, settle=True)

    async def _replace(self, dead: Leased) -> None:
        """Have another process take the place of a dead one; its agents are seen to by their leases."""
        self._of.verdict_.timeline.append("a process is killed")
        orphans = [stepper for stepper in self._steppers if stepper.domain is dead.domain]
        await dead.kill()
        await dead.revive(self._tasks)
        self._watch(dead.domain)
        for stepper in orphans:
            stepper.domain = dead.domain

    async def _sort_out(self) -> None:
        """Have agents go on with what has become of them: aborted, taken up, or still their process'."""
        for stepper in self._steppers:
            if not self._is_free(stepper) and not await self._was_taken(stepper):
                continue
            if not stepper.joined or stepper.run.report.state != "active":
                continue
            domain = stepper.domain
            known = domain.kernel.agents.get(stepper.run.session.rank)
            if known is None or known.ended:
                state = "committed" if known is None or known.phase.value == "committed" else "aborted"
                self._note_absent(stepper)
                if known is not None:  # the session that it had may be of a process that stands still
                    stepper.run.session = stepper.run.walker.session = domain.session(known.rank)
                stepper.run.ended(state)  # type: ignore[arg-type]  # one of both
            elif (
                stepper.run.session._parts is not domain._opened.parts
                or not domain._opened.parts.recorder.serves(known)
            ):
                await self._refused(stepper)
                await self._taken_up(stepper)

    async def _was_taken(self, stepper: Stepper) -> bool:
        """Tell whether an agent of a stopped process is not its any more; then it moves."""
        other = next((one for one in self._processes if one.body.stopped is None), None)
        if other is None:
            return False
        await self._tend(other)
        if not stepper.joined:
            stepper.domain = other.domain
            return True
        known = other.domain.kernel.agents.get(stepper.run.session.rank)
        frozen = next(one for one in self._processes if one.domain is stepper.domain)
        if known is not None and not known.ended and known.owner == frozen.leased.tenure.owner:
            return False
        stepper.domain = other.domain
        return True

    async def _refused(self, stepper: Stepper) -> None:
        """See that the session that an agent had cannot speak for it any more."""
        session = stepper.run.session
        if not self._of.rng.randrange(3) and session._parts.recorder is not None:
            process = next(
                (one for one in self._processes if one.leased._opened.parts is session._parts), None
            )
            if process is None or process.body.stopped is not None or process.body.dead:
                return
            try:
                await session.call("read", key="kv:x")
            except AgentNotActive:
                return
            except CoAgentError as failure:
                raise Violation(f"a lost session is told {failure!r}") from failure
            raise Violation(f"{stepper.agent.name} is served by another process, and by its first one too")

    async def _taken_up(self, stepper: Stepper) -> None:
        living = [one for one in self._processes if one.body.stopped is None]
        taker = self._chance.choice(living)
        await self._tend(taker)
        await stepper.taken_up(taker.domain)
        self._note_absent(stepper)

    def _watch(self, domain: Domain) -> None:
        self._of._watch(domain)

        def look(event: Event) -> None:
            if isinstance(event, Aborted) and event.reason == REASON:
                self._recovered.add(event.rank)

        domain.observe(look)

    def _note_absent(self, stepper: Stepper) -> None:
        """Let an agent not count that was aborted because its process was thought to be dead."""
        if stepper.joined and stepper.run.session.rank in self._recovered:
            self._of.absent.add(stepper.agent.name)
