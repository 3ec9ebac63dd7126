"""The domain's tools as a Pydantic AI toolset: every call goes through the agent's session."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import ModelRetry, RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from coagent.agents.budget import Budget
from coagent.errors import CoAgentError, ConfigurationError, InvalidArguments
from coagent.runtime.amending import amend_as_asked
from coagent.runtime.notices import Notification
from coagent.runtime.outcomes import Outcome
from coagent.runtime.session import AgentSession
from coagent.tools.names import function_names
from coagent.wording.quoting import Quoting
from coagent.wording.repairs import (
    AMEND_DESCRIPTION,
    AMEND_SCHEMA,
    PLAIN,
    UNDO_DESCRIPTION,
    UNDO_SCHEMA,
    call_id_of,
    for_the_model,
)
from coagent.wording.results import error_text, outcome_text, undone_text
from coagent.wording.spoken import words_in

_WRONG_ARGUMENTS_MAX = 5
# The session checks arguments itself and says what is wrong in words made for models.
_ANY_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()))
_UNDO, _AMEND = (
    ToolDefinition(name=name, description=description, parameters_json_schema=schema, sequential=True)
    for name, description, schema in (
        (PLAIN.undo, UNDO_DESCRIPTION, UNDO_SCHEMA),
        (PLAIN.amend, AMEND_DESCRIPTION, AMEND_SCHEMA),
    )
)


class BudgetExceeded(Exception):
    """The agent has used up its budget; the message says which part."""


@dataclass
class Counters:
    """What an agent has done so far."""

    calls: int = 0
    undos: int = 0
    amendments: int = 0
    restarts: int = 0
    notices: list[Notification] = field(default_factory=list)
    repaired: list[tuple[int, str]] = field(default_factory=list)
    """Calls undone or amended, each with the number of notices that had come by then."""

    def total(self) -> int:
        """Return the number of calls that count against the budget."""
        return self.calls + self.undos + self.amendments


def usable(tools: Mapping[str, Any], names: Collection[str] | None) -> dict[str, Any]:
    """Return those of the domain's tools that an agent may use.

    Args:
        tools: The domain's tools by name.
        names: The names of the agent's; None: all.

    Raises:
        ConfigurationError: There is no tool of that name, or one is named like those that every agent has.
    """
    found = dict(tools) if names is None else {name: tools[name] for name in names if name in tools}
    for name in names or ():
        if name not in tools:
            nearest = difflib.get_close_matches(name, tools, 1)
            known = ", ".join(sorted(tools)) or "none"
            cure = f"Did you mean {nearest[0]!r}?" if nearest else f"The domain has: {known}."
            raise ConfigurationError(f"there is no tool {name!r}", cure)
    for name in PLAIN:
        if name in found:
            raise ConfigurationError(
                f"the tool name {name!r} is one that every model has already",
                "Rename yours with @tool(name=...).",
            )
    return found


class SessionToolset(AbstractToolset[None]):
    """The tools of one agent's session, and `undo` and `amend`.

    Calls that a model makes in parallel run one after another, in its order: an agent is a sequence.

    Args:
        session: The agent's session.
        tools: The domain's tools that the agent may use, by name.
        budget: For its limit on calls.
        counters: Kept up to date.
    """

    def __init__(
        self, session: AgentSession, tools: Mapping[str, Any], budget: Budget, counters: Counters
    ) -> None:
        self._session = session
        self._budget = budget
        self._counters = counters
        self._names = function_names(tools)
        self._definitions = [
            *(
                ToolDefinition(
                    name=name,
                    description=tools[own].description,
                    parameters_json_schema=tools[own].schema,
                    sequential=True,
                )
                for name, own in self._names.items()
            ),
            _UNDO,
            _AMEND,
        ]

    @property
    def id(self) -> str:
        return f"coagent-{self._session.name}"

    async def get_tools(self, ctx: RunContext[None]) -> dict[str, ToolsetTool[None]]:
        return {
            definition.name: ToolsetTool(
                toolset=self,
                tool_def=definition,
                max_retries=_WRONG_ARGUMENTS_MAX,
                args_validator=_ANY_OBJECT,
            )
            for definition in self._definitions
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[None], tool: ToolsetTool[None]
    ) -> str:
        self._session.say(words_in(ctx.messages))
        limit = self._budget.calls
        if limit is not None and self._counters.total() >= limit:
            raise BudgetExceeded(f"it has made {limit} calls, which is its budget")
        if name in PLAIN:
            try:
                call_id = call_id_of(tool_args)
            except InvalidArguments as error:
                raise ModelRetry(str(error)) from error
            if tool_args.get("preview") is not True:
                self._repaired(call_id)
            if name == PLAIN.undo:
                self._counters.undos += 1
                return await self._shown(lambda: self._session.undo(call_id), undone_text)
            self._counters.amendments += 1
            return await self._shown(lambda: amend_as_asked(self._session, tool_args), outcome_text)
        self._counters.calls += 1
        own = self._names[name]
        return await self._shown(lambda: self._session.call(own, **tool_args), outcome_text)

    async def _shown(
        self, act: Callable[[], Awaitable[Outcome]], text_of: Callable[[Outcome, Quoting], str]
    ) -> str:
        """Return what the model sees of an act; what no model can do anything about is raised."""
        try:
            outcome = await act()
        except InvalidArguments as error:
            raise ModelRetry(str(error)) from error
        except CoAgentError as error:
            if not for_the_model(error):
                raise
            self._told(error.notifications)
            return error_text(error, self._session.quoting)
        self._told(outcome.notifications)
        return text_of(outcome, self._session.quoting)

    def _repaired(self, call_id: str) -> None:
        self._counters.repaired.append((len(self._counters.notices), call_id))

    def _told(self, notices: Sequence[Notification]) -> None:
        self._counters.notices.extend(notices)
