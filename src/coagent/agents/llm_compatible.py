"""Models behind OpenAI-compatible endpoints, which are stricter than OpenAI's own in places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionAssistantMessageParam


class CompatibleModel(OpenAIChatModel):
    """A chat model whose messages always have a text: some servers (llama.cpp's) refuse a null `content`."""

    class _MapModelResponseContext(OpenAIChatModel._MapModelResponseContext):
        def _into_message_param(self) -> ChatCompletionAssistantMessageParam | None:
            message = super()._into_message_param()
            if message is not None and message.get("content") is None:
                message["content"] = ""
            return message


def compatible_model(name: str, base_url: str, api_key: str) -> CompatibleModel:
    """Return the model of that name behind an endpoint."""
    provider = OpenAICompatibleProvider("openai-compatible", base_url=base_url, api_key=api_key)
    return CompatibleModel(name, provider=provider)
