"""The tools that are there, as a model is shown them and as words find them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from coagent.toolsmith.model_look import SHOWN_MAX, show_text
from coagent.toolsmith.spec import ToolSpec

KNOWN_MAX = 40
"""How many tools a model is shown at most."""
_DESCRIPTION_MAX = 300


def likeness(spec: ToolSpec, request: str) -> int:
    """Return how many words of a request a tool has in its name, description, and first request."""
    return len(_words(request) & _words(f"{spec.name} {spec.description} {spec.request}"))


def can_be_named(spec: ToolSpec) -> bool:
    """Tell whether a model may name a tool: it is verified, and can be taken back."""
    return spec.is_verified and spec.effect != "irreversible"


def known_tools(specs: Iterable[ToolSpec], request: str) -> list[dict[str, str]]:
    """Return what a model is shown of the tools that it may name, likeliest first, up to a number and size.

    Args:
        specs: The tools of a library.
        request: What is asked for.
    """
    named = [spec for spec in specs if can_be_named(spec)]
    found: list[dict[str, str]] = []
    size = 0
    for spec in sorted(named, key=lambda spec: (-likeness(spec, request), spec.name))[:KNOWN_MAX]:
        said = {
            "name": spec.name,
            "signature": spec.signature,
            "effect": spec.effect,
            "description": show_text(spec.description)[:_DESCRIPTION_MAX],
        }
        size += len(json.dumps(said))
        if size > SHOWN_MAX:
            break
        found.append(said)
    return found


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", text.lower()))
