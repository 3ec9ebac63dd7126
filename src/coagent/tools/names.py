"""Names of tools as models call them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME_LENGTH_MAX = 64


def function_names(tools: Iterable[str]) -> dict[str, str]:
    """Return the names under which models call tools, to the tools' own.

    Providers take letters, digits, `_` and `-` only, and 64 of them (OpenAI API reference, `tools`).
    """
    names: dict[str, str] = {}
    for own in tools:
        plain = name = re.sub(r"[^A-Za-z0-9_-]", "_", own)[:_NAME_LENGTH_MAX]
        number = 2
        while name in names:
            name = f"{plain[: _NAME_LENGTH_MAX - 4]}_{number}"
            number += 1
        names[name] = own
    return names
