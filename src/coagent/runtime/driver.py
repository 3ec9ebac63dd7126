"""Carries out what the kernel decides: decisions to the log, to tools and to targets, and their answers back.

The duties that `Ready` names are kept here and nowhere else: an event is in the log before the kernel takes
it, a write is in the log before its effect is applied, and no effect is applied while a call waits for its
re-execution.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import anyio

from coagent.errors import AgentRestarted, TargetError, ToolFailed
from coagent.log.base import HeadMoved, Log
from coagent.protocol.calls import Call, Observation, Position
from coagent.protocol.decisions import Effect
from coagent.protocol.events import (
    Blocked,
    CallObserved,
    CallReexecuted,
    EffectApplied,
    EffectRefused,
    Event,
    OutsideWrite,
    Restarted,
    StagedRan,
    StagedStarted,
)
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.values import Value, same
from coagent.runtime.clock import Clock
from coagent.runtime.declared import DeclaredRunner
from coagent.runtime.outcomes import Run, plain, told
from coagent.runtime.reader import PositionReader, Targets
from coagent.targets.base import GuardFailed
from coagent.tools.declared import DeclaredTool
from coagent.tools.native import NativeTool
from coagent.tools.state import State

_WATCH_INTERVAL_S = 0.02

Tool: TypeAlias = NativeTool | DeclaredTool
"""What agents call."""


class Driver:
    """The loop between kernel, log, tools and targets of one process."""

    def __init__(
        self, kernel: Kernel, log: Log, targets: Targets, tools: dict[str, Tool], clock: Clock
    ) -> None:
        self.kernel = kernel
        self.log = log
        self.targets = targets
        self.tools = tools
        self.clock = clock
        self.declared = DeclaredRunner(self)
        self.observers: list[Callable[[Event], None]] = []
        self.local: set[int] = set()
        """The ranks of the agents whose sessions live in this process."""
        self._acknowledgements: list[Event] = []
        self._applied: dict[Key, int] = {}
        self._changed: anyio.Event | None = None
        self._pumping = False
        self._pumped: anyio.Event | None = None
        self._replicas = (
            [target for target in targets.all if hasattr(target, "replicate")] if log.shared else []
        )

    # ---- the log -------------------------------------------------------------------------------------------

    def record(self, event: Event) -> None:
        """Append an event and let the kernel take it.

        Raises:
            HeadMoved: Another process appended first; catch up and decide anew.
            LogError: The log cannot be written; nothing has happened.
        """
        if self._acknowledgements:
            # Last, because the event was decided while those objects were still tracked.
            events = [event, *self._acknowledgements]
            self.log.append(events)
            self._acknowledgements.clear()
            for one in events:
                self._take(one)
        else:
            self.log.append((event,))
            self._take(event)

    def _take(self, event: Event) -> None:
        self.kernel.step(event)
        if self._applied and type(event) is EffectApplied and self._applied.get(event.key) == event.version:
            del self._applied[event.key]
        for observer in self.observers:
            observer(event)
        for key, value in self.kernel.take_live_changes():
            for replica in self._replicas:
                if key[: key.find(":")] in replica.schemes:
                    replica.replicate(key, value)
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def record_when(self, decide: Callable[[], Event | None]) -> bool:
        """Record what `decide` returns, deciding anew as long as other processes come first.

        Returns:
            Whether an event was recorded; False where `decide` returned None.
        """
        while True:
            event = decide()
            if event is None:
                return False
            try:
                self.record(event)
            except HeadMoved:
                self.catch_up()
            else:
                return True

    def catch_up(self) -> None:
        """Take what other processes have appended."""
        if self.log.shared:
            for event in self.log.read():
                self._take(event)

    def flush(self) -> None:
        """Append the acknowledgements that wait for the next event."""
        while self._acknowledgements:
            try:
                self.record(self._acknowledgements.pop())
            except HeadMoved:
                self.catch_up()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; it is looked at after every event, from any process."""
        while not condition():
            if self._changed is None:
                self._changed = anyio.Event()
            if not self.log.shared:
                await self.clock.wait(self._changed)
                continue
            with anyio.move_on_after(_WATCH_INTERVAL_S):
                await self._changed.wait()
            self.catch_up()
            await self.pump()
            self.flush()  # others may be waiting for just these acknowledgements

    # ---- running tools -------------------------------------------------------------------------------------

    async def perform(
        self, agent: Participant, tool: Tool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> tuple[Call, Exception | None]:
        """Run a tool at the end of the agent's sequence and record it.

        A run that saw what is no longer so when it ends is thrown away and run again: it has changed nothing.
        """
        if isinstance(tool, DeclaredTool):
            return await self.declared.perform(agent, tool, arguments, checked)
        kernel = self.kernel
        once = tool.effect == "irreversible"
        while True:
            position, forgotten = kernel.position(agent), kernel.forgotten
            run = await self.observe(tool, checked, position)
            if not once and not self._still(run.observation, agent, position, forgotten):
                continue
            if kernel.locks and await self._blocked(agent, run.observation):
                continue
            event = CallObserved(agent.rank, tool.name, arguments, run.observation, once)
            try:
                self.record(event)
            except HeadMoved:
                self.catch_up()
                if not once:
                    continue
                self.record_when(lambda event=event: event)  # type: ignore[misc]
            call = next(reversed(agent.calls.values()))
            return call, run.failure

    async def _blocked(self, agent: Participant, observation: Observation) -> bool:
        """Wait until the locks that a run needs may be free; False where they are free now."""
        kernel = self.kernel
        blockers = kernel.blockers(agent, observation)
        if not blockers:
            return False
        self.record_when(lambda: Blocked(agent.rank, tuple(sorted(blockers))))
        await self.until(lambda: agent.must_restart or agent.ended or not kernel.waiting(agent))
        if agent.must_restart:
            await self.restart(agent)
        return True

    async def restart(self, agent: Participant) -> None:
        """Withdraw all that the agent has done.

        Raises:
            AgentRestarted: Always, for the agent to begin again.
        """
        self.record_when(lambda: Restarted(agent.rank) if agent.must_restart else None)
        await self.pump()
        raise AgentRestarted(
            f"agent {agent.name!r} was undone to resolve a conflict ({self.kernel.name})",
            "Begin again from the start.",
        )

    def _still(
        self, observation: Observation, agent: Participant, position: Position, forgotten: int
    ) -> bool:
        kernel = self.kernel
        if kernel.position(agent) != position:
            return False  # another call of the same agent came in between, or another arrival under naive
        return kernel.forgotten == forgotten and kernel.holds(observation, position)

    def tool(self, name: str) -> Tool | None:
        """Return a tool by its name, also one that another tool knows of; None where there is none."""
        found = self.tools.get(name)
        if found is None:
            natives = [one for one in self.tools.values() if isinstance(one, NativeTool)]
            found = next((made for one in natives if (made := one.named(name)) is not None), None)
            if found is not None:
                self.tools[name] = found
        return found

    async def observe(self, tool: NativeTool, checked: Mapping[str, Any], position: Position) -> Run:
        """Run a tool over the state at a position, and load what its undo needs."""
        reader = PositionReader(self.kernel, self.targets, position)
        state = State(reader)
        once = tool.effect == "irreversible"  # recorded in any case, even if its objects are forgotten first
        try:
            value = plain(tool.name, await tool.run(state, checked))
            writes = state.writes
            bases: dict[Key, Value] = {}
            for key in writes:
                target = self.targets.of(key)
                if target.admits:
                    writes[key] = await target.admit(key, writes[key])
                if once or not self.kernel.base_known(key):
                    whole = (key, None)
                    bases[key] = state.reads[whole] if whole in state.reads else await reader.read(key)
        except Exception as failure:
            return Run(Observation(state.reads, state.scans, {}, {}, None, told(failure)), failure)
        return Run(Observation(state.reads, state.scans, writes, bases, value, None), None)

    async def observe_again(self, call: Call, arguments: Mapping[str, Value]) -> Run | None:
        """Run a call once more at its own position; None where this process does not have its tool."""
        tool = self.tool(call.tool)
        if not isinstance(tool, NativeTool):
            return None
        while True:
            forgotten = self.kernel.forgotten
            try:
                checked = tool.arguments.checked(arguments)
            except ToolFailed as failure:
                return Run(Observation({}, {}, {}, {}, None, told(failure)), failure)
            run = await self.observe(tool, checked, call.position)
            if self.kernel.forgotten == forgotten and self.kernel.holds(run.observation, call.position):
                return run

    # ---- outstanding work ----------------------------------------------------------------------------------

    async def pump(self) -> None:
        """Do the outstanding work until none is left that this process can do.

        Raises:
            TargetError: A target cannot take back what it holds; the work stays outstanding.
        """
        if not self.kernel.has_work:
            return
        if self._pumping:
            await self._turn()
        self._pumping = True
        try:
            await self.work_off()
        finally:
            self._release()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Keep the other tasks of this process from pumping."""
        await self._turn()
        self._pumping = True
        try:
            yield
        finally:
            self._release()

    async def work_off(self) -> None:
        """Do the outstanding work; only for whoever pumps or is exclusive."""
        while self.kernel.has_work and await self._work():
            pass

    async def _turn(self) -> None:
        # An anyio.Lock would do, but it yields to the event loop at every turn.
        while self._pumping:
            if self._pumped is None:
                self._pumped = anyio.Event()
            await self._pumped.wait()

    def _release(self) -> None:
        self._pumping = False
        if self._pumped is not None:
            self._pumped.set()
            self._pumped = None

    async def _work(self) -> bool:
        dirty = self.kernel.lowest_dirty()
        if dirty is not None and await self._reexecute(dirty):
            return True
        ready = self.kernel.ready()
        effects: Sequence[Effect] = ready.apply
        if self._applied:
            effects = [effect for effect in effects if self._applied.get(effect.key) != effect.version]
        for batch in self._batches(effects):
            await self._apply(batch)
            if dirty is None and self.kernel.lowest_dirty() is not None:
                break
        if effects:
            return True
        if ready.run is not None:
            if self._acknowledgements:
                self.flush()
                return True
            if ready.run.rank in self.local:
                await self._run_staged(ready.run)
                return True
        return False

    def _turn_of(self, effect: Effect) -> bool:
        return effect.value is not None and self.targets.of(effect.key).deletes_first

    async def _reexecute(self, call: Call) -> bool:
        tool = self.tool(call.tool)
        if isinstance(tool, DeclaredTool):
            await self.declared.reexecute(call, tool)
            return True
        arguments, position = call.arguments, call.position
        run = await self.observe_again(call, arguments)
        if run is None:
            return False

        def decide() -> Event | None:
            if self.kernel.call(call.id) is not call or call.arguments is not arguments:
                return None  # undone or amended while it ran
            if not self.kernel.holds(run.observation, position):
                return None
            return CallReexecuted(call.id, run.observation)

        self.record_when(decide)
        return True

    def _batches(self, effects: Sequence[Effect]) -> list[list[Effect]]:
        """Put those effects together that a target can take in one transaction."""
        if len(effects) < 2:
            return [[effect] for effect in effects]
        batches: list[list[Effect]] = []
        together: dict[int, list[Effect]] = {}
        for effect in sorted(effects, key=self._turn_of):
            target = self.targets.of(effect.key)
            if not target.takes_many:
                batches.append([effect])
            elif id(target) in together:
                together[id(target)].append(effect)
            else:
                batches.append(together.setdefault(id(target), [effect]))
        return batches

    async def _apply(self, effects: list[Effect]) -> None:
        first = effects[0]
        target = self.targets.of(first.key)
        try:
            if len(effects) == 1:
                await target.put(first.key, first.value, expected=first.expected)
            else:
                await target.put_many([(one.key, one.value, one.expected) for one in effects])
        except GuardFailed as failure:
            self._outside(next(one for one in effects if one.key == failure.key), failure.found)
            return
        except TargetError as failure:
            key = getattr(failure, "key", None)
            self._refused(next((one for one in effects if one.key == key), effects[-1]), failure)
            return
        for one in effects:
            if self.log.shared:  # it rides along with the next event: one commit less
                self._applied[one.key] = one.version
                self._acknowledgements.append(EffectApplied(one.key, one.version))
            else:
                self.record(EffectApplied(one.key, one.version))

    def _outside(self, effect: Effect, found: Value) -> None:
        def decide() -> Event | None:
            self.catch_up()
            for now in self.kernel.ready().apply:
                if now.key == effect.key and not any(same(found, one) for one in now.expected):
                    return OutsideWrite(effect.key, found)
            return None

        self.record_when(decide)

    async def look(self, key: Key) -> bool:
        """Take note of an outside write to an object, if there was one since it was read or written last.

        Returns:
            Whether there was one.
        """
        kernel = self.kernel
        target = self.targets.of(key)
        if not kernel.base_known(key) or target.unseen(key):
            return False
        found = await target.get(key)

        def decide() -> Event | None:
            self.catch_up()
            lagging = any(effect.key == key for effect in kernel.ready().apply)
            if lagging or not kernel.base_known(key) or same(found, kernel.live_value(key)):
                return None
            return OutsideWrite(key, found)

        return self.record_when(decide)

    def _refused(self, effect: Effect, failure: TargetError) -> None:
        before = self.kernel.live_value(effect.key)
        self.record_when(lambda: EffectRefused(effect.key, effect.version, str(failure)))
        if same(before, self.kernel.live_value(effect.key)):
            raise failure  # nobody's write is at fault: the target will not even take the old value back

    async def run_staged(self, call: Call) -> None:
        """Run a staged call ahead of its agent's commit; only where nothing below can change any more."""
        async with self.exclusive():
            await self.work_off()
            self.flush()
            if call.staged and not call.started:
                await self._run_staged(call)
            await self.work_off()

    async def _run_staged(self, call: Call) -> None:
        def start() -> Event | None:
            return StagedStarted(call.id) if call.staged and not call.started else None

        if not self.record_when(start):
            return
        tool = self.tool(call.tool)
        assert tool is not None, "only a process that has the tool runs a staged call of its agents"
        if isinstance(tool, DeclaredTool):
            await self.declared.run_staged(call, tool)
            return
        # Once and no more, whatever else happens meanwhile: what it sees is final, and so is what it does.
        try:
            run = await self.observe(tool, tool.arguments.checked(call.arguments), call.position)
        except ToolFailed as failure:
            run = Run(Observation({}, {}, {}, {}, None, told(failure)), failure)
        self.record_when(lambda: StagedRan(call.id, run.observation))
