"""Every error that CoAgent raises on purpose, each with a cause and a cure.

`CoAgentError` is the one base. Findings and expected outcomes (a notification, a conflict that was
repaired) are data, never exceptions; a broken invariant is an assertion.
"""

from __future__ import annotations

from typing import Any, ClassVar


class CoAgentError(Exception):
    """Base of all errors raised by CoAgent.

    Args:
        cause: What went wrong, naming the thing with `!r`.
        cure: What to do about it; empty where nothing can be advised.
    """

    code: ClassVar[str] = "coagent_error"

    def __init__(self, cause: str, cure: str = "") -> None:
        super().__init__(cause, cure)
        self.cause = cause
        self.cure = cure
        self.call_id: str | None = None
        """The call that ended with this error, where one was recorded."""
        self.notifications: list[Any] = []
        """The notices that would have come with the call's result."""

    def __str__(self) -> str:
        if not self.cure:
            return self.cause
        return f"{self.cause.rstrip('.')}. {self.cure}"


class UnknownTool(CoAgentError):
    """No tool of that name is registered in the domain; the cure names the nearest one."""

    code = "unknown_tool"


class ToolFailed(CoAgentError):
    """A tool raised. The call changed nothing.

    The failure is a premise like any other result: it stays recorded under `call_id`, and the agent
    is told when the call would end differently. `notifications` carries the notices that would have
    come with the result.
    """

    code = "tool_failed"

    def __init__(self, cause: str, cure: str = "", *, call_id: str | None = None) -> None:
        super().__init__(cause, cure)
        self.call_id = call_id


class InvalidArguments(ToolFailed):
    """The arguments do not fit the tool's schema; nothing ran and nothing was recorded."""

    code = "invalid_arguments"


class AgentNotActive(CoAgentError):
    """The agent has committed or aborted, so it can neither call nor repair."""

    code = "agent_not_active"


class AgentTakenUp(AgentNotActive):
    """Another process serves the agent, or nobody does: this one cannot speak for it."""

    code = "agent_taken_up"


class AgentRestarted(CoAgentError):
    """The protocol has withdrawn all of the agent's calls (a deadlock, a failed validation): begin again.

    Only the baselines "2pl" and "occ" raise it.
    """

    code = "agent_restarted"


class JoinRefused(CoAgentError):
    """The name is in use, or the pinned rank is taken or lies below work already done."""

    code = "join_refused"


class UnknownAgent(CoAgentError):
    """No agent of that name takes part in the domain."""

    code = "unknown_agent"


class UnknownCall(CoAgentError):
    """No call of that id belongs to the agent, or it is already part of the committed base."""

    code = "unknown_call"


class NotReversible(CoAgentError):
    """An irreversible call has run and cannot be undone or amended."""

    code = "not_reversible"


class FootprintViolation(CoAgentError):
    """A tool touched what it does not declare, or a key that no target of the domain owns."""

    code = "footprint_violation"


class TargetError(CoAgentError):
    """A target refused or failed: unreachable, forbidden, read-only, too large, outside the workspace."""

    code = "target_error"


class TargetUnavailable(TargetError):
    """A target is away, locked or too slow just now: the same request may succeed later. Nothing was changed.

    The runtime tries again for a while before anybody hears of it. Every other `TargetError` is definite: the
    target has looked at the request and will not do it.

    Args:
        cause: As for every error.
        cure: As for every error.
        by_itself: Whether it is likely to pass by itself, so that waiting makes sense; a full disk does
            not.
    """

    code = "target_unavailable"

    def __init__(self, cause: str, cure: str = "", *, by_itself: bool = True) -> None:
        super().__init__(cause, cure)
        self.by_itself = by_itself
        self.given_up = False
        """Whether it has been waited for in vain."""


class LogError(CoAgentError):
    """The log cannot be read or appended to: newer version, damaged, locked, disk full."""

    code = "log_error"


class LogUnavailable(LogError):
    """The server of the log is away just now, and was waited for in vain: the same call may succeed later."""

    code = "log_unavailable"


class IllegalEvent(CoAgentError):
    """Something was to be recorded that may not happen in the state that the domain is in; nothing was."""

    code = "illegal_event"


class NotPrivate(CoAgentError):
    """A file of CoAgent's own belongs to somebody else, or others could put another one in its place."""

    code = "not_private"


class ConfigurationError(CoAgentError):
    """A run file, option or value is wrong; the cure names the place and the nearest right name."""

    code = "configuration_error"
