"""The gate before irreversible calls: when one may run, and whom its agent passes for that (rules 6, 10)."""

from __future__ import annotations

from coagent.protocol.decisions import Gate
from coagent.protocol.participants import Participant
from coagent.protocol.phases import CallPhase
from coagent.runtime.not_known import refuse_unknown
from coagent.runtime.runner import Parts, require_active
from coagent.runtime.work import Work


async def opened_gate(parts: Parts, work: Work, agent: Participant, gate: str | None) -> Gate:
    """Wait until it is clear what becomes of an irreversible call.

    What its agent rests on is looked at before the agent passes anybody: one that could not go on would be
    passed in turn by the others, for ever.

    Args:
        gate: Of the tool.

    Returns:
        `RUN`: the call may run now. `STAGE`, `TELL`: as they are.

    Raises:
        AgentNotActive: The agent has ended. TargetError: What it rests on cannot be looked at, or nobody
        knows whether another call of it has run.
    """
    kernel, recorder = parts.kernel, parts.recorder
    await recorder.flush()
    while True:
        await recorder.catch_up()
        require_active(agent)
        found = kernel.gate(agent, gate)
        if found in (Gate.STAGE, Gate.TELL):
            return found
        refuse_unknown(agent.calls.values())
        may_pass = found is Gate.WAIT and work.may_pass(agent)
        if (may_pass or found is not Gate.WAIT) and await parts.rests_on_change(agent):
            await work.settle()
        elif found is Gate.RUN:
            return found
        elif found is Gate.FIRST:
            # What was staged before this call comes before it in the order, so it runs first.
            staged = [call for call in agent.calls.values() if call.phase is CallPhase.STAGED]
            await work.run_staged(staged[0])
        elif may_pass:
            await work.pass_others(agent)
        else:
            parts.advance()
            await recorder.until(
                lambda: (
                    not agent.at_work
                    or kernel.gate(agent, gate) is not Gate.WAIT
                    or work.may_pass(agent)
                    or any(call.phase is CallPhase.UNKNOWN for call in agent.calls.values())
                ),
                parts.meanwhile,
            )
