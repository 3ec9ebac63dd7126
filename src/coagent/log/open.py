"""Open a log by its URL; the engine is loaded only when it is named."""

from __future__ import annotations

from pathlib import Path

from coagent.errors import ConfigurationError
from coagent.log.base import Log
from coagent.log.memory import MemoryLog


def open_log(url: str, protocol: str) -> Log:
    """Open or create a log.

    Args:
        url: `memory:`, or `sqlite:PATH` (relative to the working directory, or absolute).
        protocol: The protocol of a new log.

    Raises:
        ConfigurationError: The URL names no engine.
        LogError: The log cannot be opened, is damaged, or comes from a newer version.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and not rest:
        return MemoryLog(protocol)
    if scheme == "sqlite" and rest:
        from coagent.log.sqlite import SqliteLog

        path = rest.removeprefix("//") if rest.startswith("///") else rest
        return SqliteLog(Path(path).expanduser(), protocol)
    raise ConfigurationError(f"no log engine for {url!r}", "Use 'memory:' or 'sqlite:PATH'.")
