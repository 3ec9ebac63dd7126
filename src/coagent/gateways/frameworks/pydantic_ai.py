"""Pydantic AI: a toolset whose tools are governed, and runs that end committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_ai import Agent, FunctionToolset, RunContext, ToolDefinition
from pydantic_ai.messages import InstructionPart, ModelMessage, ToolReturn
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import AgentDepsT, DeferredToolRequests
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_core import SchemaValidator, core_schema

from coagent.errors import ConfigurationError
from coagent.gateways.frameworks.governed import (
    LOCAL,
    Declared,
    Existing,
    Governed,
    Offered,
    until_committed,
)
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent.wording.instructions import for_a_framework
from coagent.wording.spoken import words_in

__all__ = ["LOCAL", "Declared", "govern", "run_to_commit"]

# The session checks arguments itself, and a tool's own validator must see them each time that it runs.
_ANY_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()))


def govern(
    toolset: AbstractToolset[AgentDepsT],
    domain: Domain,
    session: AgentSession,
    declarations: Mapping[str, Declared] | None = None,
    *,
    offer: Collection[str] | None = None,
    scheme: str = "tools",
) -> AbstractToolset[AgentDepsT]:
    """Return a toolset whose tools go through the agent's session.

    Use it as `Agent(model, toolsets=[govern(toolset, domain, session, declarations)])`, once for each
    session; combine several toolsets with `CombinedToolset` first. It also has the domain's own tools,
    `coagent_undo` and `coagent_amend`, and brings the instructions on working with others.

    Args:
        toolset: The agent's tools.
        domain: The domain that the agent takes part in.
        session: The agent's session.
        declarations: What the tools read and write, by name. A tool that is not named is irreversible: it
            runs when the agent is committed.
        offer: The names of the domain's own tools to add; all by default.
        scheme: What undeclared tools are taken to write, as a whole.

    Raises:
        ConfigurationError: There is no tool of the domain of a name in `offer`. When the agent runs: a
            declaration does not fit its tool, or there is no tool that it is for.
    """
    governed = Governed(domain, session, declarations, offer=offer, scheme=scheme)
    return _GovernedToolset(toolset, governed)


async def run_to_commit(
    agent: Agent[AgentDepsT, Any], session: AgentSession, prompt: str, **options: Any
) -> AgentRunResult[Any]:
    """Run an agent until its work is committed: when something moves after it had finished, it goes on.

    Args:
        agent: An agent with a governed toolset.
        session: The agent's session.
        prompt: What it is to do.
        **options: For `Agent.run`; `message_history` is that of the first run.

    Returns:
        The result of the last run, with all messages.

    Raises:
        Exception: What the run raised. The agent's work has been withdrawn then.
    """
    earlier: Sequence[ModelMessage] = options.pop("message_history", None) or ()
    result: AgentRunResult[Any] | None = None

    async def work(prompt: str, anew: bool) -> str:
        nonlocal result
        history = earlier if anew or result is None else result.all_messages()
        result = await agent.run(prompt, message_history=history, **options)
        if isinstance(result.output, DeferredToolRequests):
            raise ConfigurationError(
                "the run ended with tools to be approved or run elsewhere",
                "Carry them out with `Agent.run`, and call `session.finish(wait=True)` yourself.",
            )
        return words_in(result.all_messages())

    await until_committed(session, prompt, work)
    assert result is not None
    return result


@dataclass
class _Bound:
    """A tool as the agent's last step had it: what its later runs need."""

    name: str
    toolset: AbstractToolset[Any]
    tool: ToolsetTool[Any]
    ctx: RunContext[Any]

    async def run(self, arguments: dict[str, Any]) -> Any:
        tool, ctx = self.tool, self.ctx
        checked = tool.args_validator.validate_python(arguments, context=ctx.validation_context)
        if tool.args_validator_func is not None:
            answer = tool.args_validator_func(ctx, **checked)
            if answer is not None:
                await answer
        result = await self.toolset.call_tool(self.name, checked, ctx, tool)
        return result.return_value if isinstance(result, ToolReturn) else result


@dataclass(kw_only=True)
class _GovernedTool(ToolsetTool[AgentDepsT]):
    original: ToolsetTool[AgentDepsT]


@dataclass(kw_only=True)
class _OfferedTool(ToolsetTool[AgentDepsT]):
    offered: Offered


@dataclass
class _GovernedToolset(WrapperToolset[AgentDepsT]):
    governed: Governed
    bound: dict[str, _Bound] = field(default_factory=dict)
    """Shared with the copies that the framework makes of this toolset for each run."""
    owner: object = field(default_factory=object)

    async def get_instructions(
        self, ctx: RunContext[AgentDepsT]
    ) -> str | InstructionPart | Sequence[str | InstructionPart] | None:
        wrapped = await super().get_instructions(ctx)
        others = [wrapped] if isinstance(wrapped, str | InstructionPart) else list(wrapped or ())
        return [InstructionPart(content=for_a_framework(self.governed.session.name)), *others]

    async def get_tools(self, ctx: RunContext[AgentDepsT]) -> dict[str, ToolsetTool[AgentDepsT]]:
        tools = await self.wrapped.get_tools(ctx)
        self.governed.check_declarations(tools)
        shown: dict[str, ToolsetTool[AgentDepsT]] = {}
        for name, tool in tools.items():
            if self.governed.is_local(name):
                shown[name] = tool
                continue
            if tool.tool_def.kind == "external":
                raise ConfigurationError(
                    f"tool {name!r} runs elsewhere, so it cannot be governed", "Declare it as LOCAL."
                )
            self.bound[name] = _Bound(name, self.wrapped, tool, ctx)
            self.governed.add(self._existing(name, tool))
            shown[name] = _GovernedTool(
                toolset=self,
                tool_def=replace(tool.tool_def, sequential=True, timeout=None),
                max_retries=tool.max_retries,
                args_validator=_ANY_OBJECT,
                original=tool,
            )
        for offered in self.governed.offered:
            definition = ToolDefinition(
                name=offered.name,
                description=offered.description,
                parameters_json_schema=offered.schema,
                sequential=True,
            )
            shown[offered.name] = _OfferedTool(
                toolset=self, tool_def=definition, max_retries=1, args_validator=_ANY_OBJECT, offered=offered
            )
        return shown

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[AgentDepsT], tool: ToolsetTool[AgentDepsT]
    ) -> Any:
        self.governed.session.say(words_in(ctx.messages))
        if isinstance(tool, _OfferedTool):
            return (await tool.offered.call(tool_args)).text
        if not isinstance(tool, _GovernedTool):
            return await super().call_tool(name, tool_args, ctx, tool)
        self.bound[name] = _Bound(name, self.wrapped, tool.original, ctx)
        return (await self.governed.call(name, tool_args)).text

    def _existing(self, name: str, tool: ToolsetTool[AgentDepsT]) -> Existing:
        bound = self.bound

        async def run(arguments: dict[str, Any]) -> Any:
            return await bound[name].run(arguments)

        definition = tool.tool_def
        return Existing(
            name, definition.description or "", definition.parameters_json_schema, run, self._identity(name)
        )

    def _identity(self, name: str) -> object:
        """Return the function behind a tool; the run's own where that depends on who runs it."""
        if isinstance(self.wrapped, FunctionToolset):
            own = self.wrapped.tools.get(name)
            if own is not None and not own.takes_ctx:
                return own.function
        return self.owner
