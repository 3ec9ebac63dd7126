"""The reference of configuration files: their tables, settings, types and defaults, as Markdown."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

from docstring_parser import DocstringStyle, parse
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", Any: "anything"}


def table(heading: str, model: type[BaseModel]) -> str:
    """Return the settings of a table.

    Args:
        heading: The table as a file writes it, such as `[serve]`.
        model: What the table is checked with.
    """
    read = parse(inspect.cleandoc(model.__doc__ or ""), DocstringStyle.GOOGLE)
    meanings = {each.arg_name: " ".join((each.description or "").split()) for each in read.params}
    text = "\n\n".join(part for part in (read.short_description, read.long_description) if part)
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    hints = typing.get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        if inner(hints[name]) is None:
            name = field.alias or name
            meaning = meanings.get(name, "").replace("|", "\\|")
            row = f"| `{name}` | {_kind(hints[field_name(model, name)])} | {default(field)} | {meaning} |"
            rows.append(row)
    return "\n\n".join([f"## {heading}", text, "\n".join(rows)])


def field_name(model: type[BaseModel], shown: str) -> str:
    """Return the attribute of a model for the name that files have for it."""
    return next(name for name, field in model.model_fields.items() if shown in (name, field.alias))


def undescribed(heading: str, model: type[BaseModel]) -> Iterator[str]:
    """Yield the settings of a table that nothing is said of."""
    for row in table(heading, model).splitlines():
        if row.endswith("|  |"):
            yield f"{heading} {row.split('`')[1]}"


def inner(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a setting is, or of which it is a list; None where it is a plain value."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := inner(part))), None)


def default(field: FieldInfo) -> str:
    """Return the default of a setting as a file would have it."""
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ([], {}, ""):
        return "none"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{json.dumps(value)}`"


def _kind(annotation: Any) -> str:
    """Return a type in TOML's words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(each) for each in arguments if each is not type(None))
    if origin is typing.Annotated:
        return "table" if arguments[0] is Any else _kind(arguments[0])
    if origin is list:
        return f"list of {_kind(arguments[0])}s"
    if origin is dict:
        return "table" if arguments[1] is Any else f"table of {_kind(arguments[1])}s"
    return _NAMES[annotation]
