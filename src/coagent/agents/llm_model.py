"""Pydantic AI models by their id, with every mistake in the choice told before anything runs."""

from __future__ import annotations

import os

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.settings import ModelSettings

from coagent.errors import ConfigurationError

REQUEST_RETRIES = 4
"""How often the provider's own client repeats a request that failed (its policy: backoff, Retry-After)."""


def key_from(variable: str | None, missing: ConfigurationError) -> str | None:
    """Return the API key that an environment variable holds.

    Args:
        variable: The variable; None where the provider's own is to be used.
        missing: What is raised where it is not set or empty: the caller knows which file names it.

    Returns:
        The key; None where no variable is named.

    Raises:
        ConfigurationError: `missing`.
    """
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise missing
    return key


def resolve_model(model: Model | str, *, base_url: str | None = None, api_key: str | None = None) -> Model:
    """Return the model that an id names.

    Args:
        model: `provider:name`, or a model, which is returned as it is.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        api_key: The key; by default the provider's environment variable, and none for a `base_url`.

    Raises:
        ConfigurationError: No such provider or model, no API key, or its client is not installed.
    """
    if isinstance(model, Model):
        return model
    if base_url is not None:
        return _compatible(model, base_url, api_key)
    try:
        if api_key is not None:
            return _with_key(model, api_key)
        return infer_model(model)
    except UserError as error:
        cause = str(error).partition(" To try Pydantic AI without an API key")[0]
        raise ConfigurationError(
            f"model {model!r} cannot be used: {cause}", "Set the key it asks for, or name another model."
        ) from error
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"model {model!r} cannot be used: {error}",
            "Write `provider:name`, for instance 'openai:gpt-5-mini', and install the provider's client.",
        ) from error


def retry_settings(model: Model, retries: int, settings: ModelSettings | None) -> ModelSettings:
    """Return the settings with the number of repeated requests, where the model's client can repeat them."""
    made = (
        ModelSettings() if "max_retries" in model.unsupported_settings else ModelSettings(max_retries=retries)
    )
    made.update(settings or {})
    return made


def _compatible(model: str, base_url: str, api_key: str | None) -> Model:
    try:
        from coagent.agents.llm_compatible import compatible_model
    except ImportError as error:
        raise ConfigurationError(
            f"base_url needs the OpenAI client: {error}", "Install it: pip install 'coagent-mtpo[llm]'."
        ) from error
    if not base_url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"base_url {base_url!r} is no URL", "Write it like 'http://127.0.0.1:8411/v1'."
        )
    # Never the key of another provider that happens to lie in the environment: this may be any server.
    return compatible_model(model.removeprefix("openai:"), base_url, api_key or "none")


def _with_key(model: str, api_key: str) -> Model:
    """Make the provider with a key of the caller's, where its class takes one."""
    from pydantic_ai.providers import infer_provider_class

    def provider(name: str) -> object:
        return infer_provider_class(name)(api_key=api_key)  # type: ignore[call-arg]

    return infer_model(model, provider_factory=provider)  # type: ignore[arg-type]
