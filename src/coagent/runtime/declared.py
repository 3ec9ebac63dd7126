"""Runs declared tools: what stands in the way is reversed newest first, and runs again afterwards.

Nobody can see into the systems behind declared tools, so the kernel tracks tokens instead of values: each run
leaves a token of its own on the keys it writes, and whoever saw another token is run again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from coagent.errors import TargetError
from coagent.protocol.calls import Call, Cause, Observation, Position
from coagent.protocol.events import (
    Aborted,
    CallAmended,
    CallObserved,
    CallReexecuted,
    CallReversed,
    CallUndone,
    Event,
    StagedRan,
)
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.values import UNLOADED, Value, same
from coagent.runtime.outcomes import Run, plain, told
from coagent.tools.declared import DeclaredFootprint, DeclaredTool

if TYPE_CHECKING:
    from coagent.runtime.driver import Driver


class DeclaredRunner:
    """The part of the driver that runs declared tools; one at a time in all processes of the domain."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def perform(
        self,
        agent: Participant,
        tool: DeclaredTool,
        arguments: Mapping[str, Value],
        checked: Mapping[str, Any],
    ) -> tuple[Call, Exception | None]:
        """Run a tool at the end of the agent's sequence and record it."""
        driver, kernel = self._driver, self._driver.kernel
        footprint = tool.footprint(checked)
        async with self._alone():
            call_id = f"{agent.name}.{agent.next_sequence}"
            await self._rewind(
                kernel.position(agent), footprint, Cause(agent.name, call_id, tool.name, agent.rank)
            )
            run = await self._run(tool, checked)
            irreversible = tool.effect == "irreversible"

            def decide() -> Event:
                seen = self._observed(run, footprint, kernel.position(agent), call_id)
                return CallObserved(agent.rank, tool.name, arguments, seen, irreversible)

            driver.record_when(decide)
            return next(reversed(agent.calls.values())), run.failure

    async def reexecute(self, call: Call, tool: DeclaredTool) -> None:
        """Run a call again at its position; part of the outstanding work."""
        async with driver_lock(self._driver):
            checked = tool.arguments.checked(call.arguments)
            footprint = tool.footprint(checked)
            await self._rewind(call.position, footprint, call.cause or call.as_cause, also=call)
            run = await self._run(tool, checked)
            if call.dormant and run.failure is None and footprint.writes:
                # Its agent knows that it had failed; only an amendment brings it back, so this was a trial.
                await tool.reverse(run.observation.prepared, run.observation.value, checked)

            def decide() -> Event | None:
                if self._driver.kernel.call(call.id) is not call:
                    return None
                seen = self._observed(run, footprint, call.position, call.id)
                if (
                    run.failure is None
                    and call.writes
                    and same(seen.value, call.value)
                    and seen.reads == call.reads
                ):
                    seen = seen._replace(writes=call.writes)  # the same again: nobody above need hear of it
                return CallReexecuted(call.id, seen)

            self._driver.record_when(decide)

    async def run_staged(self, call: Call, tool: DeclaredTool) -> None:
        """Run a staged call whose turn has come; everything below it has committed."""
        async with driver_lock(self._driver):
            checked = tool.arguments.checked(call.arguments)
            footprint = tool.footprint(checked)
            await self._rewind(call.position, footprint, call.as_cause)
            run = await self._run(tool, checked)
            self._driver.record_when(
                lambda: StagedRan(call.id, self._observed(run, footprint, call.position, call.id))
            )

    async def undo(self, call: Call) -> None:
        """Take a call back and withdraw it."""
        async with self._alone():
            await self._rewind_own(call)
            kernel = self._driver.kernel
            self._driver.record_when(lambda: CallUndone(call.id) if kernel.call(call.id) is call else None)

    async def amend(
        self, call: Call, tool: DeclaredTool, arguments: Mapping[str, Value], checked: Mapping[str, Any]
    ) -> Run:
        """Take a call back and run it with other arguments in its place."""
        footprint = tool.footprint(checked)
        async with self._alone():
            await self._rewind_own(call)
            await self._rewind(call.position, footprint, call.as_cause)
            run = await self._run(tool, checked)

            def decide() -> Event | None:
                if self._driver.kernel.call(call.id) is not call:
                    return None
                return CallAmended(call.id, arguments, self._observed(run, footprint, call.position, call.id))

            self._driver.record_when(decide)
            return run

    async def abort(self, agent: Participant, reason: str) -> None:
        """Take back all calls of an agent that can be, and end it."""
        async with self._alone():
            for call in reversed(list(agent.calls.values())):
                if call.applied and not call.irreversible:
                    await self._rewind_own(call)
            self._driver.record_when(lambda: None if agent.ended else Aborted(agent.rank, reason))

    # ---- parts ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold everybody else off until what was reversed has run again."""
        driver = self._driver
        async with driver.exclusive(), driver_lock(driver):
            driver.catch_up()
            await driver.work_off()
            try:
                yield
            finally:
                await driver.work_off()

    async def _rewind_own(self, call: Call) -> None:
        footprint = DeclaredFootprint(
            frozenset(key for key, _ in call.reads), frozenset(call.scans), frozenset(call.writes)
        )
        await self._rewind(call.position, footprint, call.as_cause, also=call)

    async def _rewind(
        self, position: Position, footprint: DeclaredFootprint, cause: Cause, *, also: Call | None = None
    ) -> None:
        """Reverse the applied calls above a position that conflict with a footprint, newest first."""
        in_the_way = self._driver.kernel.applied_above(position, *footprint)
        if also is not None and also.applied:
            in_the_way.append(also)
        for call in in_the_way:
            tool = self._driver.tool(call.tool)
            if not isinstance(tool, DeclaredTool) or call.irreversible:
                raise TargetError(
                    f"call {call.id!r} ({call.tool}) stands in the way and cannot be reversed here",
                    "Wait until its agent has committed, or run in a process that has its tool.",
                )
            try:
                await tool.reverse(call.prepared, call.value, tool.arguments.checked(call.arguments))
            except Exception as failure:
                keys = ", ".join(sorted(call.writes))
                raise TargetError(
                    f"call {call.id!r} ({call.tool}) could not be reversed ({told(failure)}): "
                    f"the state of {keys} is unknown",
                    "Look at the system and mend it by hand, then try again.",
                ) from failure
            self._driver.record_when(lambda call=call: CallReversed(call.id, cause))  # type: ignore[misc]

    async def _run(self, tool: DeclaredTool, checked: Mapping[str, Any]) -> Run:
        try:
            prepared = plain(tool.name, await tool.prepare(checked))
            value = plain(tool.name, await tool.exec(checked))
        except Exception as failure:
            return Run(Observation({}, {}, {}, {}, None, told(failure), declared=True), failure)
        return Run(Observation({}, {}, {}, {}, value, None, declared=True, prepared=prepared), None)

    def _observed(
        self, run: Run, footprint: DeclaredFootprint, position: Position, call_id: str
    ) -> Observation:
        """Return the run with the tokens that stand on its keys now."""
        kernel = self._driver.kernel
        token = f"{call_id}@{self._driver.log.head + 1}"
        writes: dict[Key, Value] = {}
        if run.failure is None:
            writes = dict.fromkeys(sorted(footprint.writes), token)
        return run.observation._replace(
            reads={(key, None): self._token(key, position) for key in sorted(footprint.reads)},
            scans={
                scan: {
                    key: value
                    for key, value in kernel.written_under(scan.prefix, position)
                    if scan.covers(key) and value is not None
                }
                for scan in sorted(footprint.scans, key=str)
            },
            writes=writes,
            bases={key: None for key in writes if not kernel.base_known(key)},
        )

    def _token(self, key: Key, position: Position) -> Value:
        token = self._driver.kernel.lookup(key, position)
        return None if token is UNLOADED else token


@asynccontextmanager
async def driver_lock(driver: Driver) -> AsyncIterator[None]:
    """Hold the lock that keeps the other processes of the domain from running declared tools."""
    while not driver.log.try_lock():
        await driver.clock.sleep(0.01)
    try:
        yield
    finally:
        driver.log.unlock()
