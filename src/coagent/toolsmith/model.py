"""The maker by model: a language model looks at the workspace, read-only, and proposes tools.

It decides nothing: what it proposes goes to the verifier like every other tool, and what the verifier says
goes back to it for a few more tries. What workers ask and what files hold is data for it, in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
from pydantic import ValidationError
from pydantic_ai import Agent, ModelMessage, PromptedOutput, RunUsage, UsageLimits
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior, UsageLimitExceeded

from coagent.agents.llm_model import key_from, resolve_model
from coagent.errors import ConfigurationError, TargetError, ToolFailed
from coagent.protocol.patterns import BadPattern, whole_pattern
from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.views import kernel_bounds
from coagent.toolsmith.answers import ExistingTool, ProposedTool, ToolAnswer
from coagent.toolsmith.arguments import check_arguments
from coagent.toolsmith.instructions import instructions
from coagent.toolsmith.known import can_be_named, known_tools
from coagent.toolsmith.maker import Judge, ModelChoice, Proposal
from coagent.toolsmith.model_look import IsolatedTrials, Look, show_text
from coagent.toolsmith.overview import overview
from coagent.toolsmith.quoting import unquoted_parameters
from coagent.toolsmith.spec import ToolSpec
from coagent.toolsmith.trial import Trial

_ASKED_MAX = 4000


class _Talk(NamedTuple):
    """One request that a model is asked, what it has used for it, and why its answers were refused."""

    request: str
    judge: Judge
    usage: RunUsage
    reasons: list[str]


class ByModel:
    """Makes tools by a language model.

    Args:
        workspace: What the tools are for; it is never changed.
        choice: The model and its limits.
        known: The tools that are there; it may name one instead of making another.

    Raises:
        ConfigurationError: The model cannot be used: unknown, no key, no client.
    """

    def __init__(self, workspace: Workspace, choice: ModelChoice, known: Sequence[ToolSpec] = ()) -> None:
        self._workspace = workspace
        self._known = {spec.name: spec for spec in known if can_be_named(spec)}
        self._choice = choice
        missing = ConfigurationError(
            f"the model that makes tools has no key: {choice.api_key_env} is not set",
            "Set it, or correct `api_key_env` in [tools.toolsmith].",
        )
        key = key_from(choice.api_key_env, missing)
        self._model = resolve_model(choice.model, base_url=choice.base_url, api_key=key)

    async def make(self, request: str, command: str, judge: Judge) -> int:
        """Let the model propose until a tool is taken, its tries are used up, or its budget is."""
        if not kernel_bounds.version():
            raise ToolFailed(
                "a model cannot look at the workspace here: the kernel has no Landlock to hide keys with",
                "Send a bash command that does it once.",
            )
        usage = RunUsage()
        reasons: list[str] = []
        try:
            trials = await anyio.to_thread.run_sync(IsolatedTrials(self._workspace).__enter__)
            try:
                with anyio.fail_after(self._choice.seconds):
                    talk = _Talk(request, judge, usage, reasons)
                    await self._converse(Look(self._workspace, trials), command, talk)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(trials.__exit__, None, None, None)
        except (
            ModelAPIError,
            UnexpectedModelBehavior,
            UsageLimitExceeded,
            TimeoutError,
            TargetError,
        ) as stop:
            raise _failure(stop, usage, self._choice, reasons) from stop
        return usage.total_tokens

    def _agent(self, look: Look, *, may_name: bool) -> Agent[None, ToolAnswer]:
        """Return the agent that answers; it may name a tool where there are some to name."""
        outputs: list[type[ToolAnswer]] = [ProposedTool, ExistingTool] if may_name else [ProposedTool]
        in_json = self._choice.answers == "json"
        output: Any = PromptedOutput(outputs) if in_json else outputs
        return Agent(
            self._model,
            output_type=output,
            instructions=instructions(self._choice.answers, may_name=may_name),
            tools=[] if in_json else [look.run_command, look.list_files, look.read_file],
            retries=2,
        )

    async def _converse(self, look: Look, command: str, talk: _Talk) -> None:
        asked: dict[str, Any] = {"request": talk.request[:_ASKED_MAX], "command": command[:_ASKED_MAX]}
        known = known_tools(self._known.values(), talk.request)
        if known:
            asked["known_tools"] = known
        if self._choice.answers == "json":
            asked["workspace"] = await overview(look, f"{asked['request']}\n{asked['command']}")
        agent = self._agent(look, may_name=bool(known))
        async with agent:
            await self._proposals(agent, asked, talk)

    async def _proposals(self, agent: Agent[None, ToolAnswer], asked: dict[str, Any], talk: _Talk) -> None:
        limits = UsageLimits(request_limit=self._choice.requests, total_tokens_limit=self._choice.tokens)
        history: list[ModelMessage] = []
        prompt = f"What a worker asks for, as data:\n{json.dumps(asked)}"
        for _ in range(self._choice.tries):
            result = await agent.run(prompt, message_history=history, usage=talk.usage, usage_limits=limits)
            history = result.all_messages()
            reason = await self._judge(result.output, talk)
            if not reason:
                return
            talk.reasons.append(reason)
            said = json.dumps({"refused": show_text(reason)})
            prompt = (
                f"The verifier refuses the tool, for reasons given as data:\n{said}\nPropose a better one."
            )
        why = " | ".join(dict.fromkeys(talk.reasons))
        used = f"{talk.usage.total_tokens} tokens"
        raise ToolFailed(
            f"the model proposed {len(talk.reasons)} tools, and none held ({used}): {why}",
            "Send a bash command that does it once.",
        )

    async def _judge(self, tool: ToolAnswer, talk: _Talk) -> str:
        """Return why an answer is refused; nothing where it was taken."""
        if isinstance(tool, ExistingTool):
            return await self._judge_named(tool, talk)
        try:
            proposal = tool.proposal(talk.request, talk.usage.total_tokens)
        except ValidationError as error:
            return "no tool: " + "; ".join(
                f"{'.'.join(str(step) for step in fault['loc']) or 'tool'}: {fault['msg']}"
                for fault in error.errors()
            )
        spec = proposal.spec
        if len(spec.parameters) != len(tool.parameters):
            return f"{spec.name}: two parameters have one name"
        unused = [name for name in spec.parameters if not re.search(rf"\$\{{?{name}\b", spec.command)]
        if unused:
            return f"{spec.name}: the command does not use the parameters {', '.join(unused)}"
        for parameter in spec.parameters.values():
            try:
                whole_pattern(parameter.pattern or "")
            except BadPattern as bad:
                return f"{spec.name}: {bad}"
        return await anyio.to_thread.run_sync(self._try, proposal) or await talk.judge(proposal)

    async def _judge_named(self, tool: ExistingTool, talk: _Talk) -> str:
        """Return why a tool that is there is refused; nothing where it was taken."""
        spec = self._known.get(tool.name)
        if spec is None:
            return f"there is no tool {tool.name!r}"
        try:
            values = check_arguments(spec, self._workspace, tool.arguments)
        except ToolFailed as failure:
            return f"{spec.name}: {failure}"
        trial = await anyio.to_thread.run_sync(self._run, spec.command, values)
        if trial.exit_code != 0:
            return f"{spec.name}: it fails with these arguments: {show_text(trial.output.strip())[-300:]}"
        return await talk.judge(Proposal(spec, tool.arguments, talk.usage.total_tokens))

    def _run(self, command: str, values: dict[str, str]) -> Trial:
        with IsolatedTrials(self._workspace) as trials:
            return trials.run(command, values)

    def _try(self, proposal: Proposal) -> str:
        """Return what of a proposal is wrong that the verifier takes as it is."""
        spec = proposal.spec
        values = {name: str(value) for name, value in proposal.arguments.items()}
        with IsolatedTrials(self._workspace) as trials:
            parsed = trials.run('bash -n -c "$checked_command"', {"checked_command": spec.command})
            if parsed.exit_code:
                return f"{spec.name}: the command is no valid bash: {show_text(parsed.output.strip())[-300:]}"
            trial = trials.run(f"set -u\n{spec.command}", values)
        if "unbound variable" in trial.output and trial.exit_code:
            return f"{spec.name}: it uses a variable that is no parameter: {trial.output.strip()[-300:]}"
        loose = unquoted_parameters(spec.command, spec.parameters)
        if loose:
            quoted = ", ".join(f'"${name}"' for name in loose)
            return f"{spec.name}: the shell would take values apart; in the command, write {quoted}"
        if trial.exit_code == 0 and spec.effect == "write" and not trial.changes:
            return f"{spec.name}: it declares writes and changes nothing with its arguments"
        return ""


def _failure(stop: Exception, usage: RunUsage, choice: ModelChoice, reasons: list[str]) -> ToolFailed:
    used = f"{usage.total_tokens} tokens, {usage.requests} answers"
    refused = f"; refused: {' | '.join(dict.fromkeys(reasons))}" if reasons else ""
    if isinstance(stop, ModelAPIError):
        return ToolFailed(
            f"the model that makes tools cannot be reached: {show_text(str(stop))[:500]}",
            "Check its endpoint and key ([tools.toolsmith]), or send a bash command that does it once.",
        )
    if isinstance(stop, UsageLimitExceeded | TimeoutError):
        what = f"of {choice.requests} answers, {choice.tokens} tokens and {choice.seconds:g} s"
        return ToolFailed(
            f"the model made no tool within its budget {what} (used: {used}){refused}",
            "Ask for something smaller, or send a bash command that does it once.",
        )
    if isinstance(stop, UnexpectedModelBehavior):
        return ToolFailed(
            f"the model does not answer with a tool ({used}): {show_text(str(stop))[:500]}{refused}",
            "Send a bash command that does it once, or name another model.",
        )
    return ToolFailed(str(stop), "Send a bash command that does it once.")
