"""A scripted model that makes tools: a function that plays one, whichever way it is to answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic_ai import ModelMessage, ModelResponse, RequestUsage, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

TOKENS_AN_ANSWER = 10
FILE = {"name": "file", "type": "path", "value": "hosts"}
UPPER: dict[str, Any] = {
    "name": "upper_case",
    "description": "Put a file into upper case.",
    "command": 'out=$(mktemp) && tr a-z A-Z < "$file" > "$out" && cat "$out" > "$file"',
    "effect": "write",
    "parameters": [FILE],
    "reads": ["file:{file}"],
    "writes": ["file:{file}"],
}


class Scripted:
    """A scripted model: it plays one answer after the other, the last one again and again.

    Args:
        answers: Text; a call of a tool; or a dictionary, which is a proposed tool where it has a `command`,
            and an existing one otherwise.
    """

    def __init__(self, *answers: dict[str, Any] | str | ToolCallPart) -> None:
        self.answers = list(answers)
        self.seen: list[str] = []
        self.tools: list[list[str]] = []
        self.before: Callable[[], Any] | None = None

    @property
    def model(self) -> FunctionModel:
        return FunctionModel(self._answer)

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.seen.append(str(messages[-1]))
        self.tools.append([one.name for one in (*info.function_tools, *info.output_tools)])
        if self.before is not None:
            await self.before()
        answer = self.answers[min(len(self.seen), len(self.answers)) - 1]
        part: Any = answer
        if isinstance(answer, str):
            part = TextPart(answer)
        elif isinstance(answer, dict):
            part = _structured(answer, info)
        return ModelResponse([part], usage=RequestUsage(input_tokens=7, output_tokens=3))


def _structured(answer: dict[str, Any], info: AgentInfo) -> Any:
    kind = "ProposedTool" if "command" in answer else "ExistingTool"
    if not info.output_tools:
        both = "ExistingTool" in str(info.instructions)
        return TextPart(json.dumps({"result": {"kind": kind, "data": answer}} if both else answer))
    names = [one.name for one in info.output_tools]
    return ToolCallPart(names[0] if len(names) == 1 else f"final_result_{kind}", answer)
