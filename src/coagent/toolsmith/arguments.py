"""Arguments of grown tools: checked, brought to one form, and handed over as variables of the command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from coagent.errors import InvalidArguments, TargetError
from coagent.protocol.patterns import BadPattern, whole_pattern
from coagent.systems.files.workspace import Workspace
from coagent.toolsmith.spec import TEXT_LENGTH_MAX, Parameter, ToolSpec
from coagent.toolsmith.stages import NoReader, check_stages, decode, encode

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Also what ends lines for some programs, and what turns the direction of text that people review."""


def check_arguments(spec: ToolSpec, workspace: Workspace, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return arguments as the command gets them.

    Args:
        spec: The tool.
        workspace: Where its paths lie.
        arguments: By parameter.

    Raises:
        InvalidArguments: One is missing, unknown, of another type, leads out of the workspace, or could be
            taken for an option.
    """
    unknown = sorted(arguments.keys() - spec.parameters.keys())
    missing = sorted(spec.parameters.keys() - arguments.keys())
    if unknown or missing:
        what = f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}"
        raise InvalidArguments(f"wrong arguments for tool {spec.name!r} ({what})", f"It is {spec.signature}.")
    return {name: _value(spec, workspace, name, value) for name, value in arguments.items()}


def _value(spec: ToolSpec, workspace: Workspace, name: str, value: Any) -> str:
    parameter = spec.parameters[name]
    if parameter.type in ("integer", "number"):
        return _number(name, parameter, value)
    if parameter.type == "stages":
        return _stages(name, parameter, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _wrong(name, "is no text")
    if len(value) > TEXT_LENGTH_MAX:
        raise _wrong(name, f"is longer than {TEXT_LENGTH_MAX} characters")
    if _CONTROLS.search(value) or ("\n" in value and not parameter.multiline):
        raise _wrong(name, "has control characters or line ends in it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _wrong(name, "is not valid Unicode") from None
    if parameter.pattern is not None and not _fits(parameter.pattern, value):
        raise _wrong(name, f"does not match {parameter.pattern}")
    if parameter.type == "path":
        return _path(workspace, name, value, itself=parameter.itself)
    if value.startswith("-") and not parameter.option_safe:
        raise _wrong(name, "begins with a dash, which a program would take for an option")
    return value


def _number(name: str, parameter: Parameter, value: Any) -> str:
    whole = parameter.type == "integer"
    pattern = r"-?[0-9]{1,18}" if whole else r"-?[0-9]{1,18}(\.[0-9]{1,18})?"
    text = str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not re.fullmatch(pattern, text):
        raise _wrong(name, f"is no {parameter.type}")
    if whole:
        return str(int(text))
    before, point, after = text.lstrip("-").partition(".")
    return f"{'-' if text.startswith('-') else ''}{int(before)}{point}{after}"


def _stages(name: str, parameter: Parameter, value: Any) -> str:
    """Return a pipeline as the command gets it; a value that has that form already is checked as well."""
    stages = decode(value) if isinstance(value, str) else value
    if not isinstance(stages, list) or not all(isinstance(stage, list) for stage in stages):
        raise _wrong(name, "is no list of stages, each a list of words")
    try:
        text = encode(check_stages(stages))
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _wrong(name, "is not valid Unicode") from None
    except NoReader as error:
        raise _wrong(name, str(error)) from None
    if len(text) > TEXT_LENGTH_MAX:
        raise _wrong(name, f"is longer than {TEXT_LENGTH_MAX} characters")
    if parameter.pattern is not None and not _fits(parameter.pattern, text):
        raise _wrong(name, f"does not match {parameter.pattern!r}")
    return text


def _path(workspace: Workspace, name: str, value: str, *, itself: bool) -> str:
    """Return a path relative to the workspace, in one form, which no program takes for an option."""
    if "#" in value:
        raise _wrong(name, "has a # in it, which begins the part of a file in keys")
    try:
        place = f"{value.rstrip('/')}/" if value.strip("./") == "" else value
        relative = workspace.canonical(place, itself=itself)
    except TargetError as error:
        raise _wrong(name, str(error)) from error
    if relative and workspace.excluded(relative):
        raise _wrong(name, "is left out of the workspace")
    relative = relative.rstrip("/") or "."
    return f"./{relative}" if relative.startswith("-") else relative


def _fits(pattern: str, text: str) -> bool:
    """Tell whether a value matches the pattern of its parameter.

    What models write is matched in time linear in the text (`model.py` takes nothing else). The patterns that
    look around are those of our own tools, and of people.
    """
    try:
        return bool(whole_pattern(pattern)(text))
    except BadPattern:
        return re.fullmatch(pattern, text) is not None


def _wrong(name: str, what: str) -> InvalidArguments:
    return InvalidArguments(f"argument {name!r} {what}", "Pass another value.")
