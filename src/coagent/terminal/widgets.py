"""Lists of which only the lines in sight are drawn, however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

Item = TypeVar("Item")
_CURSOR = Style(reverse=True)


class Lines(ScrollView, Generic[Item], can_focus=True):
    """A list with a cursor.

    Args:
        draw: Returns the line of an item, at most so wide.
        most: How many items are kept, the last ones.
        follows: Whether it stays at the end until somebody goes elsewhere.
        read: Whether it is a text for reading: it has no cursor, and keys scroll it.
        bar: Whether it has a scroll bar, which is drawn with blocks.
    """

    DEFAULT_CSS = """
    Lines { background: ansi_default; color: ansi_default; overflow-x: hidden; scrollbar-size-vertical: 1;
            scrollbar-gutter: stable; }
    """
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "edge(-1)", show=False),
        Binding("end", "edge(1)", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Chosen(Message):
        """Somebody wants to know more of an item."""

        def __init__(self, lines: Lines[Any], item: Any) -> None:
            super().__init__()
            self.lines, self.item = lines, item

        @property
        def control(self) -> Lines[Any]:
            return self.lines

    class Moved(Message):
        """The cursor stands elsewhere, or it follows or does not any more."""

        def __init__(self, lines: Lines[Any]) -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> Lines[Any]:
            return self.lines

    def __init__(
        self,
        draw: Callable[[Item, int], Text],
        *,
        most: int | None = None,
        follows: bool = False,
        read: bool = False,
        bar: bool = True,
        id: str,
    ) -> None:
        super().__init__(id=id)
        self._draw = draw
        self._items: deque[Item] | Sequence[Item] = deque(maxlen=most)
        self._most = most
        self.cursor = 0
        self.follows = follows
        self._read = read
        if not bar:
            self.styles.scrollbar_size_vertical = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def chosen(self) -> Item | None:
        """The item that the cursor stands on."""
        return self._items[self.cursor] if 0 <= self.cursor < len(self._items) else None

    # ---- what is in it -------------------------------------------------------------------------------------

    def replace(self, items: Iterable[Item], cursor: int | None = None, *, top: bool = False) -> None:
        """Show other items; the cursor stays where it is, unless it is said where it goes.

        Args:
            items: What is shown.
            cursor: Where the cursor goes.
            top: Whether that, with the one before it, comes to the top.
        """
        self._items = deque(items, self._most) if self._most else list(items)
        if cursor is not None:
            self.cursor = cursor
        self._changed(0)
        if top:
            self.scroll_to(y=max(self.cursor - 1, 0), animate=False, force=True, immediate=True)

    def extend(self, items: Sequence[Item]) -> None:
        """Add items at the end; those which are too many go at the beginning."""
        if not items:
            return
        assert isinstance(self._items, deque), "lists that are replaced are not extended"
        before = len(self._items)
        self._items.extend(items)
        self._changed(before + len(items) - len(self._items))

    def _changed(self, dropped: int) -> None:
        last = len(self._items) - 1
        self.cursor = max(last if self.follows else min(self.cursor - dropped, last), 0)
        self.virtual_size = Size(self.size.width, len(self._items))
        if dropped and not self.follows:
            self.scroll_to(y=max(self.scroll_offset.y - dropped, 0), animate=False)
        self._in_sight()
        self.refresh()

    def follow(self, wanted: bool) -> None:
        """Stay at the end, or not any more."""
        self.follows = wanted
        self._changed(0)
        self.post_message(self.Moved(self))

    # ---- moving --------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move it by what is in sight."""
        self._go(self.cursor + by * max(self.size.height - 1, 1))

    def action_edge(self, by: int) -> None:
        """Move it to the beginning or the end."""
        self._go(0 if by < 0 else len(self._items) - 1)

    def action_choose(self) -> None:
        """Ask for more about the item."""
        if (item := self.chosen) is not None:
            self.post_message(self.Chosen(self, item))

    def _go(self, to: int) -> None:
        if self._read:
            to = min(to, len(self._items) - self.size.height)
        to = min(max(to, 0), max(len(self._items) - 1, 0))
        if self.follows and to < len(self._items) - 1:
            self.follows = False
        self.cursor = to
        self._in_sight()
        self.refresh()
        self.post_message(self.Moved(self))

    def _in_sight(self) -> None:
        top, height = round(self.scroll_target_y), 1 if self._read else max(self.size.height, 1)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True, immediate=True)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to what is clicked; twice asks for more."""
        line = event.y + self.scroll_offset.y
        if line < len(self._items) and not self._read:
            self._go(line)
            if event.chain > 1:
                self.action_choose()

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._changed(0)

    def on_focus(self) -> None:
        """Show that keys go here."""
        self.refresh()

    def on_blur(self) -> None:
        """Show that they do not any more."""
        self.refresh()

    # ---- drawing -------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """Draw a line in sight."""
        index, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        if index >= len(self._items):
            return Strip.blank(width)
        item = next(islice(self._items, index, index + 1))
        strip = strip_of(self._draw(item, width), width, self.app)
        if index != self.cursor or not self.has_focus or self._read:
            return strip
        return Strip(Segment(segment.text, _CURSOR) for segment in strip)


class Band(Widget):
    """Some lines that are there whole, drawn as lists are: in the terminal's own colours."""

    DEFAULT_CSS = """
    Band { height: 1; background: ansi_default; color: ansi_default; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[Text] = []

    def say(self, *lines: Text) -> None:
        """Show lines, as many as there are."""
        self.display = bool(lines)
        if lines != tuple(self._lines):
            self.styles.height = max(len(lines), 1)
            self._lines = list(lines)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw a line."""
        line = self._lines[y] if y < len(self._lines) else Text()
        return strip_of(line, self.size.width, self.app)


def strip_of(text: Text, width: int, app: App[Any]) -> Strip:
    """Return a text as a strip of the screen of exactly so many columns."""
    segments = Segment.apply_style(text.render(app.console, ""), app.console.get_style(text.style))
    return Strip(segments).adjust_cell_length(width)
