"""Manifests and patches as data: YAML or JSON text, of bounded size however it is written.

A few hundred characters of YAML can stand for billions of values (aliases of aliases), and nesting without
end would end the process. So the events of a text are counted first, aliases with all that they stand for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import yaml

from coagent.errors import ToolFailed
from coagent.protocol.values import NESTING_MAX
from coagent.tools.off_loop import off_loop

LENGTH_MAX = 2_000_000
VALUES_MAX = 100_000
"""How many values there may be in one text, or in one object."""
_INLINE_LENGTH = 10_000
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_FAST):  # type: ignore[misc]
    """Reads dates as the text that they are: JSON has no other."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


async def documents(text: str) -> list[Any]:
    """Return the documents of a text as plain data.

    Raises:
        ToolFailed: It is neither YAML nor JSON, or too large.
    """
    if len(text) > LENGTH_MAX:
        raise ToolFailed(
            f"the text has {len(text)} characters, more than {LENGTH_MAX}", "Apply it in several calls."
        )

    def read(stopped: threading.Event) -> list[Any]:
        try:
            _require_small(text)
            return [_as_json(document) for document in yaml.load_all(text, _Loader)]
        except (yaml.YAMLError, ValueError) as error:
            raise ToolFailed(f"the manifest is neither YAML nor JSON: {error}", "Correct it.") from None

    return await off_loop(read) if len(text) > _INLINE_LENGTH else read(threading.Event())


def require_small(value: Any, what: str) -> None:
    """Refuse data that is too large for one object.

    Args:
        value: The data.
        what: What it is, for the message.

    Raises:
        ToolFailed: It is too large.
    """
    if sum(1 for _ in zip(_values(value), range(VALUES_MAX + 1), strict=False)) > VALUES_MAX:
        raise _too_many(what)


def _values(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _require_small(text: str) -> None:
    """Count what a text stands for.

    Raises:
        ToolFailed: Too much, or nested too deep.
    """
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            open_.append((event.anchor, total))
            total += 1
            if len(open_) > NESTING_MAX:
                raise ToolFailed(
                    f"lists and objects lie more than {NESTING_MAX} deep in one another", "Write it flatter."
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_):
                raise ToolFailed(f"*{event.anchor} lies within what it stands for", "Write it out.")
            total += sizes.get(str(event.anchor), 1)
        if total > VALUES_MAX:
            raise _too_many("the text, with what its aliases stand for,")


def _too_many(what: str) -> ToolFailed:
    return ToolFailed(f"{what} holds more than {VALUES_MAX} values", "Apply it in several calls.")


def _as_json(value: Any) -> Any:
    """Return YAML data as JSON has it: keys are text."""
    if isinstance(value, dict):
        return {
            name if isinstance(name, str) else json.dumps(name): _as_json(part)
            for name, part in value.items()
        }
    return [_as_json(part) for part in value] if isinstance(value, list) else value
