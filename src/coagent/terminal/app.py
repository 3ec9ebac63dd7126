"""The terminal's picture of a domain, drawn with Textual: agents, notices and steps as they come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from coagent.terminal import drawing
from coagent.terminal.board import Board, Lane, Row, Told, Wanted
from coagent.terminal.drawing import Look
from coagent.terminal.following import Following, News
from coagent.terminal.widgets import Band, Lines

_TICK_S = 0.1
_WORK_S = 0.05
"""How long news are taken at most before keys are looked at again."""
_ALERTS_MAX = 3
_LOADING_S = 0.5
_WIDE = 120
_KEYS_ASKED = "words in the agent, key or text · enter, esc: back to the steps"
_KEYS = "enter more · / filter · f follow · e ended · ? help · q quit"


class _Reading(ModalScreen[None]):
    """Something to read, over the rest.

    Args:
        title: What it is.
        lines: It.
        bar: Whether it has a scroll bar.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "close", show=False),
    ]

    def __init__(self, title: str, lines: Iterable[Text], bar: bool) -> None:
        super().__init__()
        self._title, self._lines, self._bar = title, lines, bar

    def compose(self) -> ComposeResult:
        """Lay out its parts."""
        with Vertical(id="reading"):
            yield Band(id="reading-title")
            yield Lines[Text](lambda text, width: text, read=True, bar=self._bar, id="reading-lines")

    def on_mount(self) -> None:
        """Show it."""
        self.query_one(Band).say(Text(self._title, "bold reverse"))
        self.query_one(Lines).focus()
        self.call_after_refresh(self._fill)

    def on_resize(self) -> None:
        """Break its lines anew."""
        self.call_after_refresh(self._fill)

    def say(self, lines: Iterable[Text]) -> None:
        """Show something else."""
        self._lines = lines
        self._fill()

    def _fill(self) -> None:
        found = self.query_one(Lines)
        width = max(found.size.width, 10)
        self._lines = list(self._lines)
        found.replace([part for line in self._lines for part in _folded(line, width, self.app)])

    def action_close(self) -> None:
        """Go back."""
        self.dismiss()


def _folded(line: Text, width: int, app: App[Any]) -> Iterable[Text]:
    if line.cell_len <= width:
        return [line]
    return line.wrap(app.console, width, overflow="fold")


class Terminal(App[None]):
    """Shows a domain until somebody quits.

    Args:
        following: Of its log.
        look: How texts are shown.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    #lower { height: 1fr; layout: vertical; }
    #noticed { height: auto; }
    #stepped { height: 1fr; }
    .wide #lower { layout: horizontal; }
    .wide #stepped { width: 3fr; height: 1fr; }
    .wide #noticed { width: 2fr; height: 1fr; margin-right: 2; }
    #preview { display: none; }
    .wide #preview { display: block; height: 1fr; }
    .low #noticed { display: none; }
    #asking { display: none; height: 1; }
    .filtering #asking { display: block; }
    #slash { width: 2; }
    #filter { width: 1fr; height: 1; border: none; padding: 0; background: ansi_default; }
    _Reading { background: ansi_default; align: center middle; }
    #reading { width: 100%; height: 100%; padding: 0 1; background: ansi_default; }
    #reading-title { height: 1; }
    #reading-lines { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", show=False),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("slash", "filter", show=False),
        Binding("f", "follow", show=False),
        Binding("e", "ended", show=False),
        Binding("question_mark", "help", show=False),
        Binding("escape", "all", show=False),
    ]

    def __init__(self, following: Following, look: Look) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # all colours are the terminal's own, so it fits light ones too
        self._following, self._look = following, look
        self.board = Board()
        self._header: dict[str, Any] = {}
        self._waiting, self._gone = "Opening the log…", ""
        self._progress = (0, 0)
        self._stale, self._drawn = True, 0.0
        self._wanted, self._ended_too = Wanted(), True
        self._agents = Lines[Lane](self._agent, bar=not look.ascii, id="agents")
        self._notices = Lines[Told](self._notice, most=1_000, follows=True, bar=not look.ascii, id="notices")
        self._steps = Lines[Row](self._step, most=10_000, follows=True, bar=not look.ascii, id="steps")
        self._preview = Lines[Text](lambda text, width: text, read=True, bar=not look.ascii, id="preview")
        self._previewed: tuple[int, str] | None = None
        self._answer: Future[dict[str, Any]] | None = None

    def compose(self) -> ComposeResult:
        """Lay out its parts."""
        yield Band(id="header")
        yield Band(id="alerts")
        yield Band(id="agents-head")
        yield self._agents
        with Container(id="lower"):
            with Vertical(id="noticed"):
                yield Band(id="notices-head")
                yield self._notices
                yield Band(id="preview-head")
                yield self._preview
            with Vertical(id="stepped"):
                yield Band(id="steps-head")
                yield self._steps
        with Horizontal(id="asking"):
            yield Band(id="slash")
            yield Input(id="filter", compact=True)
        yield Band(id="keys")

    def on_mount(self) -> None:
        """Begin."""
        self._steps.focus()
        self._following.start()
        self.set_interval(_TICK_S, self._tick)
        self._redraw()

    # ---- lines ---------------------------------------------------------------------------------------------

    def _agent(self, lane: Lane, width: int) -> Text:
        return drawing.agent_line(self.board, lane, self._look, width)

    def _notice(self, told: Told, width: int) -> Text:
        return drawing.notice_line(told, self._look, width)

    def _step(self, row: Row, width: int) -> Text:
        return drawing.step_line(row, self._look, width)

    # ---- news ----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        until = time.monotonic() + _WORK_S
        while time.monotonic() < until and (news := self._following.news()) is not None:
            self._take(news)
            self._stale = True
        read, last = self._progress
        # While a long log is read, drawing each part of it would cost more than reading it.
        if self._stale and (read >= last or until - self._drawn > _LOADING_S):
            self._redraw()
        self._look_closer()

    def _take(self, news: News) -> None:
        if news.waiting or news.gone:
            self._waiting, self._gone = news.waiting, news.gone
            return
        self._waiting = self._gone = ""
        self._progress = (news.read, max(news.last, news.read))
        if news.header is not None:
            self._header, self.board = news.header, Board()
            self._wanted = Wanted(None, self._wanted.words)
            self._fill()
        steps, told = self.board.steps, self.board.told
        for step in news.steps:
            self.board.take(step)
        if news.now is not None:
            self.board.settle(news.now)
        rows = _last(self.board.rows, self.board.steps - steps)
        self._steps.extend([row for row in rows if self._wanted.row(row)])
        notices = _last(self.board.notices, self.board.told - told)
        self._notices.extend([notice for notice in notices if self._wanted.told(notice)])

    def _fill(self) -> None:
        """Show what is wanted of all that there is."""
        self._steps.replace([row for row in self.board.rows if self._wanted.row(row)])
        self._notices.replace([notice for notice in self.board.notices if self._wanted.told(notice)])

    def _look_closer(self) -> None:
        """Show all of the step that the cursor stands on, where there is room beside."""
        if self._answer is not None:
            if not self._answer.done():
                return
            width = max(self._preview.size.width - 1, 10)
            lines = _told(self._answer, self.board, self._look)
            self._preview.replace([part for line in lines for part in _folded(line, width, self)], 0)
            self._answer = None
        row = self._steps.chosen
        wanted = None if row is None else (row.n, row.kind)
        if wanted is not None and wanted != self._previewed and self._preview.display:
            self._previewed = wanted
            self._answer = self._following.ask(*wanted)

    # ---- drawing -------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        """Place things anew."""
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        if not self.screen_stack:
            return
        self._stale, self._drawn = False, time.monotonic()
        base = self.screen_stack[0]
        width, height, look = self.size.width, self.size.height, self._look
        base.set_class(width >= _WIDE, "wide")
        base.set_class(height < 16, "low")
        chosen = self._agents.chosen
        agents = self.board.agents(ended=self._ended_too)
        place = next((number for number, agent in enumerate(agents) if agent is chosen), None)
        idle = not self._agents.has_focus  # those at work are looked at, where not all are in sight
        if idle:
            place = next((number for number, agent in enumerate(agents) if not agent.ended), place)
        self._agents.replace(agents, place, top=idle)
        self._agents.styles.height = max(min(len(agents), max((height - 6) * 2 // 5, 2)), 1)
        gone = f"{self._gone} What was read of it stays here." if self._gone else ""
        alerts = drawing.alerts(self.board, gone, look, width, _ALERTS_MAX)
        if self._waiting:
            alerts += _folded(Text(look.plain(self._waiting), "yellow"), width, self)
        self._say("alerts", *alerts)
        if self._waiting:
            text = Text(look.own(" waiting for somebody to join…"), "bold")
        else:
            text = drawing.header(self.board, self._header, self._progress, bool(self._gone), look, width)
        self._say("header", text)
        self._say("agents-head", drawing.agents_head(look, width))
        most = (4 if height >= 22 else 2) if width < _WIDE else max((height - 6) // 4, 2)
        self._notices.styles.height = min(max(len(self._notices), 1), most)
        self._heads()

    def _heads(self) -> None:
        look, only = self._look, ""
        if self._wanted:
            lane = self.board.lanes.get(-1 if self._wanted.rank is None else self._wanted.rank)
            parts = [] if lane is None else [f"of {look.plain(lane.name)}"]
            parts += [f"with {look.plain(self._wanted.words)}"] if self._wanted.words else []
            only = f" {' '.join(parts)} (esc: all)"
        older = self.board.steps - len(self.board.rows)
        kept = f", the last {len(self.board.rows):,}" if older else ""
        state = "following" if self._steps.follows else "not following: f"
        self._head("steps-head", f"steps{only}{kept} · {len(self._steps):,} · {state}")
        self._head("notices-head", f"notices{only} · {len(self._notices):,}")
        if self.size.width >= _WIDE:
            self._head("preview-head", "the step")
        else:
            self._say("preview-head")
        self._say("keys", Text(look.own(_KEYS_ASKED if self._filtering else _KEYS), "dim"))

    def _head(self, name: str, text: str) -> None:
        line = self._look.own("─")
        width = max(self.size.width, 1)
        shown = self._look.own(f"{line}{line} {text} ")
        self._say(name, Text(shown + line * max(width - len(shown), 0), "bold", no_wrap=True))

    def _say(self, name: str, *lines: Text) -> None:
        self.screen_stack[0].query_one(f"#{name}", Band).say(*lines)

    # ---- what somebody wants -------------------------------------------------------------------------------

    @on(Lines.Moved)
    def _moved(self) -> None:
        self._heads()

    @on(Lines.Chosen, "#agents")
    def _agent_chosen(self, event: Lines.Chosen) -> None:
        rank = event.item.rank
        self._want(Wanted(None if self._wanted.rank == rank else rank, self._wanted.words))

    @on(Lines.Chosen, "#steps")
    @on(Lines.Chosen, "#notices")
    async def _step_chosen(self, event: Lines.Chosen) -> None:
        number, kind = event.item.n, event.item.kind if isinstance(event.item, Row) else "told"
        reading = _Reading(
            f" step {number} ", [Text(self._look.own("reading it…"), "dim")], not self._look.ascii
        )
        await self.push_screen(reading)
        answer = self._following.ask(number, kind)

        def show() -> None:
            if not answer.done():
                return
            timer.stop()
            reading.say(_told(answer, self.board, self._look))

        timer = reading.set_interval(_TICK_S / 5, show)

    def _want(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._fill()
        self._redraw()

    def action_all(self) -> None:
        """Show all again."""
        if self._filtering:
            self._end_filtering()
        elif self._wanted:
            self._want(Wanted())

    def action_follow(self) -> None:
        """Stay at the newest step, or not."""
        self._steps.follow(not self._steps.follows)

    def action_ended(self) -> None:
        """Hide agents that have ended, or show them."""
        self._ended_too = not self._ended_too
        self._redraw()

    async def action_help(self) -> None:
        """Say what the signs and keys mean."""
        await self.push_screen(
            _Reading(" coagent watch ", drawing.help_lines(self._look), not self._look.ascii)
        )

    # ---- the filter ----------------------------------------------------------------------------------------

    @property
    def _filtering(self) -> bool:
        return self.screen_stack[0].has_class("filtering")

    def action_filter(self) -> None:
        """Ask what is wanted."""
        self.screen_stack[0].add_class("filtering")
        self._say("slash", Text("/ ", "bold"))
        self._heads()
        asked = self.query_one("#filter", Input)
        asked.value = self._wanted.words
        asked.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if self._filtering and event.value != self._wanted.words:
            self._want(Wanted(self._wanted.rank, event.value))

    @on(Input.Submitted)
    def _end_filtering(self) -> None:
        self.screen_stack[0].remove_class("filtering")
        self._heads()
        self._steps.focus()


def _told(answer: Future[dict[str, Any]], board: Board, look: Look) -> list[Text]:
    try:
        return drawing.detail(answer.result(), board, look)
    except Exception as error:  # the log has gone, or begun anew, since the step was told
        return [Text(look.plain(str(error)), "red")]


def _last(found: Sequence[Any] | Any, count: int) -> list[Any]:
    newest = list(islice(reversed(found), count))
    newest.reverse()
    return newest


def run(following: Following, look: Look) -> None:
    """Show a domain until somebody quits."""
    terminal = Terminal(following, look)
    try:
        terminal.run()
    finally:
        following.stop()
