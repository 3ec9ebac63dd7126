"""CoAgent: several LLM agents on one live state, ending as if they had come one after another."""

from __future__ import annotations

from coagent import targets
from coagent.errors import (
    AgentNotActive,
    AgentRestarted,
    CoAgentError,
    ConfigurationError,
    FootprintViolation,
    InvalidArguments,
    JoinRefused,
    LogError,
    NotReversible,
    TargetError,
    TargetUnavailable,
    ToolFailed,
    UnknownAgent,
    UnknownCall,
    UnknownTool,
)
from coagent.runtime.domain import Domain, open_domain
from coagent.runtime.notices import Notification
from coagent.runtime.outcomes import Outcome, Settlement
from coagent.runtime.session import AgentSession
from coagent.tools.declared import DeclaredTool
from coagent.tools.native import tool
from coagent.tools.state import State

__all__ = [
    "AgentNotActive",
    "AgentRestarted",
    "AgentSession",
    "CoAgentError",
    "ConfigurationError",
    "DeclaredTool",
    "Domain",
    "FootprintViolation",
    "InvalidArguments",
    "JoinRefused",
    "LogError",
    "NotReversible",
    "Notification",
    "Outcome",
    "Settlement",
    "State",
    "TargetError",
    "TargetUnavailable",
    "ToolFailed",
    "UnknownAgent",
    "UnknownCall",
    "UnknownTool",
    "open_domain",
    "targets",
    "tool",
]
