"""Templates of the domain file over a call's arguments, what was prepared for it, and what it returned."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from coagent.errors import TargetError
from coagent.gateways.mcp.content import said_in_text, structured_of
from coagent.protocol.values import Value
from coagent.tools.argument_paths import NothingThere, at

_PLACE = re.compile(r"\{([^{}\s\"':,]+)\}")


class Returned(Mapping[str, Any]):
    """What a tool returned: as a whole its text, by field its data, also where that comes as text.

    Args:
        value: As `content.value_of` gives it.
    """

    def __init__(self, value: Value) -> None:
        self.text = said_in_text(value)
        self._value = value

    def _data(self) -> Mapping[str, Any]:
        data = structured_of(self._value)
        if data is None:
            try:
                data = json.loads(self.text)
            except ValueError:
                data = {}
        return data if isinstance(data, dict) else {"items": data}

    def __getitem__(self, name: str) -> Any:
        return self._data()[name]

    def __iter__(self) -> Any:
        return iter(self._data())

    def __len__(self) -> int:
        return len(self._data())


def filled(template: Any, values: Mapping[str, Any], tool: str) -> Any:
    """Return arguments with the names in braces replaced; a text that is one name alone becomes its value.

    `{name}` stands for a value, of a result for its text; `{name.field}` for a part of its data.

    Raises:
        TargetError: A name has no value.
    """
    if isinstance(template, dict):
        return {name: filled(part, values, tool) for name, part in template.items()}
    if isinstance(template, list):
        return [filled(part, values, tool) for part in template]
    if not isinstance(template, str):
        return template

    def value(name: str) -> Any:
        try:
            found = at(values, name)
        except NothingThere:
            known = ", ".join(sorted(values)) or "nothing"
            raise TargetError(f"a step of {tool!r} asks for {{{name}}}", f"There is {known}.") from None
        return found.text if isinstance(found, Returned) else found

    def text(name: str) -> str:
        found = value(name)
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    whole = _PLACE.fullmatch(template)
    return value(whole[1]) if whole is not None else _PLACE.sub(lambda match: text(match[1]), template)
