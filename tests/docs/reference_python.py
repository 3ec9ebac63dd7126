"""The reference of what Python programs may name: signatures and docstrings, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from docstring_parser import DocstringStyle, parse

_WIDTH = 88
"""From which width on a signature has a line for each parameter."""
_VARIADIC = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def entry(name: str, found: Any, level: int) -> str:
    """Return what there is to say of a class, with its public methods, or of a function.

    Args:
        name: As a program names it.
        found: The class or function.
        level: Of its heading.
    """
    parts = [f"{'#' * level} {name}", *_described(name, found)]
    if inspect.isclass(found):
        for member, value in vars(found).items():
            if member.startswith("_") or not _documented(value):
                continue
            parts.append(f"{'#' * (level + 1)} {name}.{member}")
            if isinstance(value, property):
                text = _text(value.fget)
                parts.append(f"A property. {text}")
            else:
                parts += _described(member, _plain(value))
    return "\n\n".join(parts)


def _plain(value: Any) -> Any:
    return value.__func__ if isinstance(value, classmethod | staticmethod) else value


def _documented(value: Any) -> bool:
    value = value.fget if isinstance(value, property) else _plain(value)
    return inspect.isfunction(value) and bool(value.__doc__)


def _text(found: Any) -> str:
    read = parse(inspect.cleandoc(found.__doc__ or ""), DocstringStyle.GOOGLE)
    return "\n\n".join(text for text in (read.short_description, read.long_description) if text)


def _described(name: str, found: Any) -> Iterator[str]:
    """Yield the signature, what it is, and its arguments, results and errors."""
    read = parse(inspect.cleandoc(found.__doc__ or ""), DocstringStyle.GOOGLE)
    if not inspect.isclass(found) or (read.params and not issubclass(found, BaseException)):
        yield f"```python\n{_signature(name, found)}\n```"
    elif bases := [base.__name__ for base in found.__bases__ if base.__module__.startswith("coagent")]:
        yield f"A {', '.join(f'`{base}`' for base in bases)}."
    yield _text(found)
    if read.params:
        yield "\n".join(f"- `{each.arg_name}`: {_one_line(each.description)}" for each in read.params)
    if read.returns and read.returns.description:
        yield f"Returns {_lowered(_one_line(read.returns.description))}"
    if read.raises:
        yield "Raises:"
        yield "\n".join(f"- `{each.type_name}`: {_one_line(each.description)}" for each in read.raises)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _lowered(text: str) -> str:
    return text if re.match(r"[A-Z]{2}|`", text) else text[:1].lower() + text[1:]


def _signature(name: str, found: Any) -> str:
    """Return a signature as the source has it, on one line or on one for each parameter."""
    given = inspect.signature(found)
    listed = [each for each in given.parameters.values() if each.name not in ("self", "cls")]
    parameters = list(_parameters(listed))
    returns = given.return_annotation
    end = f" -> {_annotation(returns)}" if returns is not given.empty and not inspect.isclass(found) else ""
    begin = f"{'async ' if inspect.iscoroutinefunction(found) else ''}{name}"
    line = f"{begin}({', '.join(parameters)}){end}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{begin}(", *(f"    {each}," for each in parameters), f"){end}"])


def _parameters(listed: list[inspect.Parameter]) -> Iterator[str]:
    kinds = [each.kind for each in listed]
    for number, each in enumerate(listed):
        before = kinds[number - 1] if number else None
        if each.kind is each.KEYWORD_ONLY and before not in (each.KEYWORD_ONLY, each.VAR_POSITIONAL):
            yield "*"
        text = _VARIADIC.get(each.kind, "") + each.name
        if each.annotation is not each.empty:
            text += f": {_annotation(each.annotation)}"
        if each.default is not each.empty:
            text += f" = {_default(each.default)}"
        yield text
        if each.kind is each.POSITIONAL_ONLY and each.kind not in kinds[number + 1 :]:
            yield "/"


def _annotation(given: Any) -> str:
    text = given if isinstance(given, str) else getattr(given, "__name__", str(given))
    return text.strip("'\"") if isinstance(text, str) else str(text)


def _default(value: Any) -> str:
    text = repr(value)
    return "…" if text.startswith("<") else text
