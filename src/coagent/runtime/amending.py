"""Amending a call as a model asks for it: with parts of arguments, or values to replace in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coagent.protocol.calls import CallId
from coagent.runtime.outcomes import Outcome
from coagent.runtime.session import AgentSession
from coagent.wording.repairs import amended, call_id_of, previewed


async def amend_as_asked(session: AgentSession, asked: Mapping[str, Any]) -> Outcome:
    """Amend one of the agent's calls, or show what it would be.

    Args:
        session: The agent's session.
        asked: What its model has passed to the tool.

    Raises:
        InvalidArguments: It cannot be understood, or changes nothing.
        CoAgentError: As for `AgentSession.amend`.
    """
    call_id = call_id_of(asked)
    call = next((candidate for candidate in session.calls if candidate.call_id == call_id), None)
    if call is None:
        return await session.amend(call_id)  # which says what is wrong with it
    arguments = amended(call.arguments, asked)
    if asked.get("preview") is True:
        return Outcome(previewed(call_id, call.tool, arguments), CallId(""))
    return await session.amend(call_id, **arguments)
