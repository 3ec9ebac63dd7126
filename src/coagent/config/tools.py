"""The table that names tools, and the tools that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ModelWrapValidatorHandler, create_model, model_validator
from pydantic_core import PydanticCustomError

from coagent.config.explain import nearest
from coagent.config.modules import load_tools
from coagent.config.systems import not_installed, registered, system
from coagent.config.targets import system_of
from coagent.errors import ConfigurationError
from coagent.systems.base import Given, Place, Table, Tools
from coagent.targets.base import Target


class ToolsTable(Table):
    """What the agents may call; for each of the built-in tools it may have a table with their settings.

    Args:
        builtin: The systems whose tools the agents get; by default those of the targets.
        modules: Python files with functions made with `@coagent.tool`, relative to the file.
    """

    builtin: list[str] | None = None
    modules: list[str] = Field(default_factory=list)

    @model_validator(mode="wrap")
    @classmethod
    def _with_settings(cls, given: Any, handler: ModelWrapValidatorHandler[ToolsTable]) -> ToolsTable:
        """Check the settings of tools by the tables that their systems have for them."""
        if cls is not ToolsTable or not isinstance(given, dict):
            return handler(given)
        fields: Any = {}
        for name in given.keys() - cls.model_fields.keys():
            tools = _tools(name)
            if tools is not None:
                fields[name] = (tools.settings, Field(default_factory=tools.settings))
        if not fields:
            return handler(given)
        return create_model("ToolsTable", __base__=ToolsTable, **fields).model_validate(given)

    @classmethod
    def names(cls) -> list[str]:
        return sorted({*cls.model_fields, *registered()})

    @classmethod
    def inner(cls, name: str) -> Any:
        found = super().inner(name)
        tools = _tools(name) if found is None else None
        return found if tools is None else tools.settings

    def settings(self, name: str) -> Any:
        """Return the settings of some built-in tools: the table that the file has for them, or an empty one.

        Args:
            name: Their name.
        """
        tools = _tools(name)
        return self.__dict__.get(name) or (Table() if tools is None else tools.settings())


def _tools(name: str) -> Tools | None:
    try:
        found = system(name)
    except ConfigurationError as error:
        raise PydanticCustomError("system", "{said}", {"said": f"{error.cause}. {error.cure}"}) from error
    return None if found is None else found.tools


def make_tools(
    table: ToolsTable, targets: Sequence[Any], live: Sequence[Target], folder: Path, place: str
) -> list[Any]:
    """Return the tools that a table names: built-in ones, by default those of the targets, and modules' own.

    Args:
        table: The table.
        targets: The tables of the targets.
        live: The targets.
        folder: Where relative paths start.
        place: `file:line`, for messages.

    Raises:
        ConfigurationError: There are none of that name, or their code fails.
    """
    names = table.builtin
    if names is None:
        names = [target.kind for target in targets if system_of(target).tools is not None]
    tools: list[Any] = []
    for name in names:
        found = system(name)
        if found is None or found.tools is None:
            known = [name for name in registered() if _tools(name) is not None]
            raise ConfigurationError(f"{place}: there are no built-in tools {name!r}", nearest(name, known))
        given = Given(table.settings(name), targets, live, Place(folder, place))
        try:
            tools.extend(found.tools.make(given))
        except ImportError as error:
            raise not_installed(found, f"the tools {name!r}", error, place) from error
    for module in table.modules:
        tools.extend(load_tools(folder / module))
    return tools
