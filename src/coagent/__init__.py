"""CoAgent: several LLM agents on one live state, ending as if they had come one after another.

Names are loaded when they are first used, so that a command which needs few of them starts quickly.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; `typing` takes longer to import than all the rest here
if TYPE_CHECKING:
    from typing import Any

    from coagent import targets
    from coagent.errors import (
        AgentNotActive,
        AgentRestarted,
        AgentTakenUp,
        CoAgentError,
        ConfigurationError,
        FootprintViolation,
        InvalidArguments,
        JoinRefused,
        LogError,
        LogUnavailable,
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
    from coagent.tools.intent import Probed, idempotency_key
    from coagent.tools.native import tool
    from coagent.tools.state import State

__all__ = [
    "AgentNotActive",
    "AgentRestarted",
    "AgentSession",
    "AgentTakenUp",
    "CoAgentError",
    "ConfigurationError",
    "DeclaredTool",
    "Domain",
    "FootprintViolation",
    "InvalidArguments",
    "JoinRefused",
    "LogError",
    "LogUnavailable",
    "NotReversible",
    "Notification",
    "Outcome",
    "Probed",
    "Settlement",
    "State",
    "TargetError",
    "TargetUnavailable",
    "ToolFailed",
    "UnknownAgent",
    "UnknownCall",
    "UnknownTool",
    "idempotency_key",
    "open_domain",
    "targets",
    "tool",
]

_WHERE = {
    "Domain": "runtime.domain",
    "open_domain": "runtime.domain",
    "Notification": "runtime.notices",
    "Outcome": "runtime.outcomes",
    "Settlement": "runtime.outcomes",
    "AgentSession": "runtime.session",
    "DeclaredTool": "tools.declared",
    "Probed": "tools.intent",
    "idempotency_key": "tools.intent",
    "tool": "tools.native",
    "State": "tools.state",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in ("errors", "targets"):
        return import_module(f"coagent.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"coagent.{_WHERE.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
