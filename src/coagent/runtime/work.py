"""The outstanding work of a domain: what the kernel wants done, done by this process as far as it can.

Work is done in pieces, each in a task of its own, and only what conflicts waits: a call that runs again for a
minute holds up its own agent and whoever reads what it wrote, nobody else. A caller waits a moment for all
work, so that what follows from its call is usually done when the call returns, and for its own effects as
long as it takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

import anyio
import anyio.to_thread

from coagent.errors import TargetError
from coagent.protocol.calls import Call, CallId, Rank
from coagent.protocol.events import CallBegun, Committed, Event, Promoted, ReversalBegun, RunBegun
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.runtime.clock import VirtualClock
from coagent.runtime.runner import Parts, Runner
from coagent.runtime.unheard import seen_to
from coagent.tools.base import Kind, Tool

GRACE_S = 1.0
"""For how long, in seconds, a call waits for work that was begun before it."""
NEXT_S = 0.5
"""For how long, in seconds, a call waits for work that follows from it and is not its own."""


def all_ended(kernel: Kernel) -> bool:
    """Tell whether every agent has ended, and every effect has reached its target."""
    return all(agent.ended for agent in kernel.agents.values()) and not kernel.ready().apply


class Work:
    """Does the outstanding work.

    Args:
        parts: The domain's.
        runners: One for each kind of tool.
    """

    def __init__(self, parts: Parts, runners: dict[Kind, Runner]) -> None:
        self._parts = parts
        self.runners = runners
        self._running: dict[CallId, Rank] = {}
        self._committing: set[Rank] = set()
        self._pieces: dict[int, float] = {}  # by number, when each was begun
        self._begun = 0
        self._progress: anyio.Event | None = None
        parts.effects.on_delay = parts.effects.on_taken = self._note_progress
        parts.recorder.puts.on_late = lambda late: self._start(parts.effects.mend, late)
        parts.recorder.on_unheard = self._see_to_unheard
        self._set_aside: dict[CallId | Rank, int] = {}
        self._hindered: set[Rank] = set()
        """Agents whose turn has come, and which cannot go on: a target that they rest on is away."""
        self._at_gate: list[Rank] = []
        """Agents of this process that wait for an irreversible call to run, or run one."""
        self._failure: Exception | None = None
        """What went wrong in the background, for the next caller."""

    def runner(self, tool: Tool) -> Runner:
        """Return what runs a tool."""
        return self.runners[tool.kind]

    def runner_of(self, call: Call) -> Runner:
        """Return what runs a call, also one whose tool is not here."""
        tool = self._parts.catalog.find(call.tool)
        kind: Kind = "declared" if call.declared else "native"
        return self.runners[kind if tool is None else tool.kind]

    # ---- doing it ------------------------------------------------------------------------------------------

    async def settle(self, own: Collection[Key] = (), of: Rank | None = None, *, all: bool = False) -> None:
        """Do the outstanding work.

        Args:
            all: Whether to wait until nothing is left that this process can do.
            own: The objects that the caller has written: it waits for them, as long as their targets can be
                borne with.
            of: The agent that calls: it waits for its own calls that run again, and for its commit, if its
                turn has come, but no longer than a moment for what others go on beginning.

        Raises:
            LogError: The log cannot be written.
        """
        await self._settle(own, of, all)
        if self._parts.copies.behind:
            with contextlib.suppress(TargetError):  # whoever comes next to call is told, if it is so still
                await self._parts.copies.bring()
        for target in self._parts.targets.all:
            if target.keeps and all_ended(self._parts.kernel):
                await anyio.to_thread.run_sync(target.settled)

    async def _settle(self, own: Collection[Key], of: Rank | None, all: bool) -> None:
        parts = self._parts
        nothing_begun = not (all and self._pieces)
        if not (
            nothing_begun
            and not parts.kernel.has_work
            and (
                not parts.kernel.has_effects
                or (await parts.effects.apply_at_once() and not parts.kernel.has_work)
            )
        ):
            self.advance()
            if self._pieces:
                await self._wait(own, of, all)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def advance(self) -> None:
        """Start whatever this process can do, without waiting for it."""
        kernel, parts = self._parts.kernel, self._parts
        if not kernel.has_work and not kernel.has_effects:
            return
        ready = kernel.ready()
        for call in ready.reexecute:
            self._start_call(call, self._reexecute)
        for target in parts.effects.startable(ready.apply):
            parts.effects.begin(target)
            self._start(parts.effects.apply, target)
        if ready.promote is not None:
            for rank, _ in kernel.passers():
                if rank not in self._hindered:
                    self._start_turn(rank, self._promote)
                    break
                self._start_turn(rank, self._pass_hindered)  # it passes nobody only to wait again
        run, commit = ready.run, ready.commit
        if run is not None and parts.recorder.serves(kernel.agents[run.rank]):
            self._start_call(run, self._run_staged)
        if commit is not None:
            self._start_turn(commit, self._commit)
        turn = commit if run is None else run.rank
        if turn in self._hindered:
            for rank, _ in kernel.passers():
                self._start_turn(rank, self._pass_hindered)

    def _start_call(self, call: Call, act: Callable[[Call], Awaitable[None]]) -> None:
        if call.id in self._running or self._set_aside.get(call.id) == self._parts.kernel.steps:
            return
        if self._parts.catalog.find(call.tool) is None:
            return  # another process has the tool
        self._running[call.id] = call.rank

        async def run() -> None:
            try:
                await act(call)
            except TargetError:
                # Something is in the way, or the target is away: again when something has changed.
                self._set_aside[call.id] = self._parts.kernel.steps
            finally:
                del self._running[call.id]

        self._start(run)

    def _start_turn(self, rank: Rank, act: Callable[[Rank], Awaitable[None]]) -> None:
        if rank in self._committing or self._set_aside.get(rank) == self._parts.kernel.steps:
            return
        self._committing.add(rank)

        async def run() -> None:
            try:
                await act(rank)
            except TargetError:
                self._set_aside[rank] = self._parts.kernel.steps
            finally:
                self._committing.discard(rank)

        self._start(run)

    def _start(self, act: Callable[..., Awaitable[None]], *arguments: object) -> None:
        self._begun += 1
        number = self._begun
        self._pieces[number] = self._parts.clock.now_s()

        async def piece() -> None:
            try:
                await act(*arguments)
            except Exception as failure:  # a log that cannot be written, or a defect: the next caller is told
                self.fail(failure)
            finally:
                del self._pieces[number]
                self._note_progress()
            if self._failure is None:
                self.advance()

        self._parts.tasks.start(piece)

    def fail(self, failure: Exception) -> None:
        """Have the next caller told of what went wrong in the background."""
        self._failure = failure
        self._note_progress()
        self._parts.recorder.wake()

    @property
    def failed(self) -> bool:
        """Whether something went wrong in the background of which the next caller is told."""
        return self._failure is not None

    def _note_progress(self) -> None:
        if self._progress is not None:
            self._progress.set()
            self._progress = None

    def retry(self) -> None:
        """Try again what was set aside because something was in the way; to be called now and then."""
        self._set_aside.clear()
        self.advance()

    # ---- pieces --------------------------------------------------------------------------------------------

    def _see_to_unheard(self, event: Event) -> None:
        """See to a run that has begun by the log, though whoever began it was told that it may not have."""
        if isinstance(event, CallBegun | RunBegun | ReversalBegun):
            self._start(seen_to, self._parts, self.runner_of, event)

    async def _reexecute(self, call: Call) -> None:
        tool = self._parts.catalog.get(call.tool)
        await self.runner(tool).reexecute(call, tool)

    async def _run_staged(self, call: Call) -> None:
        parts = self._parts
        await parts.recorder.flush()  # what is known to have arrived comes before it in the log
        if await self._rests_on_change(call.rank):
            return
        tool = self._parts.catalog.get(call.tool)
        await self.runner(tool).run_staged(call, tool)

    async def run_staged(self, call: Call) -> None:
        """Run a staged call ahead of its agent's commit; only where nothing below can change any more."""
        await self.settle()
        await self._run_staged(call)
        await self.settle()

    async def _promote(self, rank: Rank) -> None:
        """Let an agent pass those below it, if it may (rule 10)."""
        kernel = self._parts.kernel

        def decide() -> Event | None:
            agent = kernel.agents.get(rank)
            order = None if agent is None or agent.ended else kernel.promotion(agent)
            return None if order is None else Promoted(rank, order)

        await self._parts.recorder.record(decide)

    @contextmanager
    def at_the_gate(self, rank: Rank) -> Iterator[None]:
        """Note that an agent waits for an irreversible call to run, and then runs it."""
        self._at_gate.append(rank)
        try:
            yield
        finally:
            self._at_gate.remove(rank)
            self._parts.recorder.wake()

    def may_pass(self, agent: Participant) -> bool:
        """Tell whether an agent at the gate may pass those below it (rule 10).

        As for those that are about to commit: nobody who has something to do at once is passed, unless it
        cannot because a target is away.
        """
        kernel = self._parts.kernel
        if kernel.promotion(agent) is None:
            return False
        others = [kernel.agents.get(rank) for rank in self._at_gate if rank != agent.rank]
        if any(other is not None and kernel.its_turn(other) for other in others):
            return False
        ready = kernel.ready()
        turn = ready.commit if ready.run is None else ready.run.rank
        return turn is None or turn in self._hindered

    async def pass_others(self, agent: Participant) -> None:
        """Let an agent at the gate pass those below it, if it may."""

        def decide() -> Event | None:
            order = self._parts.kernel.promotion(agent) if self.may_pass(agent) else None
            return None if order is None else Promoted(agent.rank, order)

        await self._parts.recorder.record(decide)

    async def _pass_hindered(self, rank: Rank) -> None:
        """Let an agent pass one that cannot go on, where itself it can (rule 10).

        What it rests on is looked at first: two that are both hindered would pass each other for ever. So
        within one process each pass takes a target that came back in between. Of two processes, each of
        which reaches only what the other one's agent rests on, both could let the other's pass again and
        again, as long as that lasts; nothing but these passes is recorded then.
        """
        kernel, parts = self._parts.kernel, self._parts
        await parts.recorder.flush()
        if await parts.rests_on_change(kernel.agents[rank]):
            return
        await parts.recorder.record(
            lambda: next((Promoted(*one) for one in kernel.passers() if one[0] == rank), None)
        )

    async def _commit(self, rank: Rank) -> None:
        """Commit an agent, once everything that it rests on has been looked at in its target."""
        kernel, parts = self._parts.kernel, self._parts
        await parts.recorder.flush()
        if await self._rests_on_change(rank):
            return

        def decide() -> Event | None:
            return Committed(rank) if kernel.ready().commit == rank else None

        await parts.recorder.record(decide)

    async def _rests_on_change(self, rank: Rank) -> bool:
        """Look whether somebody outside has changed what an agent rests on whose turn has come.

        Where that cannot be told, it is noted, so that others may pass.

        Raises:
            TargetError: Something cannot be read.
        """
        try:
            changed = await self._parts.rests_on_change(self._parts.kernel.agents[rank])
        except TargetError:
            if rank not in self._hindered:
                self._hindered.add(rank)
                self._parts.recorder.wake()  # it may be passed now
            raise
        self._hindered.discard(rank)
        return changed

    # ---- waiting -------------------------------------------------------------------------------------------

    async def _wait(self, own: Collection[Key], of: Rank | None, all: bool) -> None:
        """Wait for what is the caller's own, and a moment for what was begun just now."""
        parts = self._parts
        patient = all or isinstance(parts.clock, VirtualClock)  # virtual time stands still meanwhile
        started_s, known = parts.clock.now_s(), self._begun
        ran_s = started_s
        while self._pieces and self._failure is None:
            now_s = parts.clock.now_s()
            # What follows from it is mostly done at once; but under many agents something always begins next,
            # such as their commits: of 200 agents, each waited for all the others. Calls that run again take
            # their time, and whoever sees them by half hears more of them: A's write has B's two commits made
            # again, and A returns when both are there, not between them.
            ran_s = now_s if self._running else ran_s
            next_s = min(ran_s + NEXT_S, started_s + GRACE_S)
            next_s = max(self._pieces.values()) + GRACE_S if of is None else next_s
            until_s = (
                begun_s + GRACE_S if number <= known else min(begun_s + GRACE_S, next_s)
                for number, begun_s in self._pieces.items()
            )
            left_s = max(until_s) - now_s
            if parts.effects.hopeless(own):
                return
            if of in self._running.values():
                left_s = max(left_s, started_s + GRACE_S - now_s)
            if of in self._committing or any(key in parts.effects.under_way for key in own):
                left_s = max(left_s, started_s + parts.patience.limit_s - now_s)
            if not patient and left_s <= 0:
                return
            self._progress = self._progress or anyio.Event()
            if patient:
                await self._progress.wait()
            else:
                with anyio.move_on_after(left_s):
                    await self._progress.wait()
