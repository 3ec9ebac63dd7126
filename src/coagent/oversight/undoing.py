"""Taking back calls of an agent that has not committed, and ending it, whoever serves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from coagent.errors import ConfigurationError, NotReversible, UnknownAgent
from coagent.oversight.people import person
from coagent.protocol.calls import CallId, parsed_call_id
from coagent.protocol.values import Value
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession

BY_HAND = "aborted by hand"
_SHOWN_MAX = 10


class Named(NamedTuple):
    """A call, and its tool."""

    call: CallId
    tool: str


@dataclass
class Undone:
    """What has been taken back.

    Args:
        agent: The agent's name.
        undone: Its calls that are gone, in the order in which they went.
        kept: Those that cannot be taken back.
        changed: What its other calls give now that rested on them, and the arguments of each.
        aborted: Whether it has been ended.
    """

    agent: str
    undone: list[Named] = field(default_factory=list)
    kept: list[Named] = field(default_factory=list)
    changed: dict[str, tuple[Value, Mapping[str, Value]]] = field(default_factory=dict)
    aborted: bool = False


async def undo(
    domain: Domain,
    what: str,
    *,
    abort: bool = False,
    confirm: Callable[[AgentSession, Sequence[Named]], None] = lambda session, calls: None,
) -> Undone:
    """Take back a call, or all calls of an agent, newest first; what rested on them runs again.

    Args:
        domain: The open domain.
        what: An agent's name, or the id of one of its calls.
        abort: Whether to end the agent as well.
        confirm: Called with what is meant before anything is done; what it raises ends it.

    Raises:
        ConfigurationError: There is no such agent at work, or it has no such call.
    """
    session, calls = await meant(domain, what)
    session.person = person()
    confirm(session, calls)
    done = Undone(session.name)
    for named in reversed(calls):
        try:
            outcome = await session.undo(named.call)
        except NotReversible:
            done.kept.append(named)
            continue
        done.undone.append(named)
        arguments: dict[str, Mapping[str, Value]] = {call.call_id: call.arguments for call in session.calls}
        for changed, value in outcome.changed.items():
            done.changed[changed] = (value, arguments.get(changed, {}))
    for named in calls:
        done.changed.pop(named.call, None)
    if abort:
        tools = {call.call_id: call.tool for call in session.calls}
        stay = await session.abort(BY_HAND)
        known = {named.call for named in done.kept}
        done.kept += [Named(call_id, tools[call_id]) for call_id in stay if call_id not in known]
        done.aborted = True
    return done


async def meant(domain: Domain, what: str) -> tuple[AgentSession, list[Named]]:
    """Return the agent that is meant, and the calls to take back, oldest first.

    Raises:
        ConfigurationError: There is no such agent at work, or it has no such call.
    """
    parsed = parsed_call_id(what)
    known = {agent.name for agent in domain.agents}
    if parsed is not None and parsed[0] in known and what not in known:
        name = parsed[0]
        _require_open(domain, name)
        session = await domain.oversee(name)
        calls = [Named(call.call_id, call.tool) for call in session.calls if call.call_id == what]
        if not calls:
            standing = ", ".join(call.call_id for call in session.calls[-_SHOWN_MAX:]) or "none"
            raise ConfigurationError(
                f"agent {name!r} has no standing call {what!r}", f"There are: {standing}."
            )
        return session, calls
    _require_open(domain, what)
    try:
        session = await domain.oversee(what)
    except UnknownAgent as unknown:
        raise ConfigurationError(unknown.cause, unknown.cure) from None
    return session, [Named(call.call_id, call.tool) for call in session.calls]


def _require_open(domain: Domain, name: str) -> None:
    """Say so where the agent's last work of that name has ended."""
    last = [agent for agent in domain.agents if agent.name == name]
    if last and last[-1].ended:
        state = last[-1].phase.value
        cure = "What is committed stays: make up for it by new work." if state == "committed" else ""
        raise ConfigurationError(f"agent {name!r} has {state}: nothing of it can be undone", cure)
