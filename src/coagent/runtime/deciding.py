"""Deciding what nobody knows: what a stuck object is to hold, and whether a call of a dead process has run.

Of a call, its tool may find out (`probe`), or it can be run again where its system acts once for a name
(`idempotent`). Otherwise a person decides.
"""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

from coagent.errors import CoAgentError, ConfigurationError, TargetError, TargetUnavailable
from coagent.protocol.calls import Call, CallId, Observation
from coagent.protocol.events import Event, Resolved
from coagent.protocol.keys import Key
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import Value
from coagent.runtime.runner import Parts
from coagent.runtime.work import Work
from coagent.tools.base import Tool
from coagent.tools.intent import probed

Decision: TypeAlias = Literal["retry", "accept", "drop"]
_ASKED_S_MIN, _ASKED_S_MAX = 1.0, 60.0
_SAYS = logging.getLogger("coagent.domain")


class Decisions:
    """Decides what can be decided, and takes what a person has decided.

    Args:
        parts: The domain's.
        work: That runs calls.
    """

    def __init__(self, parts: Parts, work: Work) -> None:
        self._parts = parts
        self._work = work
        self._asked: dict[CallId, tuple[float, float]] = {}
        """When to ask the tool of a call again, and how long to wait after that."""
        self._said: set[CallId] = set()
        self._left: set[CallId] = set()
        """Those that were tried to be taken back, and are left to a person."""

    # ---- by itself -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to find out about calls of which nobody knows whether they have run."""
        if not (unknown := self._parts.kernel.unknown):
            self._asked.clear()
            self._said.clear()
            return
        now_s = self._parts.clock.now_s()
        for call in unknown:
            tool = self._parts.catalog.find(call.tool)
            if tool is None or not self._can_be_found_out(call, tool):
                self._say(call)
                continue
            due_s, wait_s = self._asked.get(call.id, (now_s, _ASKED_S_MIN))
            if due_s <= now_s:
                self._asked[call.id] = now_s + wait_s, min(2 * wait_s, _ASKED_S_MAX)
                self._parts.tasks.start(self._find_out, call, tool)

    def _can_be_found_out(self, call: Call, tool: Tool) -> bool:
        """Tell whether no person is needed, as far as is known."""
        if call.id in self._left:
            return False
        return tool.probe is not None or (
            tool.idempotent and (self._is_wanted(call) or not call.irreversible)
        )

    def _say(self, call: Call) -> None:
        """Say once that a person has to decide: nobody is to wait for that in silence."""
        if call.id not in self._said:
            self._said.add(call.id)
            _SAYS.warning(
                "call %r (%s) may have run or not: its process has died. Who has to do with it, or "
                "comes after its agent, waits until a person decides: coagent resolve %s",
                call.id,
                call.tool,
                call.id,
            )

    async def _find_out(self, call: Call, tool: Tool) -> None:
        try:
            found = await probed(tool.probe, call.intent, tool.arguments.checked(call.arguments))
        except Exception:  # the system behind it is away, or does not say: it is asked again
            return
        try:
            if found is not None and found.ran:
                await self._record(call, found.result)
            elif found is not None:
                await self._not_run(call, tool)
            elif tool.idempotent and self._is_wanted(call):
                await self._work.runner(tool).run_again(call, tool)
            elif tool.idempotent and not call.irreversible:
                await self._take_back(call, tool, None)
            await self._work.settle()
        except TargetError:
            return  # it stays unknown; whoever resolves it by hand is told why
        except CoAgentError as failure:
            self._work.fail(failure)

    def _is_wanted(self, call: Call) -> bool:
        return self._parts.kernel.is_wanted(call)

    # ---- what is found out ---------------------------------------------------------------------------------

    async def _record(self, call: Call, result: Value) -> None:
        """Take it that a call has run; what nobody wants any more is taken back, where it can be."""
        if call.phase is not CallPhase.UNKNOWN:
            return
        runner, tool = self._work.runner_of(call), self._parts.catalog.find(call.tool)
        ran = runner.happened(call, result)

        def observed() -> Observation | None:
            left = tool is not None and not call.irreversible and not self._is_wanted(call)
            return None if left else runner.happened(call, result)

        await runner.record_run(call, observed, CallPhase.UNKNOWN)
        if tool is not None and call.phase is CallPhase.UNKNOWN and not self._is_wanted(call):
            await self._take_back(call, tool, ran)

    async def _take_back(self, call: Call, tool: Tool, ran: Observation | None) -> None:
        try:
            await self._work.runner(tool).take_back_unwanted(call, tool, ran)
        except TargetUnavailable:  # nothing is known yet: it is asked again
            raise
        except TargetError:
            self._left.add(call.id)
            raise

    async def _not_run(self, call: Call, tool: Tool | None) -> None:
        """Have a call run that has not; of an agent that has ended nobody wants it any more."""
        if tool is not None and self._is_wanted(call):
            await self._work.runner(tool).run_again(call, tool)
        else:
            await self._drop(call)

    async def _drop(self, call: Call) -> None:
        failed = Observation.failed("it has not run: its process had died before")
        await self._work.runner_of(call).record_run(call, lambda: failed, CallPhase.UNKNOWN)

    # ---- by a person ---------------------------------------------------------------------------------------

    async def resolve(self, what: str, how: Decision) -> None:
        """Decide about a stuck object, or a call of which nobody knows; as `Domain.resolve`."""
        kernel = self._parts.kernel
        await self._parts.recorder.catch_up()
        call = next((one for one in kernel.unknown if one.id == what), None)
        if call is not None:
            await self._resolve_call(call, how)
        elif (name := Key(what)) in kernel.stuck and how != "drop":
            await self._resolve_object(name, how)
        else:
            known = ", ".join([*sorted(kernel.stuck), *(one.id for one in kernel.unknown)]) or "nothing"
            raise ConfigurationError(f"{what!r} is not to be decided about so", f"There is: {known}.")
        await self._work.settle()

    async def _resolve_object(self, name: Key, how: Literal["retry", "accept"]) -> None:
        kernel, target = self._parts.kernel, self._parts.targets.of(name)
        value = None if how == "retry" or target.unseen(name) else await target.get(name)

        def decide() -> Event | None:
            return Resolved(name, how, value) if name in kernel.stuck else None

        await self._parts.recorder.record(decide)

    async def _resolve_call(self, call: Call, how: Decision) -> None:
        if how == "accept":
            await self._record(call, None)
        elif how == "drop":
            await self._drop(call)
        elif not self._is_wanted(call):
            raise ConfigurationError(
                f"agent {call.agent!r} has ended or is about to: nobody wants its call {call.id!r} to run",
                "Say that it has run (accept), or that it has not (drop).",
            )
        else:
            tool = self._parts.catalog.get(call.tool)
            await self._work.runner(tool).run_again(call, tool)
