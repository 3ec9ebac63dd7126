"""The names that spans, attributes and metrics have."""

from __future__ import annotations

from typing import Final

SCOPE: Final = "coagent"
"""The name of the tracer and of the meter."""

# ---- GenAI and MCP semantic conventions, v0.1.0 ------------------------------------------------------------
OPERATION: Final = "gen_ai.operation.name"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"
AGENT_NAME: Final = "gen_ai.agent.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
RESULT: Final = "gen_ai.tool.call.result"
ERROR_TYPE: Final = "error.type"
EXIT_CODE: Final = "process.exit.code"
MCP_METHOD: Final = "mcp.method.name"
NETWORK_TRANSPORT: Final = "network.transport"

# ---- our own -----------------------------------------------------------------------------------------------
DOMAIN: Final = "coagent.domain"
PROTOCOL: Final = "coagent.protocol"
RANK: Final = "coagent.agent.rank"
ORDER: Final = "coagent.agent.order"
OUTCOME: Final = "coagent.agent.outcome"
"""How an agent has ended here: committed or aborted; handed_over: another process' now, or nobody's; open: as
its domain was closed.
"""
CALL_ID: Final = "coagent.call.id"
STATUS: Final = "coagent.call.status"
"""How a call has ended: done, staged, held_back or failed."""
RUN: Final = "coagent.run"
"""Why a tool ran: call, amend, reexecution, staged (at commit) or again (after a crash)."""
UNDO: Final = "coagent.undo"
"""Whether a span takes a call back."""
REEXECUTION: Final = "coagent.reexecution"
"""Whether a span is a call's that runs again because something below it has changed."""
CHANGED: Final = "coagent.call.changed"
"""How many of the agent's own later calls return something else after its repair."""
ERROR_CODE: Final = "coagent.error.code"
"""The code of a CoAgentError, which does not change (`coagent.errors`)."""
NOTICES: Final = "coagent.notice.count"
CALLS: Final = "coagent.call.count"
REEXECUTIONS: Final = "coagent.reexecution.count"

LINK: Final = "coagent.link"
"""What a link leads to: the cause of a notice or of a re-execution, the call that runs again, its agent."""
NOTICE_CAUSES: Final = "coagent.notice.causes"
"""The calls that set off what an agent is told, also those of other processes, to which no link leads."""
NOTICE_CAUSE: Final = "coagent.notice.cause.agent"
NOTICE_CALL: Final = "coagent.notice.cause.call.id"
NOTICE_PREMISES: Final = "coagent.notice.premises"
"""The reader's own calls that saw the old value."""
NOTICE_KINDS: Final = "coagent.notice.kinds"
NOTICE_KEY: Final = "coagent.notice.key"
"""The object; with arguments and results only."""

UNKNOWN: Final = "_OTHER"
"""In the place of the name of a tool that there is not: a model may write anything there."""
