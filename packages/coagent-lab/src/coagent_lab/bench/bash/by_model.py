"""Tasks done by tools that a language model makes or finds, from their requests alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic_ai import ModelMessage, ModelResponse, ModelSettings
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel

from coagent.agents.llm_model import resolve_model
from coagent.toolsmith.maker import Answers, ModelChoice
from coagent_lab.bench.bash.governed import governed
from coagent_lab.bench.bash.results import Result
from coagent_lab.bench.bash.tasks import Task


@dataclass(frozen=True)
class ToolsByModel:
    """A worker whose tools a language model makes; what they do is judged like all work.

    Args:
        model: A Pydantic AI model id (`provider:name`), or a model.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        answers: How the model is to answer.
        seconds: How long it may take for one request.
    """

    model: Any
    base_url: str | None = None
    answers: Answers = "tools"
    seconds: float = 300.0

    async def run(self, task: Task, root: Path, library: Path) -> Result:
        """Ask for a tool in the words of the task, call it, and judge what it leaves and says.

        Returns:
            The result, with all tokens that the model has used, also where it made no tool.

        Raises:
            ConfigurationError: The model cannot be used.
        """
        counted = _Counted(resolve_model(self.model, base_url=self.base_url))
        choice = ModelChoice(counted, answers=self.answers, seconds=self.seconds)
        result = await governed(task, root, library, choice)
        return replace(result, tokens=counted.tokens)


class _Counted(WrapperModel):
    """A model that counts its tokens: the ToolSmith tells only those of the tools that it keeps."""

    def __init__(self, wrapped: Model) -> None:
        super().__init__(wrapped)
        self.tokens = 0

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        response = await super().request(messages, model_settings, model_request_parameters)
        self.tokens += response.usage.total_tokens
        return response
