"""Scripts of agents, as a run file names them. Loading one runs its code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coagent.config.explain import nearest
from coagent.config.modules import load_module
from coagent.errors import ConfigurationError


def load_script(path: Path, name: str, params: dict[str, Any]) -> Callable[..., Any]:
    """Return the generator function of that name, checked to take `params`.

    Raises:
        ConfigurationError: It is not there, is no generator function, or takes other parameters.
    """
    module = load_module(path)
    functions = sorted(name for name, value in vars(module).items() if inspect.isgeneratorfunction(value))
    function = getattr(module, name, None)
    if function is None:
        raise ConfigurationError(f"{path} has no {name!r}", nearest(name, functions))
    if not inspect.isgeneratorfunction(function):
        raise ConfigurationError(
            f"{path}:{name} is not a generator function", "A script is a `def` that yields (tool, arguments)."
        )
    try:
        inspect.signature(function).bind(**params)
    except TypeError as error:
        raise ConfigurationError(
            f"{path}:{name}{inspect.signature(function)} does not take params {params!r}: {error}",
            "Set `params` to its parameters.",
        ) from error
    made: Callable[..., Any] = function
    return made
