"""Tasks done by a language model, from their requests alone, with the governed shell."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from coagent.agents.budget import Budget
from coagent.agents.llm import LlmAgent
from coagent.runtime.domain import open_domain
from coagent.systems.files.target import Files
from coagent.systems.shell.tools import bash_tools
from coagent_lab.bench.bash.results import Result, judged
from coagent_lab.bench.bash.tasks import Task

_INSTRUCTIONS = (
    "Work in the current folder with the tool bash. Do just what is asked. "
    "Where something is asked, end with its answer alone: the bare value, no sentence."
)


@dataclass(frozen=True)
class Modelled:
    """A language model as the worker.

    Args:
        model: A Pydantic AI model id (`provider:name`), or a model.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        budget: What it may spend on each task.
    """

    model: Any
    base_url: str | None = None
    budget: Budget = field(default_factory=lambda: Budget(requests=12, tokens=100_000, calls=12, seconds=300))

    async def run(self, task: Task, root: Path, library: Path) -> Result:
        """Let the model do a task on a tree, and judge what it leaves and says.

        Raises:
            ConfigurationError: The model cannot be used.
        """
        agent = LlmAgent(
            "worker",
            task.request,
            self.model,
            base_url=self.base_url,
            instructions=_INSTRUCTIONS,
            budget=self.budget,
        )
        files = Files(root)
        start = perf_counter()
        async with open_domain("memory:", targets=[files], tools=bash_tools(files.workspace)) as domain:
            await agent.run(domain, await domain.join("worker"))
        result = judged(task, root, 0, agent.answer.strip(), perf_counter() - start)
        result.tokens = agent.usage.total_tokens
        if agent.state == "aborted":
            result.passed, result.why = False, f"aborted: {agent.reason}"
        return result
