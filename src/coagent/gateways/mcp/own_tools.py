"""The tools that the gateway offers beside those of the domain, and the handle that all of them take."""

from __future__ import annotations

from typing import Any

from mcp_types import Tool, ToolAnnotations

from coagent.wording.repairs import AMEND_DESCRIPTION, AMEND_SCHEMA, PREFIXED, UNDO_DESCRIPTION, UNDO_SCHEMA

HANDLE = "coagent_handle"
"""The argument with which a client says which of its agents a call is of."""
WAIT_S_DEFAULT = 45.0
"""How long one `coagent_finish` waits: many clients give a call a minute."""
WAIT_S_MAX = 3600.0
NAME_LENGTH_MAX = 100

_HANDLE_SCHEMA = {
    "type": "string",
    "description": "Your handle, if you have one from coagent_join.",
}


def with_handle(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's input schema with the handle as a further argument.

    Every client gets the same list, whatever it needs: by MCP 2026-07-28, "Tools", `tools/list` may depend on
    nothing but who asks.
    """
    return {**schema, "properties": {**schema.get("properties", {}), HANDLE: _HANDLE_SCHEMA}}


JOIN = Tool(
    name="coagent_join",
    description="Become an agent of your own, with a place in the order and a handle to pass with each call. "
    "For sub-agents, and where a call says that it does not know whose it is; else you need not join.",
    input_schema={
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": NAME_LENGTH_MAX,
                "description": "What to be called, such as 'tests'. A number is added where it is taken.",
            },
            "take_up": {
                "type": "boolean",
                "default": False,
                "description": "Go on with the unfinished work of your agent of that name, "
                "whose handle is lost.",
            },
            "goal": {
                "type": "string",
                "description": "What you are to reach, in one line, for people who look on.",
            },
        },
    },
)

OWN_TOOLS = (
    JOIN,
    Tool(
        name="coagent_finish",
        description="Say that your work is done: waits for the agents before you, then commits it, or "
        "returns notices that came meanwhile.",
        input_schema=with_handle(
            {
                "type": "object",
                "properties": {
                    "wait_s": {
                        "type": "number",
                        "minimum": 0,
                        "maximum": WAIT_S_MAX,
                        "default": WAIT_S_DEFAULT,
                        "description": "How long to wait, in seconds.",
                    },
                    "keep": {
                        "type": "boolean",
                        "default": False,
                        "description": "Keep your unfinished work if you disconnect, "
                        "instead of withdrawing it.",
                    },
                },
            }
        ),
    ),
    Tool(name=PREFIXED.undo, description=UNDO_DESCRIPTION, input_schema=with_handle(UNDO_SCHEMA)),
    Tool(name=PREFIXED.amend, description=AMEND_DESCRIPTION, input_schema=with_handle(AMEND_SCHEMA)),
    Tool(
        name="coagent_status",
        description="Show where you stand: your rank, your calls, notices to read, and whom you wait for.",
        input_schema=with_handle({"type": "object", "properties": {}}),
        annotations=ToolAnnotations(read_only_hint=True),
    ),
)
