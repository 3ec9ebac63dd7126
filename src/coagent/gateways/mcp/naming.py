"""Names for the agents of clients, from what clients call themselves."""

from __future__ import annotations

from mcp.server import ServerRequestContext

from coagent.protocol.calls import parsed_call_id

_LENGTH_MAX = 90
"""Leaves room for a number."""
_NAMELESS = "client"


def agent_name(context: ServerRequestContext) -> str:
    """Return what to call the agent of a client that nobody has named.

    A client says what it is called as it likes; an agent's name is printable, short, and reads as no call id.
    """
    params = context.session.client_params
    called = "" if params is None else params.client_info.name
    name = (
        "".join(character for character in called if character.isprintable()).strip()[:_LENGTH_MAX]
        or _NAMELESS
    )
    call = parsed_call_id(name)
    return name if call is None else f"{call[0]}-{call[1]}"
