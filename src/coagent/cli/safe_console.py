"""A console on which every text passes through a function first, also in tables and live displays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text


class SafeConsole(Console):
    """A console.

    Args:
        shown: Returns a text as it may be shown.
        **options: Those of a console.
    """

    def __init__(self, shown: Callable[[str], str], **options: Any) -> None:
        super().__init__(**options)
        self._shown = shown

    def render_str(self, text: str, **options: Any) -> Text:
        return self._safe(super().render_str(text, **options))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, Text):
            renderable = self._safe(renderable)
        return super().render(renderable, options)

    def _safe(self, text: Text) -> Text:
        plain = self._shown(text.plain)
        if plain == text.plain:
            return text
        safe = text.blank_copy(plain)
        if text.spans and text.spans[0].start == 0:  # the rest of its styles stood at other places
            safe.stylize(text.spans[0].style)
        return safe
