"""A task done by the governed shell, or by grown tools, and undone again.

The worker with a ToolSmith sends the command of the task with `request_tool` and calls the tool that it is
given, with the arguments that it is given; where no tool can be had, it falls back on the governed shell, and
that is counted. Where a model makes the tools, the worker sends the request alone, and has nothing to fall
back on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from coagent.errors import CoAgentError
from coagent.runtime.domain import open_domain
from coagent.runtime.session import AgentSession
from coagent.systems.files.target import Files
from coagent.systems.shell.commands import CommandRunner
from coagent.systems.shell.tools import bash_tool
from coagent_lab.bench.bash.results import Result, judged
from coagent_lab.bench.bash.tasks import Task
from coagent_lab.bench.bash.trees import differing, tree_of


async def governed(task: Task, root: Path, library: Path | None = None, choice: Any = None) -> Result:
    """Do a task by the governed shell, or by grown tools where there is a library.

    Args:
        library: The folder of the grown tools.
        choice: The model that makes them, a `ModelChoice`; without one, the command of the task does.
    """
    before = tree_of(root)
    files = Files(root)
    runner = CommandRunner(files.workspace)
    tools: list[Any] = [bash_tool(runner)]
    if library is not None:
        from coagent.toolsmith.smith import smith_tools

        tools.append(smith_tools(files.workspace, library, runner=runner, choice=choice))
    async with open_domain("memory:", targets=[files], tools=tools) as domain:
        agent = await domain.join("worker")
        await agent.call("bash", command="true")  # what the first command starts lives as long as the domain
        arguments: dict[str, Any]
        call, arguments = "bash", {"command": task.solution}
        served: dict[str, Any] = {}
        if library is not None:
            command = "" if choice is not None else task.solution
            given, served = await _asked(agent, task.request, command, library)
            if given is not None:
                call, arguments = "use_tool", given
            elif choice is not None:
                return Result(task.id, task.kind, False, 0.0, why=f"no tool: {served['no_tool']}", **served)
        start = perf_counter()
        try:
            outcome = await agent.call(call, **arguments)
        except CoAgentError as error:
            left = tuple(differing(before, tree_of(root)))
            seconds = perf_counter() - start
            return Result(task.id, task.kind, False, seconds, None, left, f"refused: {error}", **served)
        seconds = perf_counter() - start
        value = (
            outcome.value if isinstance(outcome.value, dict) else {"exit_code": 0, "output": outcome.value}
        )
        result = replace(judged(task, root, value["exit_code"], value["output"], seconds), **served)
        if not result.passed and value.get("not_kept"):
            result.why = f"not kept: {', '.join(value['not_kept'])}"
        may_write = (
            task.kind == "write" or choice is not None
        )  # a model's tool may write where it should look
        if may_write and differing(before, tree_of(root)):
            await agent.undo(outcome.call_id)
            result.left = tuple(differing(before, tree_of(root)))
            result.undone = not result.left
    return result


async def _asked(
    agent: AgentSession, request: str, command: str, library: Path
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Ask for a tool, and return what to call `use_tool` with, None without a tool, and what to report."""
    known = {path.stem for path in library.glob("*.toml")}
    start = perf_counter()
    answer = (await agent.call("request_tool", request=request, command=command)).value
    served: dict[str, Any] = {"asking_s": perf_counter() - start}
    if "tool" not in answer:
        return None, {**served, "no_tool": str(answer.get("reason", ""))}
    if answer["arguments"] is None:
        why = f"{answer['tool']} is there, without arguments: {answer.get('reason', '')}"
        return None, {**served, "no_tool": why}
    served = {**served, "tool": answer["tool"], "made": answer["tool"] not in known}
    return {"name": answer["tool"], "arguments": answer["arguments"]}, served
