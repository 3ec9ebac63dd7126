"""Domain: one shared state under one serialization order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from coagent.errors import ConfigurationError, JoinRefused, LogError
from coagent.log.base import Log, LogSettings
from coagent.log.open import begun_with, open_log
from coagent.log.urls import shown_url
from coagent.protocol.calls import Rank
from coagent.protocol.checkpoint import restore
from coagent.protocol.events import Event, Joined, OnDeath
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.values import Value
from coagent.runtime.agent_names import check_name
from coagent.runtime.attending import attend, tidied
from coagent.runtime.catalog import Catalog, flattened
from coagent.runtime.clock import Clock, RealClock, VirtualClock
from coagent.runtime.copies import Copies, checked_identities, replicas_of
from coagent.runtime.deciding import Decision, Decisions
from coagent.runtime.declared import DeclaredRunner
from coagent.runtime.effects import Effects
from coagent.runtime.native import NativeRunner
from coagent.runtime.observing import Instrument
from coagent.runtime.opaque import Opaque
from coagent.runtime.orders import Order, check_choice, checked_order
from coagent.runtime.outsiders import Outsiders
from coagent.runtime.owning import attached, detach_all, named
from coagent.runtime.patience import LIMIT_S_DEFAULT, Patience
from coagent.runtime.protocols import PROTOCOLS
from coagent.runtime.reader import Targets
from coagent.runtime.recorder import Recorder
from coagent.runtime.recovery import Recovery
from coagent.runtime.runner import Parts
from coagent.runtime.session import AgentSession
from coagent.runtime.tasks import Tasks
from coagent.runtime.tenure import Tenure
from coagent.runtime.work import Work, all_ended
from coagent.targets.base import Target
from coagent.tools.base import Tool

_TIDIED_AT_END_MAX = 3


class Domain:
    """One shared state. Use it as `async with open_domain(...) as domain`, entered and left by one task."""

    attends = True
    """Whether it looks by itself at what nobody has told it; a simulation says when."""

    def __init__(
        self,
        url: str,
        *,
        targets: Iterable[Target],
        tools: Iterable[Any],
        protocol: str,
        order: Order | None,
        clock: Clock | None,
        patience_s: float,
        on_death: OnDeath = "abort",
    ) -> None:
        check_choice("protocol", protocol, PROTOCOLS)
        checked_order(order)
        self.url = url
        self.protocol = protocol
        self.order = order
        self.clock = clock or RealClock()
        self._catalog = Catalog()
        self._opaque = Opaque()
        self._targets = Targets([*targets, self._opaque])
        self._patience = Patience(self.clock, patience_s)
        self.add_tools(tools)
        self._spares: list[Callable[[Key], bool]] = []
        self._open: _Open | None = None
        self.instrument: Instrument | None = None
        """Who looks on at what agents do here, if anybody; to be set before the domain is entered."""
        self.keeps_words = True
        """Whether the log is to hold what agents say (`AgentSession.say`); likewise."""
        self._abandoned = False
        self.on_death = on_death
        """What becomes of the unfinished agents that join here, should this process die."""

    async def __aenter__(self) -> Domain:
        if self.order is None:
            begun = begun_with(self.url)
            self.order = "early" if begun is not None and begun.order == "early" else "fixed"
        about = LogSettings(self.protocol, self.order, checked_identities(self._targets.all, self.url))
        log = await open_log(self.url, about, self._patience.limit_s)
        if log.shared and isinstance(self.clock, VirtualClock):
            await log.close()
            raise ConfigurationError(
                f"log {shown_url(self.url)!r} is shared with other processes, which know of no virtual clock",
                "Use 'memory:' with a virtual clock, or the real clock.",
            )
        try:
            self._open = await self._assembled(log)
        except BaseException:
            await log.close()
            raise
        return self

    async def _assembled(self, log: Log) -> _Open:
        """Put the parts together, and bring them to where the log is."""
        fresh = partial(PROTOCOLS[self.protocol], early=self.order == "early", commits_itself=log.by_itself)
        kernel = fresh()
        saved = await log.checkpoint()
        if saved is not None:
            restore(kernel, saved.state)
        recorder = Recorder(kernel, log, self.clock, replicas_of(self._targets.all, log), self._tenure(log))
        recorder.waiting.keeps_words = self.keeps_words
        if log.shared:
            recorder.puts.schemes = self._targets.late
        copies = Copies(kernel, recorder, self._targets.all, self.clock)
        effects = Effects(kernel, recorder, self._targets, self._patience)
        outsiders = Outsiders(
            kernel, recorder, self._targets, self._patience, effects.takes_back, self._spares
        )
        tasks = Tasks()
        shared = (self._targets, self._catalog, self.clock, self._patience)
        parts = Parts(kernel, recorder, *shared, outsiders, effects, tasks, copies)
        looked_at = None if self.instrument is None else self.instrument.began(self, parts)
        work = Work(parts, looked_at or {"native": NativeRunner(parts), "declared": DeclaredRunner(parts)})
        parts.advance = work.advance
        await copies.open(self.url, fresh)
        if log.by_itself:
            await self._bring_up_to_date(kernel, recorder)
        decisions = Decisions(parts, work)
        recovery = Recovery(parts, work, decisions)
        await tasks.open()
        try:
            await recorder.tenure.begin()
            if log.shared:
                tasks.start(recorder.tenure.keep)
            await recovery.recover()
            if self.attends and not isinstance(self.clock, VirtualClock):
                tasks.start(attend, parts, work, recovery)
                tasks.start(log.attend)
            await work.settle()
        except BaseException:
            await tasks.close(at_once=True)
            raise
        return _Open(log, parts, work, recovery, decisions)

    def _tenure(self, log: Log) -> Tenure:
        return Tenure(log)

    async def _bring_up_to_date(self, kernel: Mtpo, recorder: Recorder) -> None:
        """Go on with a log of format 1 in the format of today."""
        if not kernel.resumable:
            raise LogError(
                f"log {shown_url(self.url)!r} has an older format, with which {self.protocol!r} cannot go on",
                "Name another log.",
            )
        kernel.commits_itself = False
        await recorder.keep_checkpoint(whatever=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened = self._opened
        try:
            try:
                if kind is None and not self._abandoned:
                    await opened.parts.recorder.flush()
                    await opened.work.settle()
            finally:
                await opened.parts.tasks.close(at_once=self._abandoned)
            if not self._abandoned:
                await opened.parts.effects.flush_last()
                await opened.parts.copies.keep(whatever=True)
                await detach_all(opened.parts, opened.recovery.adopted)
                await opened.parts.recorder.keep_checkpoint()
                for _ in range(_TIDIED_AT_END_MAX):
                    await tidied(opened.log)
        finally:
            self._open = None  # only now: observers may ask while the last events are recorded
            if self.instrument is not None:
                self.instrument.ended()
            await opened.log.close()
            for target in self._targets.all:
                await target.close()

    def abandon(self) -> None:
        """Have the domain end as that of a killed process does: nothing more is recorded. For simulations."""
        self._abandoned = True

    @property
    def _opened(self) -> _Open:
        if self._open is None:
            raise ConfigurationError(
                "the domain is not open", "Use `async with coagent.open_domain(...) as domain:`."
            )
        return self._open

    # ---- agents --------------------------------------------------------------------------------------------

    async def join(
        self, name: str, *, rank: int | None = None, after: AgentSession | None = None
    ) -> AgentSession:
        """Take a place in the serialization order.

        Args:
            name: Unique among the agents that have not ended.
            rank: A pinned rank; by default the next one after all others. An agent may be pinned below
                another one only as long as that one has not called anything. With order "early", nobody
                passes an agent that is pinned.
            after: Another agent, which has not ended: the new one comes right after it, before all who come
                after it so far, as a sub-agent works between what its parent did before and does after.

        Returns:
            The agent's session.

        Raises:
            JoinRefused: The name or rank is taken, the rank lies below work already done, or the agent after
                which it is to come has ended.
        """
        parts = self._opened.parts
        kernel = parts.kernel
        check_name(name)
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 0):
            raise JoinRefused(f"rank {rank!r} is not a whole number from 0 on")
        await parts.recorder.tenure.assure()
        await parts.recorder.flush()
        await parts.recorder.catch_up()

        if rank is not None and after is not None:
            raise JoinRefused("an agent has a rank of its own, or comes after another one", "Leave one out.")
        place = None if after is None else after.rank

        def decide() -> Event:
            pinned = None if rank is None else Rank(rank)
            refusal = kernel.refusal(name, pinned, place)
            if refusal is not None:
                raise JoinRefused(refusal, "Join under another name, or without a place to come last.")
            given = kernel.next_rank() if pinned is None else pinned
            is_pinned = pinned is not None if place is None else kernel.agents[place].pinned
            return Joined(name, given, is_pinned, place, parts.recorder.tenure.owner, self.on_death)

        made = await parts.recorder.record(decide)
        assert isinstance(made, Participant), "an agent has joined"
        return self._session(made)

    async def attach(self, name: str, *, force: bool = False) -> AgentSession:
        """Return a session for an agent that joined before, in this process or in one that has ended.

        From then on it is this process'; what another one would do in its name is refused.

        Args:
            name: The agent's.
            force: Also where the process that serves it lives.

        Raises:
            UnknownAgent: No agent of that name is active.
            JoinRefused: Another process serves it, and lives.
        """
        opened = self._opened
        await opened.parts.recorder.catch_up()
        await opened.recovery.recover()
        participant = await attached(opened.parts, named(opened.parts, name), self.on_death, force=force)
        opened.recovery.release(participant.rank)
        return self._session(participant)

    async def oversee(self, name: str) -> AgentSession:
        """Return a session by which calls of an agent can be taken back, or it be ended, whoever serves it.

        Raises:
            UnknownAgent: No agent of that name is active.
        """
        parts = self._opened.parts
        await parts.recorder.catch_up()
        participant = named(parts, name)
        parts.recorder.overseen.add(participant.rank)
        return self._session(participant)

    def session(self, rank: Rank) -> AgentSession:
        """Return a session for an agent by its rank, also for one that ended a while ago; for simulations."""
        return self._session(self.kernel.agents[rank])

    def _session(self, participant: Participant) -> AgentSession:
        opened = self._opened
        made = AgentSession if self.instrument is None else self.instrument.session
        return made(opened.parts, opened.work, participant)

    @property
    def agents(self) -> list[Participant]:
        """The agents that have not ended, and those that ended last, in rank order."""
        return [agent for _, agent in sorted(self.kernel.agents.items())]

    # ---- the state -----------------------------------------------------------------------------------------

    @property
    def kernel(self) -> Kernel:
        """The protocol's state, to look at: for audits, simulations and tests."""
        return self._opened.parts.kernel

    @property
    def targets(self) -> Targets:
        """The live systems, by scheme."""
        return self._targets

    @property
    def tools(self) -> dict[str, Tool]:
        """What agents may call, by name."""
        return self._catalog.tools

    @property
    def events(self) -> int:
        """How many events the log holds."""
        return self._opened.log.head

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Have every event shown to an observer from now on, right after the kernel has taken it."""
        self._opened.parts.recorder.observers.append(observer)

    async def settle(self) -> None:
        """Take what other processes have recorded, and do the outstanding work, all that this process can.

        Raises:
            LogError: The log cannot be written.
        """
        opened = self._opened
        await opened.parts.recorder.catch_up()
        await opened.parts.recorder.flush()  # what turns out to have arrived too late is work as well
        opened.work.retry()
        await opened.work.settle(all=True)
        await opened.parts.recorder.flush()

    async def flush(self) -> None:
        """Make durable what agents were told so far; for gateways, before they answer another process."""
        await self._opened.parts.recorder.flush()

    async def catch_up(self) -> None:
        """Take what other processes have recorded."""
        await self._opened.parts.recorder.catch_up()

    async def look(self, key: str) -> bool:
        """Look whether somebody outside has changed an object that agents have read or written (rule 9).

        Returns:
            Whether somebody had.

        Raises:
            TargetError: The object cannot be read.
        """
        opened = self._opened
        found = await opened.parts.outsiders.look_at(self._targets.of(key).canonical(key))
        await opened.work.settle()
        return found

    async def claim(self, key: str, person: str = "") -> Value:
        """Record what is there of an object as put or accepted by a person, and return it."""
        found = await self._opened.parts.outsiders.claim(self._targets.of(key).canonical(key), person)
        await self._opened.work.settle()
        return found

    def spare(self, spares: Callable[[Key], bool]) -> None:
        """Have it known that some changes of objects are no outside writes.

        Args:
            spares: Tells of an object whether somebody of the domain is changing it by other means just now,
                such as a client's own tools, and will say so.
        """
        self._spares.append(spares)

    async def look_around(self) -> bool:
        """Ask every target what others may have changed, and look at it.

        Returns:
            Whether somebody had changed something.

        Raises:
            TargetError: A target cannot be asked.
        """
        opened = self._opened
        found = await opened.parts.outsiders.look_around()
        await opened.work.settle()
        return found

    async def resolve(self, what: str, how: Decision) -> None:
        """Decide about a stuck object, or about a call of which nobody knows whether it has run.

        Args:
            what: One of `kernel.stuck`, or the id of one of `kernel.unknown`.
            how: Of an object: "retry": put again what it should hold; "accept": take what it holds for that.
                Of a call: "retry": run it again, under the name it had; "accept": it has run; "drop": it has
                not, and shall not.

        Raises:
            ConfigurationError: There is nothing of that name to decide about so.
            TargetError: The object cannot be read.
        """
        await self._opened.decisions.resolve(what, how)

    @property
    def quiescent(self) -> bool:
        """Whether every agent has ended and every effect has reached its target."""
        return all_ended(self.kernel)

    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        """Return the live state of all targets under a prefix."""
        found: dict[str, Value] = {}
        for target in self._targets.all:
            if not prefix or any(prefix.startswith(f"{scheme}:") for scheme in target.schemes):
                found.update(target.snapshot(prefix))
        return found

    def add_tools(self, tools: Iterable[Any]) -> None:
        """Offer further tools to the agents, from their next call on.

        A process that shares the log needs them too, to run their calls again.

        Raises:
            ConfigurationError: Two tools of one name, or something that is no tool.
            FootprintViolation: A declared tool writes what a target owns.
        """
        for tool in flattened(tools):
            if tool.name in self.tools:
                raise ConfigurationError(
                    f"two tools are named {tool.name!r}", "Rename one with @tool(name=...)."
                )
            self._targets.extend(self._opaque, tool.schemes)
            self.tools[tool.name] = tool
            tool.offered(self.add_tools)


class _Open(NamedTuple):
    """What a domain has while it is open."""

    log: Log
    parts: Parts
    work: Work
    recovery: Recovery
    decisions: Decisions


def open_domain(
    url: str = "memory:",
    *,
    targets: Iterable[Target] = (),
    tools: Iterable[Any] = (),
    protocol: str = "mtpo",
    order: Order | None = None,
    clock: Clock | None = None,
    patience_s: float = LIMIT_S_DEFAULT,
    on_death: OnDeath = "abort",
) -> Domain:
    """Open a domain: one shared state under one serialization order.

    No target need be there: what is outstanding is done when they are.

    Args:
        url: Its log: `memory:`; `sqlite:PATH`, which other processes of this host may open too; or
            `postgresql://USER@HOST/DATABASE`, for processes of many hosts (docs/deploy.md).
        targets: The live systems; each owns the keys of its schemes.
        tools: What agents may call: functions made with `@tool`, or collections of them.
        protocol: "mtpo", or a baseline: "serial", "naive", "2pl", "occ".
        order: "fixed": agents count in the order of their ranks. "early": a finished agent need not wait for
            lower ones that it has nothing to do with; it passes them (rule 10). A log keeps the one that it
            was begun with; None: that one, and "fixed" for a new log.
        clock: For agents that think; the real clock by default.
        patience_s: For how long a call waits for a target or a log's server that is away, in seconds.
        on_death: What becomes of the unfinished agents that join here, should this process die: whichever
            process comes next has them aborted ("abort"), has what is complete count as finished ("commit"),
            or leaves them to whoever attaches to them ("keep"). Finished ones are committed in any case.

    Returns:
        The domain, to be entered with `async with`. An existing log is resumed where it ended.

    Raises:
        ConfigurationError: Unknown protocol or log engine, two tools of one name, something that is no tool;
            on entering: the log was begun with another protocol or order.
        FootprintViolation: Two targets own one scheme.
        LogError: On entering: the log is damaged, comes from a newer version, belongs to other targets, or
            cannot be opened.
    """
    return Domain(
        url,
        targets=targets,
        tools=tools,
        protocol=protocol,
        order=order,
        clock=clock,
        patience_s=patience_s,
        on_death=on_death,
    )
