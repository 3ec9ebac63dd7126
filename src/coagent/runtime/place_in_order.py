"""Where one agent stands among those at work, in few enough words for one line."""

from __future__ import annotations

from typing import Any

from coagent.masking.spans import masked_text
from coagent.protocol.kernel import Kernel
from coagent.protocol.phases import AgentPhase
from coagent.wording.quoting import one_line

_NAMES_MAX = 20
_NAME_LENGTH_MAX = 40


def place_in_order(kernel: Kernel, name: str) -> dict[str, Any]:
    """Return where an agent stands, as JSON has it.

    Args:
        kernel: What the agents share.
        name: The agent; any name, also of one that is not at work.

    Returns:
        `of`: how many agents are at work; `stuck`: about how many objects a person has to decide. Where the
        agent is at work, also `place` (1 is the first), `finished`, `notices` (how many of its calls it has
        to look at again) and `waits_for` (names, where it has finished).
    """
    at_work = sorted((one for one in kernel.agents.values() if not one.ended), key=lambda one: one.order)
    found: dict[str, Any] = {"of": len(at_work), "stuck": len(kernel.stuck)}
    for place, agent in enumerate(at_work, 1):
        if agent.name == name:
            finished = agent.phase is AgentPhase.FINISHED
            waits_for = kernel.waits_for(agent) if finished else []
            found |= {
                "place": place,
                "finished": finished,
                "notices": len(agent.pending) + len(agent.disturbed),
                "waits_for": [_shown(one.name) for one in waits_for[:_NAMES_MAX]],
            }
    return found


def _shown(name: str) -> str:
    return one_line(masked_text(name), _NAME_LENGTH_MAX)
