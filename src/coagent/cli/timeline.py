"""Draws runs of agents as text: a lane for each agent, time from left to right, notices as arrows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from rich.text import Text

from coagent.demos.report import DemoRun, Lane, Mark, MarkKind, Told

SIGNS: dict[MarkKind, str] = {
    "read": "○",
    "write": "●",
    "failed": "!",
    "repair": "◆",
    "restart": "↺",
    "commit": "✓",
    "abort": "✗",
}
LEGEND = "○ reads  ● writes  ▼ is told  ◆ repairs  ✓ commits  ─ thinks  ┄ waits"
AGENT_STYLES = ("cyan", "magenta", "blue", "yellow")
_REPAIR, _TOLD, _DIM = "bold green", "yellow", "dim"
_TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_TICK_WIDTH = 9
_PRIORITY: tuple[MarkKind, ...] = ("repair", "restart", "write", "failed", "abort", "read", "commit")

ASCII = str.maketrans("○●▼◆↺✓✗─┄╰…", "o*v#@+x-.`.")
"""For terminals without Unicode."""


def agent_style(number: int) -> str:
    """Return the colour of the agent at a rank."""
    return AGENT_STYLES[number % len(AGENT_STYLES)]


class Canvas:
    """A row of characters, each with a style."""

    def __init__(self, width: int) -> None:
        self._cells = [(" ", "")] * width

    def put(self, column: int, text: str, style: str = "") -> None:
        """Write a text; what does not fit is cut off."""
        for offset, character in enumerate(text):
            if 0 <= column + offset < len(self._cells):
                self._cells[column + offset] = (character, style)

    def free(self, start: int, end: int) -> bool:
        """Tell whether a range lies on the canvas and nothing stands there."""
        cells = self._cells[max(start, 0) : end]
        return len(cells) == end - start and all(character == " " for character, _ in cells)

    def text(self) -> Text:
        """Return the row."""
        row = Text(no_wrap=True, overflow="crop")
        for style, cells in groupby(self._cells, key=itemgetter(1)):
            row.append("".join(character for character, _ in cells), style or None)
        row.rstrip()
        return row


class Chart:
    """The lanes of a run.

    Args:
        seconds: What the time axis has to hold, the same for all runs that are to be compared.
        width: Columns for names and lanes.
        names: The agents' names.
    """

    def __init__(self, seconds: float, width: int, names: Sequence[str]) -> None:
        self._margin = max((len(name) for name in names), default=0) + 3
        self._width = max(width - self._margin, 20)
        self._per_s = (self._width - 4) / max(seconds, 1e-9)
        self._seconds = seconds

    def rows(self, run: DemoRun) -> Iterator[Text]:
        """Yield the rows of a run: axis, then lanes with their labels and the notices between them."""
        yield self._axis()
        for number, lane in enumerate(run.lanes):
            style = agent_style(number)
            if number == 0:
                yield self._row("", self._labels(lane, style))
            elif lane.told:
                yield self._row("", self._notices(lane.told))
            else:
                yield Text("")
            yield self._row(lane.agent, self._lane(lane, style), style)
            if number > 0:
                yield self._row("", self._labels(lane, style))

    def _column(self, time_s: float) -> int:
        return round(time_s * self._per_s)

    def _row(self, name: str, canvas: Canvas, style: str = "") -> Text:
        row = Text(f" {name:<{self._margin - 1}}", style=f"bold {style}".strip(), no_wrap=True)
        return Text.assemble(row, canvas.text())

    def _axis(self) -> Text:
        canvas = Canvas(self._width)
        tick_s = next((step_s for step_s in _TICKS_S if step_s * self._per_s >= _TICK_WIDTH), _TICKS_S[-1])
        for tick in range(int(self._seconds // tick_s) + 1):
            canvas.put(self._column(tick * tick_s), f"{tick * tick_s} s" if tick else "0", _DIM)
        return self._row("", canvas)

    def _places(self, lane: Lane) -> list[tuple[int, Mark]]:
        """Return the marks with their columns, moved apart where they would share one."""
        places: list[tuple[int, Mark]] = []
        last = -1
        for mark in lane.marks:
            last = max(self._column(mark.time_s), last + 1)
            places.append((last, mark))
        return places

    def _lane(self, lane: Lane, style: str) -> Canvas:
        canvas = Canvas(self._width)
        start, end = self._column(lane.started_s), self._column(lane.finished_s)
        canvas.put(start, "┄" * (end - start), _DIM)
        for start_s, end_s in lane.thinking:
            column = self._column(start_s)
            canvas.put(column, "─" * (self._column(end_s) - column), style)
        for column, mark in self._places(lane):
            canvas.put(column, SIGNS[mark.kind], self._style(mark, style))
        return canvas

    def _labels(self, lane: Lane, style: str) -> Canvas:
        canvas = Canvas(self._width)
        by_weight = sorted(self._places(lane), key=lambda place: _PRIORITY.index(place[1].kind))
        for column, mark in by_weight:
            length = len(mark.label)
            for start in (column, column - length // 2, column - length + 1, self._width - length):
                if mark.label and start <= column and canvas.free(max(start - 1, 0), start + length):
                    if start + length < self._width and not canvas.free(start + length, start + length + 1):
                        continue
                    canvas.put(start, mark.label, self._style(mark, style))
                    break
        return canvas

    def _notices(self, told: Sequence[Told]) -> Canvas:
        canvas = Canvas(self._width)
        arrivals: dict[int, list[Told]] = {}
        for notice in told:
            arrivals.setdefault(self._column(notice.told_s), []).append(notice)
        for column, notices in arrivals.items():
            start = min(self._column(notice.changed_s) for notice in notices)
            if start < column:
                canvas.put(start, "╰" + "─" * (column - start - 1), _TOLD)
            canvas.put(column, "▼", f"bold {_TOLD}")
            label = notices[0].label + (f" (and {len(notices) - 1} more)" if len(notices) > 1 else "")
            if canvas.free(column + 1, column + 2 + len(label)):
                canvas.put(column + 2, label, _TOLD)
            elif canvas.free(start - len(label) - 1, start):
                canvas.put(start - len(label) - 1, label, _TOLD)
        return canvas

    def _style(self, mark: Mark, style: str) -> str:
        if mark.kind == "repair":
            return _REPAIR
        if mark.kind in ("failed", "abort", "restart"):
            return "bold red"
        return f"bold {style}" if mark.kind != "read" else style
