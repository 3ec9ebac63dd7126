"""What sessions were told just before their daemon died, of which they may never have heard.

An agent counts as told when its daemon has noted so, which is before the answer of a hook has arrived. Where
the daemon dies in between, the next one says once more what to look at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from coagent.log.codec import decode
from coagent.log.open import open_reader
from coagent.protocol.calls import CallId, Rank
from coagent.protocol.events import (
    CallBegun,
    CallObserved,
    CallStaged,
    Finished,
    Joined,
    NoticesDelivered,
)
from coagent.protocol.keys import Key
from coagent.runtime.session import AgentSession
from coagent.wording.quoting import one_line

_CAME_BACK = (CallObserved, CallBegun, CallStaged, Finished, Joined)
"""What only happens when an agent has come back with something else, or was not there before."""
_RECORDS_MAX = 5000
"""How far back it is looked: who has done nothing since then has had time to be told again."""

ToldLast = Mapping[Rank, tuple[Collection[CallId], Collection[Key]]]
"""For each agent its calls, and the objects, of which it was told."""


def told_last(url: str, ranks: Collection[Rank]) -> ToldLast:
    """Return what agents were told since they last did something.

    Args:
        url: Of the log.
        ranks: Those of the agents.

    Raises:
        LogError: The log cannot be read.
    """
    found: dict[Rank, tuple[list[CallId], list[Key]]] = {}
    asked = set(ranks)
    if not asked:
        return found
    reader = open_reader(url)
    try:
        for at, (_, record) in enumerate(reader.backwards()):
            event = decode(record)
            rank = getattr(event, "rank", None)
            if rank in asked and isinstance(event, NoticesDelivered):
                calls, keys = found.setdefault(event.rank, ([], []))
                calls.extend(event.call_ids)
                keys.extend(event.keys)
            elif isinstance(event, _CAME_BACK):
                asked.discard(event.rank)
            if not asked or at > _RECORDS_MAX:
                break
    finally:
        reader.close()
    return found


def told_before(agents: Sequence[AgentSession], told: ToldLast) -> str:
    """Return what to say once more to a conversation; nothing where it has done something since.

    Args:
        agents: What it is, and has been before.
        told: As `told_last` has it.
    """
    names: list[str] = []
    for agent in agents:
        calls, keys = told.get(agent.rank, ((), ()))
        names += [
            f"{call.tool} {call.arguments.get('path', '')}".strip()
            for call in agent.calls
            if call.call_id in calls
        ]
        names += [key.partition(":")[2] for key in keys]
    if not names:
        return ""
    return (
        "[coagent notice] CoAgent was started anew, and what it told you last may not have reached you. "
        f"Others have changed what these gave you: {one_line(', '.join(dict.fromkeys(names)))}. Look at it "
        "again before you rest on it."
    )
