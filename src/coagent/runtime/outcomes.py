"""How calls, repairs and agents end: what the agent gets, and what the log gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic_core import PydanticSerializationError, to_jsonable_python

from coagent.errors import CoAgentError, NotReversible, ToolFailed, UnknownCall
from coagent.protocol.calls import Call, CallId, Observation, parsed_call_id
from coagent.protocol.events import CallObserved
from coagent.protocol.participants import Participant
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import SCALARS, Value, copied
from coagent.runtime.notices import Notification
from coagent.tools.base import Tool


@dataclass(slots=True)
class Outcome:
    """What a call, an undo or an amendment gives.

    Args:
        value: What the tool returned; "staged" for a staged call; None for an undo or a call held back.
        call_id: The call, for `undo` and `amend`.
        notifications: What the agent has not been told yet.
        status: "done"; "staged": it runs at commit; "held_back": an irreversible call that did not run,
            because there are notices to read first: call again if it is still right.
        changed: Own calls that rested on the one undone or amended, and what they return now.
    """

    value: Value
    call_id: CallId
    notifications: list[Notification] = field(default_factory=list)
    status: Literal["done", "staged", "held_back"] = "done"
    changed: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What `finish` returns.

    Args:
        state: "committed"; "notified": something is to be read first, look at it and finish again; "waiting":
            the agent's turn has not come yet.
        notifications: The notices, where the state is "notified".
        waits_for: The names of the agents that keep this one from committing, where the state is "waiting".
        unknown: The calls of the agent that do so: nobody knows whether they have run, and a person decides
            (`coagent resolve`, `Domain.resolve`).
    """

    state: Literal["committed", "notified", "waiting"]
    notifications: list[Notification] = field(default_factory=list)
    waits_for: list[str] = field(default_factory=list)
    unknown: list[CallId] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Issued:
    """One of an agent's own calls as it stands now.

    Args:
        call_id: For `undo` and `amend`.
        tool: What was called.
        arguments: As called or last amended.
        effective: Whether it went through and, if it writes, its writes count.
        staged: Whether it is irreversible and has yet to run.
        acted: Whether it has changed something, or is irreversible, and it is known what came of it.
    """

    call_id: CallId
    tool: str
    arguments: Mapping[str, Value]
    effective: bool
    staged: bool
    acted: bool


def issued(agent: Participant, waiting: Iterable[tuple[CallId, CallObserved]]) -> list[Issued]:
    """Return the calls of an agent that it has not undone, in its order.

    Args:
        agent: The agent.
        waiting: Its reads that wait to be recorded.
    """
    standing = [
        Issued(
            call.id,
            call.tool,
            call.arguments,
            call.seen.error is None and not call.lapsed,
            call.phase is CallPhase.STAGED,
            (call.irreversible or bool(call.writes)) and call.under_way is None,
        )
        for call in agent.calls.values()
    ]
    reads = [Issued(one, event.tool, event.arguments, True, False, False) for one, event in waiting]
    return standing + reads


class Run(NamedTuple):
    """One run of a tool: what was observed, and the exception where it failed."""

    observation: Observation
    failure: Exception | None


def plain(tool: str, result: Any) -> Value:
    """Return a tool's result as plain data, copied.

    Raises:
        ToolFailed: It cannot be made plain data.
    """
    try:
        return copied(result)
    except TypeError:
        pass
    try:
        return copied(to_jsonable_python(result))
    except (PydanticSerializationError, TypeError) as error:
        raise ToolFailed(
            f"tool {tool!r} returned {type(result).__name__}, which is not plain data ({error})",
            "Return JSON data, text or bytes.",
        ) from None


def told(failure: Exception) -> str:
    """Return a failure as the agent is told it."""
    if isinstance(failure, CoAgentError):
        return str(failure)
    return f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__


def as_stored(tool: Tool, arguments: dict[str, Any]) -> dict[str, Value]:
    """Return the arguments of a call as they are recorded.

    Raises:
        ToolFailed: One is no plain data.
    """
    try:
        for value in arguments.values():
            if type(value) not in SCALARS:
                return {name: copied(value) for name, value in arguments.items()}
        return arguments
    except TypeError as error:
        raise ToolFailed(f"an argument of tool {tool.name!r} is not plain data: {error}") from None


def own_call(participant: Participant, call_id: str, *, reversible: bool = True) -> Call:
    """Return a standing call of an agent.

    Args:
        participant: The agent.
        call_id: The call's id.
        reversible: Whether it is to be one that can be taken back.

    Raises:
        UnknownCall: The agent has no such call.
        NotReversible: It is irreversible and has run.
    """
    call = participant.calls.get(CallId(call_id))
    if call is None:
        standing = ", ".join(list(participant.calls)[-10:]) or "none"
        raise UnknownCall(
            f"agent {participant.name!r} has no standing call {call_id!r}",
            f"Its latest calls are: {standing}.",
        )
    if reversible and not call.reversible:
        made = f"call {call_id!r} ({call.tool}) is irreversible and has run"
        raise NotReversible(made, "Make up for it by another call.")
    return call


def was_undone(participant: Participant, call_id: str) -> bool:
    """Tell whether an agent has made a call that does not stand any more."""
    parsed = parsed_call_id(call_id)
    known = parsed is not None and parsed[0] == participant.name and parsed[1] < participant.next_sequence
    return known and call_id not in participant.calls
