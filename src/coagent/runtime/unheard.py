"""What has begun by the log, though whoever was to do it was told that the log was away, and has not done it.

Where the answer of a log's server was lost, nobody knows whether an event was appended; who recorded it is
told that it was not, and does nothing. It may turn out to be there all the same. Of a run, or a reversal,
this process then knows that it has not been, and nobody else can: it sees to it, or everybody would wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from coagent.errors import TargetError
from coagent.protocol.calls import Call, Observation
from coagent.protocol.events import CallBegun, CallRan, ReversalBegun, RunBegun, RunLost
from coagent.protocol.phases import CallPhase
from coagent.runtime.declared import DeclaredRunner
from coagent.runtime.runner import Parts, Runner

NOT_RUN = "it has not run: the log was away as it began"


async def seen_to(
    parts: Parts, runner_of: Callable[[Call], Runner], event: CallBegun | RunBegun | ReversalBegun
) -> None:
    """See to something that has begun by the log, and has not been done.

    A new call has failed: its agent was told so. One that was to run again, and a reversal, are done now.

    Args:
        parts: The domain's.
        runner_of: Returns what runs a call.
        event: Its beginning.

    Raises:
        LogError: The log cannot be written; it is as it was.
    """
    call = _begun_by(parts, event)
    if call is None:
        return
    runner = runner_of(call)
    if isinstance(runner, DeclaredRunner) and call.intent in runner.at_work:
        return  # it has begun for all: what was not heard of is what it can be taken back by
    failed = Observation.failed(NOT_RUN)
    if isinstance(event, ReversalBegun):
        assert isinstance(runner, DeclaredRunner), "only declared calls are reversed"
        await runner.reverse_again(call)
        return
    if isinstance(event, RunBegun):
        await runner.record_outcome(call, lambda: RunLost(call.id) if _is_running(call) else None)
        tool = parts.catalog.find(call.tool)
        if tool is not None and parts.kernel.is_wanted(call):
            with contextlib.suppress(
                TargetError
            ):  # it stays unknown; whoever resolves it by hand is told why
                await runner.run_again(call, tool)
            return
        if call.intent in parts.doubtful:
            return  # that it has not run this time says nothing of the time before: it stays unknown
    await runner.record_outcome(call, lambda: CallRan(call.id, failed) if not _is_reversing(call) else None)


def _begun_by(parts: Parts, event: CallBegun | RunBegun | ReversalBegun) -> Call | None:
    """Return the call that an event has begun to run, or to reverse, unless others have taken it up since."""
    kernel = parts.kernel
    if isinstance(event, CallBegun):
        agent = kernel.agents.get(event.rank)
        mine = [call for call in agent.calls.values() if call.intent == event.intent] if agent else []
        call = mine[0] if mine else None
    else:
        call = kernel.underway(event.call_id)
    if call is None or call.under_way is None:
        return None
    return call if call.runner == event.owner == parts.recorder.tenure.owner else None


def _is_running(call: Call) -> bool:
    return call.phase is CallPhase.RUNNING


def _is_reversing(call: Call) -> bool:
    return call.phase is CallPhase.REVERSING
