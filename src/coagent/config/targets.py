"""Tables that describe live systems, and the targets that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError, PydanticKnownError

from coagent.config.explain import nearest
from coagent.config.systems import not_installed, registered, system
from coagent.errors import ConfigurationError
from coagent.systems.base import Place, System, Table, TargetKind
from coagent.targets.base import Target


class ByKind:
    """The tables that `[[targets]]` may be: one for each kind."""

    def table(self, data: Any) -> type[Table] | None:
        """Return that of the kind that a table names."""
        kind = _kind(data.get("kind")) if isinstance(data, dict) else None
        return None if kind is None else kind.table


def _kind(name: Any) -> TargetKind | None:
    try:
        found = system(name) if isinstance(name, str) else None
    except ConfigurationError as error:
        raise PydanticCustomError("system", "{said}", {"said": f"{error.cause}. {error.cure}"}) from error
    return None if found is None else found.target


def _check(given: Any) -> Table:
    """Return what the table of its kind makes of it; what that says against it keeps its place."""
    if isinstance(given, Table):
        return given
    if not isinstance(given, dict):
        raise PydanticKnownError("dict_type")
    if "kind" not in given:
        said = f"a target lacks its 'kind'. Choose one of: {', '.join(_kinds())}."
        raise PydanticCustomError("system", "{said}", {"said": said})
    kind = _kind(given["kind"])
    if kind is None:
        said = f"there is no kind of target {given['kind']!r}. {nearest(str(given['kind']), _kinds())}"
        raise PydanticCustomError("system", "{said}", {"said": said})
    return kind.table.model_validate(given)


def _kinds() -> list[str]:
    return [name for name in registered() if _kind(name) is not None]


TargetTable: TypeAlias = Annotated[Any, PlainValidator(_check), ByKind()]


def system_of(table: Any) -> System:
    """Return the system that a table of a target is of.

    Raises:
        ConfigurationError: It is not registered.
    """
    found = system(table.kind)
    if found is None or found.target is None:
        raise ConfigurationError(f"there is no kind of target {table.kind!r}", nearest(table.kind, _kinds()))
    return found


def make_target(table: Any, folder: Path, place: str) -> Target:
    """Return the target that a table describes.

    Args:
        table: The table of its kind.
        folder: Where its relative paths start.
        place: `file:line`, for messages.

    Raises:
        ConfigurationError: It cannot be used.
    """
    found = system_of(table)
    assert found.target is not None
    try:
        return found.target.make(table, Place(folder, place))
    except ImportError as error:
        raise not_installed(found, f"the target {found.name!r}", error, place) from error
