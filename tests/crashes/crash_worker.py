"""One process of a run.

It goes on as its agents, takes up those whose process has died, and decides what a person has to decide, by
what has really happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup
from crash_breaks import BREAKS
from crash_judge import Ledger
from crash_plan import Plan, Shot, program
from crash_points import Board, CrashDomain, Points, watch_recovery, with_points
from crash_world import ONCE, PROBED, UNDOABLE, Outside, System, tools_of

from coagent.agents.repair import Made
from coagent.agents.scripted import ScriptedAgent, ScriptedRun
from coagent.errors import CoAgentError, IllegalEvent, JoinRefused, UnknownAgent
from coagent.log.base import NothingYet
from coagent.log.open import open_reader
from coagent.protocol.events import Event, Joined
from coagent.protocol.phases import AgentPhase
from coagent.runtime import attending
from coagent.runtime.session import AgentSession
from coagent.runtime.tenure import awake_s

_LOOK_S = 0.01
_ATTEND_S = 0.04


class Job(NamedTuple):
    """What a process is to do.

    Args:
        plan: Of the run.
        url: Of the log.
        folder: Where the post office and the shop are.
        system: The live system.
        slot: Which of the processes it is.
        life: How many there were in its place before.
        agents: Those that are to join here, if they have not.
        shot: Where it is killed or stopped; None: nowhere, unless from outside.
        broken: What of the product is broken on purpose; empty: nothing.
    """

    plan: Plan
    url: str
    folder: Path
    system: System
    slot: int
    life: int
    agents: list[str]
    shot: Shot | None
    broken: str = ""


def events_of(url: str) -> list[Event]:
    """Return all events of a log; none where it has not been begun."""
    try:
        reader = open_reader(url)
    except NothingYet:
        return []
    found: list[Event] = []
    try:
        while events := reader.read():
            found += events
    finally:
        reader.close()
    return found


def _say_where() -> None:
    """Say where each task stands, for one that looks on when nothing happens any more."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()


class Worker:
    """The process.

    Args:
        job: What it is to do.
        board: What it shares with the others.
    """

    def __init__(self, job: Job, board: Board) -> None:
        self.job, self._board = job, board
        point = job.shot if job.shot is not None and job.shot.point != "moment" else None
        self.points = Points(point, partial(board.busy, job.slot))
        self.outside = Outside(
            job.folder / "outside",
            lambda may_stop: self.points.pass_("run", may_stop=may_stop),
            partial(board.set_busy, job.slot),
        )
        self._following: set[str] = set()
        self._rng = random.Random(f"worker {job.plan.seed} {job.slot} {job.life}")

    async def run(self) -> None:
        """Work until everybody has ended and nothing is left to do."""
        job = self.job
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _say_where)
        attending.ATTEND_INTERVAL_S = _ATTEND_S
        watch_recovery(self.points)
        domain = CrashDomain(
            job.url,
            targets=[with_points(job.system.target(), self.points)],
            tools=tools_of(job.system, self.outside),
            protocol="mtpo",
            order=job.plan.order,  # type: ignore[arg-type]
            clock=None,
            patience_s=20.0,
            on_death=job.plan.on_death,  # type: ignore[arg-type]
        )
        domain.points = self.points
        domain.clock_s = lambda: awake_s() + self._board.asleep_s(job.slot)
        if job.broken:
            BREAKS[job.broken](domain)
        async with domain:
            self._domain = domain
            known = {event.agent for event in events_of(job.url) if isinstance(event, Joined)}
            async with anyio.create_task_group() as tasks:
                for name in job.agents:
                    if name not in known:
                        session = await domain.join(name)
                        self._start(tasks, name, session)
                while not await self._is_over():
                    await self._look(tasks)
                    await anyio.sleep(_LOOK_S)
                tasks.cancel_scope.cancel()

    # ---- agents --------------------------------------------------------------------------------------------

    def _start(self, tasks: TaskGroup, name: str, session: AgentSession) -> None:
        self._following.add(name)
        tasks.start_soon(self._follow, name, session)

    async def _follow(self, name: str, session: AgentSession) -> None:
        domain = self._domain
        agent = ScriptedAgent(name, partial(program, name, self.job.plan.programs[name]))
        run = ScriptedRun(agent, session)
        run.walker.made[:] = [
            Made(call.tool, call.arguments, call.call_id, domain.tools[call.tool].gate == "stage")
            for call in session.calls
        ]
        run.walker.distrust()
        try:
            report = await run.run()
            print(name, report.state, report.failure, file=sys.stderr)
        except IllegalEvent as defect:
            self.outside.fault(f"agent {name} is told of a defect: {defect}")
        except (
            CoAgentError
        ) as failure:  # somebody has come first, or something is away: it is looked at again
            print(name, repr(failure), file=sys.stderr)
        finally:
            self._following.discard(name)

    async def _look(self, tasks: TaskGroup) -> None:
        domain = self._domain
        with contextlib.suppress(CoAgentError):
            await domain.catch_up()
            await domain.flush()
        adopted = domain._opened.recovery.adopted
        own = domain._opened.parts.recorder.tenure.owner
        for agent in domain.agents:
            waits = agent.phase is AgentPhase.ACTIVE or agent.unread
            if agent.ended or not waits or agent.name in self._following or agent.rank in adopted:
                continue
            if agent.owner not in ("", own):
                continue
            if agent.owner == "" and agent.on_death != "keep" and agent.phase is AgentPhase.FINISHED:
                continue
            with contextlib.suppress(JoinRefused, UnknownAgent, CoAgentError):
                session = await domain.attach(agent.name)
                self._start(tasks, agent.name, session)
        if self._board.open and (domain.kernel.unknown or domain.kernel.stuck):
            with self.outside.desk() as free:  # there is one person
                if free:
                    with contextlib.suppress(CoAgentError):
                        await domain.catch_up()
                        await self._decide()

    async def _is_over(self) -> bool:
        domain = self._domain
        undecided = domain.kernel.unknown or domain.kernel.stuck
        return not self._following and domain.quiescent and not undecided

    # ---- what a person decides -----------------------------------------------------------------------------

    async def _decide(self) -> None:
        kernel = self._domain.kernel
        for call in kernel.unknown:
            wanted = kernel.call(call.id) is call
            if call.tool in PROBED or (call.tool in ONCE and wanted):
                continue  # its tool finds out
            acted = self.outside.acted(call.tool, call.intent)
            if acted and not wanted and call.tool in UNDOABLE:
                self.outside.make_up_for(call.intent)
                acted = False
            how = "accept" if acted else self._rng.choice(("retry", "drop")) if wanted else "drop"
            await self._domain.resolve(call.id, how)  # type: ignore[arg-type]  # one of the three
        for key in list(kernel.stuck):
            self._mend(key)
            await self._domain.resolve(key, "retry")

    def _mend(self, key: str) -> None:
        """Make an item of the shop what the calls that count have made of it."""
        item = key.removeprefix("shop:")
        standing = [
            call
            for agent in self._domain.agents
            for call in agent.calls.values()
            if call.tool in UNDOABLE and call.applied and call.arguments.get("item") == item
        ]
        ledger = Ledger(events_of(self.job.url))
        committed = [
            call
            for agent in ledger.committed
            for call in ledger.of(agent)
            if call.tool in UNDOABLE and not call.failed and call.arguments.get("item") == item
        ]
        counting = [(call.arguments, call.intents[-1]) for call in committed]
        counting += [(call.arguments, call.intent) for call in standing]
        with self.outside.shop(item) as entries:
            for arguments, intent in counting:
                who = [arguments["agent"], arguments["step"]]
                if not any(entry[:2] == who for entry in entries):
                    entries.append([*who, intent])
