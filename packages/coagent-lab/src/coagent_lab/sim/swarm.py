"""One run with everything in it: several hosts on one log far away, and whatever may go wrong.

Which faults there are follows from the seed (swarm testing, Groce et al. 2012), as does when each strikes.
Time is virtual. After a while nothing goes wrong any more, and then everything has to end: each agent is
committed or aborted, or waits for a person, for a reason that has a name. Not tried is a process that dies
after it has put what was over, before it mends that, nor a request that arrives after its process' death.
"""

from __future__ import annotations

import asyncio
import copy
import random
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from coagent.agents.repair import Made
from coagent.agents.scripted import AgentReport, Program, ScriptedAgent
from coagent.errors import JoinRefused, LogError
from coagent.log.base import LogSettings
from coagent.protocol import events
from coagent.protocol.calls import Call, Rank
from coagent.protocol.events import Event, OnDeath
from coagent.protocol.keys import Key
from coagent.protocol.mtpo import Mtpo
from coagent.runtime.domain import Domain
from coagent.runtime.protocols import PROTOCOLS
from coagent.runtime.recovery import REASON
from coagent.runtime.session import AgentSession
from coagent.runtime.unheard import NOT_RUN
from coagent.tools.base import Tool
from coagent.tools.intent import Probed
from coagent_lab.sim.bodies import Body, Fates
from coagent_lab.sim.bystander import WATCHED, Bystander, Places, add_readers, is_watched
from coagent_lab.sim.check import Violation, check_notices, check_once, check_outcome
from coagent_lab.sim.clients import Client, recorded, runs_here
from coagent_lab.sim.dump import dump
from coagent_lab.sim.failing import MARK, Mishaps, remembering, repeating
from coagent_lab.sim.hosts import Host, OwnClock, System, unhurried
from coagent_lab.sim.ledger import Agent as Participant
from coagent_lab.sim.oracle import SerialRun, Turn, run_history
from coagent_lab.sim.order import check_order
from coagent_lab.sim.remote import SENT, remote
from coagent_lab.sim.server import Server, check_log
from coagent_lab.sim.simulation import ALL_TOOLS, Simulation, described
from coagent_lab.sim.targets import Systems
from coagent_lab.sim.tools import done, outbox, pauses
from coagent_lab.sim.trial import Trial, Verdict
from coagent_lab.sim.virtual import VirtualLoop
from coagent_lab.sim.weather import Weather
from coagent_lab.sim.world import is_final

ENDED_FROM_OUTSIDE = "it was ended from outside"
_QUIET_S_MAX = 600.0
"""For how long nothing may be logged, in seconds, when nothing fails any more and agents are at work."""
_EVENTS_MAX = 10_000  # a run of six agents has ended with 4,800, in the serial state
_GATES = {tool.name: tool.gate for tool in ALL_TOOLS}
_MARKS = (MARK, "its process had died before", "was stopped for so long that", NOT_RUN)
"""In the reasons for which calls fail that do not fail serially."""


class SwarmSimulation(Simulation):
    """Runs a trial on several hosts.

    Args:
        trial: What to run.
        systems: Not used: live systems are far away in such runs.
    """

    def __init__(self, trial: Trial, systems: Systems) -> None:
        super().__init__(trial, systems)
        self.faults = faults = trial.options.faults
        self.fates = Fates(self.rng, faults)
        self.fates.note = self.verdict_.timeline.append
        self.done: dict[str, Any] = {}
        self.on_death: OnDeath = random.Random(f"death {trial.seed}").choice(("abort", "commit", "keep"))
        self.known: dict[int, str] = {}
        """The names of agents by their ranks."""
        self.states: dict[str, str] = {}
        """How those have ended that have."""
        self.recorded: dict[str, list[Call]] = {}
        """What stood of an agent when it committed."""
        self.late: dict[str, list[Call]] = {}
        """What stands of agents that have been aborted: what had happened by then, or was heard of later."""
        self.bystander = Bystander()
        self.kept: dict[str, list[Call]] = {}
        """What an abort could not take back of an agent at work."""
        self.ended_for: set[str] = set()
        """The agents in whose place others have said that they have finished: what they had staged runs."""
        self.being_ended: set[str] = set()
        """Whose work others have begun to take back: who gives up for what is left of it counts as ended."""
        self.in_doubt: dict[str, Call] = {}
        """By object, the call of which nobody knew last whether it had been taken back."""
        self.accepted: set[str] = set()
        """The calls of which a person has said that they have run; nobody knows what they returned."""
        self.clients: dict[str, Client] = {}
        self.lasting = frozenset(name for name in self.world.programs if is_final(self.world, name))
        """Who is never ended from outside: what has left the building would stand."""

    async def verdict(self) -> Verdict:
        outbox.set(self.effects)
        done.set(self.done)
        remote.set(self.remote)
        try:
            with unhurried(random.Random(f"names {self.verdict_.trial.schedule}")):
                await self._run()
        except (Exception, BaseExceptionGroup) as failure:
            self.verdict_.violation = described(failure)
        except asyncio.CancelledError:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop), "such runs have virtual time"
            self.verdict_.violation = loop.endless
        return self.verdict_

    # ---- setting up ----------------------------------------------------------------------------------------

    def _kernel(self) -> Mtpo:
        made = PROTOCOLS["mtpo"](early=self.options.order == "early")
        assert isinstance(made, Mtpo), "such runs are of Mtpo"
        return made

    def _set_up(self) -> None:
        rng, has = self.rng, self.faults.__contains__
        held = self._held_by_targets()
        mishaps = Mishaps(rng, rng.choice((0.02, 0.1)) if has("refused") else 0.0)
        self.live: dict[tuple[str, ...], System] = {
            schemes: System(
                {Key(key): value for key, value in held.items() if key.partition(":")[0] in schemes},
                mishaps,
                self._wanted,
            )
            for schemes in (("kv",), ("txt", "hdr"))
        }
        self.server = Server(
            LogSettings("mtpo", self.options.order, ()),
            self._kernel(),
            rng.choice((30, 100, 400)) if has("checkpoints") else 1,
        )
        self.ledger = self._ledger = Places(self.world.initial, lambda key: None)
        self.is_watched = has("outside") and is_watched(self.world)
        if self.is_watched:
            add_readers(self.world, rng)
        self.server.observers += [self._hear, self.ledger.take, self.verdict_.note]
        tools = self._tools(rng.choice(("person", "idempotent", "probe")))
        self.hosts: list[Host] = []
        for number in range(rng.choice((1, 2, 2, 3, 4))):
            clock = OwnClock(0.0, 1.0)
            if has("clocks"):
                clock = OwnClock(rng.choice((0.0, -3600.0, 3600.0)), rng.choice((0.98, 1.0, 1.02)))
            local = rng.random() < 0.5
            host = Host(
                f"H{number}",
                self.server,
                self.live,
                self.fates,
                clock,
                local=local,
                order=self.options.order,
                tools=tools,
                on_death=self.on_death,
            )
            self.hosts.append(host)
        self._refuse_remotely(mishaps)
        turns = rng.choice((0, 1, 3))
        pauses.set(lambda: rng.randint(0, turns))
        self.weather = Weather(rng, self.faults, self.fates, self.hosts, list(self.live.values()))

    def _tools(self, deciding: str) -> list[Tool]:
        """Return the tools, some of which tell by themselves whether a run of theirs has had its effect."""

        async def probe(intent: str, /, **arguments: Any) -> Probed | None:
            if self.rng.random() < 0.3:
                return None
            return Probed(intent in self.done, self.done.get(intent))

        found: list[Tool] = []
        for tool in ALL_TOOLS:
            made = copy.copy(tool)
            made.idempotent = deciding == "idempotent"
            if deciding == "probe" and tool.effect == "irreversible":
                made.probe = probe
            found.append(made)
        return found

    def _refuse_remotely(self, mishaps: Mishaps) -> None:
        """Have the system behind declared tools fail now and then, as `failing.unwilling` does."""

        def fails(phase: str) -> bool:
            return (
                not self.fates.calm and not (phase == "exec" and self._has_sent()) and mishaps.strikes(phase)
            )

        self.remote.failing, self.remote.reason = fails, MARK

    def _has_sent(self) -> bool:
        at_work = [agent for agent in self.server.kernel.agents.values() if not agent.ended]
        return any(
            call.has_happened and _GATES[call.tool] == "stage"
            for agent in at_work
            for call in agent.calls.values()
        )

    # ---- running -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._set_up()
        async with anyio.create_task_group() as tasks:
            for host in self.hosts:
                host.on_stop = partial(self._stop, tasks)
                tasks.start_soon(self._keep, host, tasks)
            tasks.start_soon(self.weather.run, self.rng.uniform(30, 400))
            tasks.start_soon(self._watch_over)
            tasks.start_soon(self._decide)
            if self.is_watched:
                tasks.start_soon(self._change)
            async with anyio.create_task_group() as lives:
                for agent in self.agents():
                    lives.start_soon(self._live, agent)
                    if "aborted" in self.faults and self.rng.random() < 0.3:
                        lives.start_soon(self._end, agent.name)
            await self._see_the_end()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for host in self.hosts:
                    await host.end()

    def _stop(self, tasks: TaskGroup, body: Body) -> None:
        tasks.start_soon(self.weather.stop, body)

    def _wanted(self, key: Key) -> Any:
        return self.server.kernel.live_value(key)

    async def _keep(self, host: Host, tasks: TaskGroup) -> None:
        """Have a process on a host, and another one after a while where that has died."""
        while True:
            if not await host.start(tasks):
                await self.weather.pause(self.rng.uniform(0, 20))
                await anyio.sleep(0.1)
                continue
            await host.body.died.wait()
            await host.kill()
            await self.weather.pause(self.rng.choice((0.0, 10.0, 100.0)))

    async def _change(self) -> None:
        """Change the object that only somebody outside does, now and then."""
        while not self.fates.calm:
            await self.weather.pause(self.rng.uniform(0, 40))
            self.live["kv",].outside(WATCHED, self.bystander.next_change())

    async def _watch_over(self) -> None:
        """See that something happens as long as somebody is at work."""
        events_before, since_s = -1, 0.0
        while True:
            await anyio.sleep(20)
            count, now_s = len(self.server.records), anyio.current_time()
            if count > _EVENTS_MAX:
                raise Violation(f"it never ends: {count} events were logged")
            if count != events_before or not self.fates.calm:
                events_before, since_s = count, now_s
            elif now_s - since_s > _QUIET_S_MAX:
                waiting = sorted({*self.world.programs} - {*self.states})
                raise Violation(f"nothing fails any more, and yet nothing happens; at work: {waiting}")

    def agents(self) -> list[ScriptedAgent]:
        found = []
        for name in self.world.programs:
            program = remembering(
                self.world.program(name), self.refused.setdefault(name, set()), marks=_MARKS
            )
            think_s, start_s = self.rng.choice((0.5, 5, 20)), self.rng.choice((0, 0, 0, 30))
            found.append(ScriptedAgent(name, program, think_s=think_s, start_s=start_s))
        return found

    async def _live(self, agent: ScriptedAgent) -> None:
        """Be an agent until it has ended, on one host after another."""
        await anyio.sleep(self.rng.uniform(0, 1) + agent.start_s)
        agent = replace(agent, start_s=0.0)
        while agent.name not in self.states:
            serving = [host for host in self.hosts if host.serves]
            if serving:
                host = self.rng.choice(serving)
                with host.at_work():
                    await self._work_on(host, agent)
            await anyio.sleep(self.rng.uniform(0.5, 20))

    async def _work_on(self, host: Host, agent: ScriptedAgent) -> None:
        domain = host.domain
        await domain.catch_up()
        if all(one.name != agent.name for one in domain.agents):
            session = await self._joined(domain, agent.name)
        else:
            session = await domain.attach(agent.name, force=self.rng.random() < 0.5)
            while runs_here(domain, session):  # what it has begun and was cancelled, it waits for
                await anyio.sleep(1)
        meddling = 0.2 if "meddling" in self.faults else 0.0
        client = Client(agent, domain, session.rank, self.rng, 0.0 if self.fates.calm else meddling)
        client.gives_up = partial(self._give_up, agent.name, domain)
        client.walker.made[:] = [
            Made(call.tool, call.arguments, call.call_id, domain.tools[call.tool].gate == "stage")
            for call in client.session.calls
        ]
        client.walker.distrust()
        self.clients[agent.name] = client
        self.server.observers.append(client.hears)
        await client.run()

    def _give_up(self, name: str, domain: Domain, rank: int) -> None:
        """Note that an agent gives up for what it knows by now: what is seen later is news to nobody."""
        self._ledger.gives_up(rank)
        self.bystander.gives_up(name, domain.kernel.agents[Rank(rank)].calls.values())

    async def _joined(self, domain: Domain, name: str) -> AgentSession:
        if "places" in self.faults and self.rng.random() < 0.5:
            others = [one for one in domain.agents if not one.ended]
            try:
                if others and self.rng.random() < 0.6:
                    return await domain.join(name, after=domain.session(self.rng.choice(others).rank))
                return await domain.join(name, rank=self.rng.randint(0, 6))
            except JoinRefused:
                pass
        return await domain.join(name)

    async def _end(self, name: str) -> None:
        """End an agent in the place of its own process, unless it may have done what stands for ever."""
        await anyio.sleep(self.rng.uniform(0, 150))
        if name in self.lasting or self.fates.calm:
            return
        while name not in self.states:
            serving = [host for host in self.hosts if host.serves]
            if serving:
                host = self.rng.choice(serving)
                with host.at_work():
                    if all(agent.name != name for agent in host.domain.agents):
                        return
                    self.being_ended.add(name)
                    await (await host.domain.oversee(name)).abort(ENDED_FROM_OUTSIDE)
                    return
            # It may have been taken back by half: who was told that it has not ended tries again.
            await anyio.sleep(self.rng.uniform(1, 20))

    def _hear(self, event: Event) -> None:
        kernel = self.server.kernel
        if isinstance(event, events.Joined):
            self.known[event.rank] = event.agent
        elif isinstance(event, events.Finished):
            agent, client = kernel.agents[event.rank], self.clients.get(self.known[event.rank])
            if agent.on_death == "commit" and not (client and client.saw_it_through):
                self.ended_for.add(agent.name)
        elif isinstance(event, events.AbortBegun):  # from now on, what its program makes is for nothing
            self.refused[self.known[event.rank]] = {*self.refused.get(self.known[event.rank], ())}
        elif isinstance(event, events.Committed):
            self.states[self.known[event.rank]] = "committed"
        elif isinstance(event, events.Aborted):
            name = self.known[event.rank]
            self.states[name] = "aborted"
            if event.reason in (REASON, ENDED_FROM_OUTSIDE) or name in self.being_ended:
                self.absent.add(name)
            self.bystander.has_given_up(name)
            # Who gives up for what fails by chance may have sent what it had staged; serially nobody would.
            # Who has waited to send something has, and what lies under that stands with it (rule 8).
            kept = self.kept.get(name, [])
            waited = any(_GATES[call.tool] == "wait" for call in kept)
            if name in self.absent or name in self.ended_for or self.refused.get(name) or waited:
                self._count_late(f"{name}, kept", kept)
        elif isinstance(event, events.ReversalFailed) and (call := kernel.call(event.call_id)):
            self.in_doubt |= dict.fromkeys(call.writes, call)
        elif isinstance(event, events.CallRan) and event.observation.error is None:
            self._hear_of_late(event.call_id)
        for rank, agent in kernel.agents.items():
            if not agent.ended and rank in self.known:
                self.recorded[agent.name] = list(agent.calls.values())
                kept = kernel.kept_calls(agent)
                self.kept[agent.name] = [call for call in kept if call.seen.error is None]
                if self.is_watched:
                    self.bystander.sees(agent.name, agent.calls.values())

    def _hear_of_late(self, call_id: str) -> None:
        """Note a call that ran although its agent had been aborted: it counts as of now, below all others."""
        call = next((one for calls in self.recorded.values() for one in calls if one.id == call_id), None)
        if call is not None and self.states.get(call.agent) == "aborted":
            self._count_late(f"{call.agent}, late: {call_id}", [call])

    def _count_late(self, name: str, calls: list[Call]) -> None:
        self.late[name] = calls
        self._ledger.ended.append(Participant(name, -1, False, Fraction(-1), phase="aborted"))

    # ---- a person ------------------------------------------------------------------------------------------

    async def _decide(self) -> None:
        """Decide what only a person can, now and then."""
        while True:
            await anyio.sleep(self.rng.uniform(1, 60))
            kernel = self.server.kernel
            serving = [host for host in self.hosts if host.serves]
            if not serving or not (kernel.stuck or kernel.unknown):
                continue
            host = self.rng.choice(serving)
            with host.at_work():
                await self._decide_by(host.domain, kernel)

    async def _decide_by(self, domain: Domain, kernel: Mtpo) -> None:
        for key in sorted(kernel.stuck):
            call = self.in_doubt.get(key)
            if call is not None:
                self.remote.mend(key, call.tool, call.arguments, call.seen.prepared)
            await domain.resolve(key, "retry")
        for call in list(kernel.unknown):
            wanted = kernel.call(call.id) is call
            if call.intent not in self.done:
                how = self.rng.choice(("drop", "retry")) if wanted else "drop"
            elif call.irreversible or not wanted:
                how = "accept"
                self.accepted.add(call.id)
            else:
                how = "retry"  # it does nothing, but tells what is needed to take it back
            self.fates.note(f"a person says of {call.id}: {how}")
            await domain.resolve(call.id, how)  # type: ignore[arg-type]  # one of these

    # ---- judging -------------------------------------------------------------------------------------------

    async def _see_the_end(self) -> None:
        """Wait until all is done, and judge it."""
        while not (self.fates.calm and all(host.serves and not host.body.stopped for host in self.hosts)):
            await anyio.sleep(5)
        for host in self.hosts * 3:
            with suppress(LogError):  # what went wrong in the background before; it is tried again
                await host.domain.settle()
        kernel = self.server.kernel
        while kernel.stuck or kernel.unknown or kernel.ready().apply:
            await anyio.sleep(5)  # `_watch_over` sees that this ends
        for host in self.hosts:
            await host.domain.settle()
        domain = self.hosts[0].domain
        made = domain.kernel
        assert isinstance(made, Mtpo), "such runs are of Mtpo"
        check_log(self.server, made, self._kernel(), dump)
        self._report()
        live = {str(key): value for one in self.live.values() for key, value in one.objects.items()}
        self._judge_all(domain, made, live)

    def _report(self) -> None:
        reports = []
        for rank, name in sorted(self.known.items()):
            client = self.clients.get(name)
            report = AgentReport(name, rank) if client is None else client.report
            state = self.states[name]
            assert state in ("committed", "aborted"), "it has ended"
            report.state = state  # type: ignore[assignment]
            reports.append(report)
        self.verdict_.reports = reports

    def _judge_all(self, domain: Domain, kernel: Mtpo, live: dict[str, Any]) -> None:
        kernel.check_invariants()
        if kernel._objects.trajectories:
            raise Violation(f"still tracked at the end: {sorted(kernel._objects.trajectories)}")
        if not domain.quiescent:
            raise Violation("all agents have ended, but the domain is not quiescent")
        check_order(self._ledger, self.options.order)
        serial = self._serial([one.name for one in self._ledger.ended])
        left = {f"{SENT}{name}" for name in self.states if self.states[name] == "aborted"}  # as effects
        live = {key: value for key, value in (live | self.remote.objects).items() if key not in left}
        serial.state = {key: value for key, value in serial.state.items() if key not in left}
        grouped = self.options.order == "early" or "places" in self.faults
        check_outcome(live, self.effects, self.verdict_.reports, serial, self.absent, grouped=grouped)
        if self.remote.faults:
            raise Violation(self.remote.faults[0])
        check_once(self.effects)
        self.verdict_.events = len(self.server.records)
        check_notices(self.verdict_.reports, lambda cause, rank: True)

    def _serial(self, order: list[str]) -> SerialRun:
        pauses.set(lambda: 0)
        turns = [Turn(name, self._program_of(name)) for name in order if name not in self.absent]
        serial = run_history(self.world.initial, self.bystander.history(turns), ALL_TOOLS)
        # What an abort could not take back its agent may have sent in its own turn, too, before it gave up.
        once: dict[Any, Any] = {}
        for effect in serial.effects:
            once.setdefault(effect[:2], effect)
        serial.effects[:] = [one for one in once.values() if one[0] not in self.absent]
        return serial

    def _program_of(self, name: str) -> Program:
        """Return what an agent has done: its program, or what it had done of it when its process died."""
        if name in self.late:
            return recorded(self.late[name])
        client = self.clients.get(name)
        if self.states[name] == "committed" and (client is None or not client.saw_it_through):
            return recorded(self.recorded.get(name, []))
        unheard = {
            number
            for number, made in enumerate(client.walker.made if client is not None else ())
            if made.call_id in self.accepted and not made.staged
        }
        return repeating(self.world.program(name), self.refused.get(name, set()), unheard)
