"""Python files that a TOML file names. Loading one runs its code."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from coagent.errors import ConfigurationError
from coagent.tools.base import Tool


def load_module(path: Path) -> ModuleType:
    """Import a Python file by its path; its own folder is on the import path while it runs.

    Raises:
        ConfigurationError: There is no such file, or its code fails; the message names the line.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"there is no Python file {str(path)!r}", "Paths are relative to the file that names it."
        )
    name = f"coagent_run_{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{str(path)!r} is no Python file", "Name a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigurationError(
            f"{path}{_line_in(error, path)} cannot be imported: {type(error).__name__}: {error}",
            "Correct the file, or install what it imports.",
        ) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def load_tools(path: Path) -> list[Any]:
    """Return the tools that a Python file defines or imports, in the order of their names in it.

    Raises:
        ConfigurationError: It cannot be imported, or has none.
    """
    module = load_module(path)
    found = [value for value in vars(module).values() if isinstance(value, Tool)]
    tools = list({id(tool): tool for tool in found}.values())
    if not tools:
        raise ConfigurationError(f"{path} has no tools", "Decorate async functions in it with @coagent.tool.")
    return tools


def _line_in(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f":{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{frames[-1].lineno}" if frames else ""
