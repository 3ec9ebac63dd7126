"""The tools of a domain, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from coagent.errors import ConfigurationError, UnknownTool
from coagent.tools.base import Tool


class Catalog:
    """The tools that agents may call; some tools know of others that are not offered yet."""

    def __init__(self) -> None:
        self.tools: dict[str, Tool] = {}

    def find(self, name: str) -> Tool | None:
        """Return a tool by its name, also one that another tool knows of; None where there is none."""
        found = self.tools.get(name)
        if found is None:
            found = next(
                (made for tool in self.tools.values() if (made := tool.named(name)) is not None), None
            )
            if found is not None:
                self.tools[name] = found
        return found

    def get(self, name: str) -> Tool:
        """Return a tool by its name.

        Raises:
            UnknownTool: There is none; names the nearest one.
        """
        found = self.find(name)
        if found is None:
            nearest = difflib.get_close_matches(name, self.tools, 1)
            known = ", ".join(sorted(self.tools)) or "none"
            cure = f"Did you mean {nearest[0]!r}?" if nearest else f"The domain has: {known}."
            raise UnknownTool(f"there is no tool {name!r}", cure)
        return found


def flattened(tools: Iterable[Any]) -> Iterator[Tool]:
    """Yield tools that are given one by one or in collections.

    Raises:
        ConfigurationError: Something is no tool.
    """
    for tool in tools:
        if isinstance(tool, Tool):
            yield tool
        elif isinstance(tool, list | tuple | set | frozenset):
            yield from flattened(tool)
        else:
            raise ConfigurationError(f"{tool!r} is not a tool", "Decorate the function with @coagent.tool.")
