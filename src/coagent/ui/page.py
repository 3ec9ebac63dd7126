"""The page itself: one file, made by Vite from `page/`, in which everything stands."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from importlib import resources
from typing import Any

from coagent.story.steps import Story
from coagent.story.values import ABSENT

_NONCE = "__NONCE__"
_DATA = '<script type="application/json" id="coagent-story"></script>'
_CHARSET = '<meta charset="utf-8" />'
_EMBEDDED_MAX = 40_000_000
"""How many characters of values an exported page holds; of the others it says that they are not in it."""


def policy(nonce: str, *, asks: bool) -> str:
    """Return what browsers are to allow the page: its own script, and nothing that anybody has written.

    Args:
        nonce: What its script is allowed by (Content Security Policy, level 3).
        asks: Whether it may ask its own server; nobody else ever.
    """
    connect = "'self'" if asks else "'none'"
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src {connect}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def page(nonce: str) -> str:
    """Return the page as it is served.

    Args:
        nonce: What its script is allowed by.
    """
    return _template().replace(_NONCE, nonce)


def exported(stories: Sequence[Story]) -> str:
    """Return the page with stories in it, to be opened from a file; all of each must have been taken.

    Args:
        stories: One, or two that are to be compared.
    """
    told = [{**story.header, "id": number, "steps": story.steps()} for number, story in enumerate(stories)]
    left = _EMBEDDED_MAX
    values: dict[str, dict[str, Any]] = {}
    for number, story in enumerate(stories):
        found = values[str(number)] = {}
        for value in range(ABSENT, story.values.count):
            shown = story.values.shown(value)
            left -= len(shown["text"])
            if left < 0:
                shown = {**shown, "text": "(left out of this file: it would be too large)", "cut": True}
            found[str(value)] = shown
    text = json.dumps({"stories": told, "values": values}, separators=(",", ":")).replace("<", "\\u003c")
    nonce = secrets.token_urlsafe(16)
    allowed = f'<meta http-equiv="Content-Security-Policy" content="{policy(nonce, asks=False)}" />'
    head, data, tail = page(nonce).replace(_CHARSET, _CHARSET + allowed, 1).partition(_DATA)
    assert data, "the page has a place for stories"
    assert allowed in head, "the page has a place for its policy"
    return f"{head}{_DATA.removesuffix('</script>')}{text}</script>{tail}"


def _template() -> str:
    return resources.files("coagent.ui").joinpath("page.html").read_text(encoding="utf-8")
