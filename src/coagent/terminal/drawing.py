"""Draws what is shown, a line at a time, as texts with styles: nothing of others is taken for markup.

Every text of others goes through `Look.plain`, which masks, and escapes what would not show as itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from coagent.terminal.board import Board, Lane, Mark, Row, Told
from coagent.wording.durations import duration
from coagent.wording.times import time_of_day

_SIGNS = {
    Mark.READ: ("○", ".", ""),
    Mark.WROTE: ("●", "o", "green"),
    Mark.TOLD: ("!", "!", "bold yellow"),
    Mark.REPAIRED: ("◆", "#", "bold cyan"),
    Mark.AGAIN: ("↻", "@", "magenta"),
    Mark.GOOD: ("✓", "+", "bold green"),
    Mark.BAD: ("✗", "x", "bold red"),
}
_SAID = {
    Mark.READ: "a call that only reads",
    Mark.WROTE: "a call that writes",
    Mark.TOLD: "was told that a premise has changed",
    Mark.REPAIRED: "repaired: a call amended or undone",
    Mark.AGAIN: "a call ran again, or was taken back to make room",
    Mark.GOOD: "finished, or committed",
    Mark.BAD: "failed, aborted, stuck or lost",
}
_KEYS = (
    ("arrows pgup pgdn home end", "move"),
    ("tab", "go to the agents, the notices, the steps"),
    ("enter", "an agent: its steps alone; a step, a notice: all of it"),
    ("/", "only what has these words: agent, key, text"),
    ("esc", "close; else show all again"),
    ("f", "follow: stay at the newest step"),
    ("e", "hide agents that have ended, or show them"),
    ("?", "this help"),
    ("q", "quit; nobody notices"),
)
_DIFF_LINES_MAX = 400
_VALUE_LINES_MAX = 12
_ARGUMENT_LINES_MAX = 40
_WIDE = 110


@dataclass(frozen=True)
class Look:
    """How texts are shown.

    Args:
        shown: Masks a text and escapes what would not show as what it is; line feeds stay.
        ascii: Whether the terminal shows nothing else.
    """

    shown: Callable[[str], str]
    ascii: bool = False

    def lines(self, text: str) -> str:
        """Return a text of several lines as it may be shown."""
        found = self.shown(text).expandtabs(4)
        return found.encode("ascii", "backslashreplace").decode() if self.ascii else found

    def plain(self, text: str) -> str:
        """Return a text as it may be shown on one line."""
        return self.lines(text.replace("\n", "\\n").replace("\t", "\\t"))

    def own(self, text: str) -> str:
        """Return a text of ours, in which signs that the terminal lacks are replaced."""
        return text.translate(_ASCII) if self.ascii else text

    def sign(self, mark: Mark | None) -> tuple[str, str]:
        """Return the sign of a mark, and its style."""
        if mark is None:
            return " ", ""
        sign, plain, style = _SIGNS[mark]
        return (plain if self.ascii else sign), style

    def cell(self, text: str, width: int, *, right: bool = False) -> str:
        """Return a text of exactly so many columns, cut where it is longer."""
        if width <= 0:
            return ""
        length = cell_len(text)
        if length <= width:
            return " " * (width - length) + text if right else text + " " * (width - length)
        dots = "~" if self.ascii else "…"
        return set_cell_size(text, width - 1) + dots


_ASCII = str.maketrans({"…": "~", "─": "-", "·": "|", "→": ">", "✗": "x", "◆": "#"})


# ---- the header and what has to be decided ---------------------------------------------------------------


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def header(
    board: Board, story: Mapping[str, Any], progress: tuple[int, int], gone: bool, look: Look, width: int
) -> Text:
    """Return the line at the top: which domain, and how many of what."""
    counts = board.counts()
    total = len(board.lanes)
    agents = _counted(total, "agent")
    parts = [f"{counts[name]:,} {name}" for name in counts if counts[name]]
    said = f"{agents}: {', '.join(parts)}" if parts else agents
    texts = [said, _counted(board.steps, "step"), _counted(board.told, "notice")]
    if not board.steps:
        texts = ["nobody has joined this domain yet"]
    text = Text(no_wrap=True)
    text.append(f" {look.plain(str(story.get('name', '')))} ", "bold reverse")
    text.append(f" {story.get('protocol', '')}" if width >= _WIDE else "", "dim")
    read, last = progress
    state, style = ("log gone", "bold red") if gone else ("live", "green")
    if not gone and read < last:
        state, style = f"reading {100 * read // last} %", "yellow"
    room = width - len(state) - 2
    for part in texts:
        if text.cell_len + len(part) + 3 > room:
            break
        text.append(look.own(" · "), "dim")
        text.append(part)
    text.truncate(room)
    text.append(" " * (room - text.cell_len + 1))
    text.append(state, style)
    return text


def alerts(board: Board, gone: str, look: Look, width: int, most: int) -> list[Text]:
    """Return what a person has to look at, in red, each with the command that decides."""
    found = [Text(look.cell(look.plain(gone), width), "bold red")] if gone else []
    waiting = board.alerts()
    shown = waiting if len(waiting) <= most else waiting[: most - 1]
    for text, command in shown:
        command = look.own(f" → {look.plain(command)}")
        room = max(width - cell_len(command) - 2, width // 2)
        line = Text("! ", "bold red", no_wrap=True)
        said = look.plain(text)
        line.append(said if cell_len(said) <= room else look.cell(said, room), "red")
        line.append(command, "bold red")
        line.truncate(width)
        found.append(line)
    if len(waiting) > len(shown):
        rest = look.own(f"! and {len(waiting) - len(shown):,} more → coagent resolve")
        found.append(Text(rest, "bold red"))
    return found


# ---- agents ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Columns:
    name: int
    phase: int
    lane: int
    last: int
    spaced: bool


def _columns(width: int) -> _Columns:
    fixed = 4 + 5 + 4 + 6 + 4  # order, calls, failed, notices, repairs, each with the space before it
    if width >= _WIDE:
        name, phase, lane = 20, 26, min(40, width // 5)
    else:
        name, phase, lane = 10, 17, max(8, (width - fixed - 27) // 2 - 2)
    return _Columns(name, phase, lane, max(0, width - fixed - name - phase - lane - 4), width >= _WIDE)


def agents_head(look: Look, width: int) -> Text:
    """Return the heads of the columns of agents."""
    columns = _columns(width)
    text = look.cell("agent", columns.name) + "   #" + " " + look.cell("phase", columns.phase)
    text += "call".rjust(5) + look.own("✗").rjust(4) + " told" + " " + look.own("◆").rjust(4)
    text += (
        "  " + look.cell("its last steps", columns.lane) + " " + look.cell("what it did last", columns.last)
    )
    return Text(look.cell(text, width), "dim", no_wrap=True)


_PHASE_STYLES = (
    ("was told", "yellow"),
    ("calling", "cyan"),
    ("thinking", ""),
    ("waits", "blue"),
    ("finished", "green"),
    ("committed", "dim"),
    ("aborted", "red"),
    ("being aborted", "red"),
    ("stuck", "bold red"),
    ("may have run", "bold red"),
    ("process", "bold red"),
    ("served", "yellow"),
)


def agent_line(board: Board, lane: Lane, look: Look, width: int) -> Text:
    """Return the line of an agent."""
    columns = _columns(width)
    over = "dim" if lane.ended else ""
    text = Text(no_wrap=True)
    text.append(look.cell(look.plain(lane.name), columns.name), over or "bold")
    text.append(str(lane.order).rjust(4) + " ", "dim")
    phase = board.phase(lane)
    style = next((style for start, style in _PHASE_STYLES if phase.startswith(start)), "")
    if phase.endswith("to read"):
        style = "bold yellow"
    text.append(look.cell(look.plain(phase), columns.phase), style)
    text.append(_number(lane.calls).rjust(5), over)
    text.append(_number(lane.failed).rjust(4), "red" if lane.failed and not over else over)
    unread = board.unread(lane)
    told = f"{_number(unread)}/{_number(lane.told)}" if unread else _number(lane.told)
    text.append(told.rjust(6), "bold yellow" if unread else over)
    text.append(_number(lane.repairs).rjust(4), over)
    text.append("  ")
    marks = list(lane.marks)[-columns.lane :]
    for mark in marks:
        sign, style = look.sign(mark)
        text.append(sign, style)
    text.append(" " * (columns.lane - len(marks) + 1))
    text.append(look.cell(look.plain(lane.last), columns.last), over or "dim")
    return _fitted(text, look, width)


def _number(count: int) -> str:
    if not count:
        return "-"
    return str(count) if count < 10_000 else f"{count // 1000}k"


# ---- notices and steps -----------------------------------------------------------------------------------


def clock(at: int | None) -> str:
    """Return a time of the day."""
    return "--:--:--" if at is None else time_of_day(at)


def notice_line(told: Told, look: Look, width: int) -> Text:
    """Return the line of a notice: from whom to whom, about what, and what has changed."""
    text = Text(no_wrap=True)
    text.append(f"{clock(told.at)} ", "dim")
    text.append(look.plain(told.source), "bold")
    text.append(look.own(" → "), "dim")
    text.append(look.plain(told.name), "bold")
    text.append("  ")
    text.append(look.plain(told.key), "yellow")
    if told.kind != "changed":
        text.append(f" {told.kind.replace('_', ' ')}", "red")
    text.append("  ")
    text.append(look.plain(told.diff))
    return _fitted(text, look, width)


def step_line(row: Row, look: Look, width: int) -> Text:
    """Return the line of a step."""
    names = 14 if width > 85 else 10
    text = Text(no_wrap=True)
    text.append(f"{row.n:>6} {clock(row.at)} ", "dim")
    sign, style = look.sign(row.mark)
    text.append(sign, style)
    text.append(" ")
    text.append(look.cell(look.plain(row.name or "outside"), names), "bold" if row.name else "italic")
    text.append(" ")
    said = "" if row.mark in (Mark.READ, Mark.WROTE, None) else style.removeprefix("bold ")
    text.append(look.plain(row.text), said)
    return _fitted(text, look, width)


def _fitted(text: Text, look: Look, width: int) -> Text:
    if text.cell_len > width:
        text.truncate(width - 1)
        text.append(look.own("…"))
    return text


# ---- all of one step -------------------------------------------------------------------------------------


def detail(step: Mapping[str, Any], board: Board, look: Look) -> list[Text]:
    """Return all of a step: its call with arguments, what it read and wrote, and what was told."""
    lane = board.lanes.get(step.get("rank", -1))
    who = "outside" if lane is None else look.plain(lane.name)
    place = "" if lane is None else f", order {lane.order}"
    lines = [
        Text.assemble(
            (f"step {step['n']}", "bold"),
            f"  {clock(step['at'])}  ",
            (who, "bold"),
            place,
            f"  {step['kind']}",
        ),
        Text(look.plain(step["text"])),
    ]
    if "id" in step:
        tool = look.plain(step["tool"])
        fate = ", irreversible" if step["irreversible"] else ""
        lines += [
            Text(),
            Text.assemble(("call  ", "dim"), look.plain(step["id"]), f" {tool}: {step['state']}{fate}"),
        ]
    if "took_ms" in step:
        lines.append(Text.assemble(("took  ", "dim"), duration(step["took_ms"])))
    lines += _arguments(step, look)
    lines += _footprint(step, look)
    for title, style in (("error", "red"), ("result", "")):
        if step.get(title) is not None:
            lines += _block(title, step[title], look, style)
    if step.get("reason"):
        lines += _block("reason", step["reason"], look, "red")
    if "cause" in step:
        lines += [Text(), Text.assemble(("because of  ", "dim"), _caused(step["cause"], board, look))]
    for number, notice in enumerate(step.get("notices", ()), 1):
        lines += [Text(), *_notice(number, notice, board, look)]
    if "diff" in step:
        lines += [Text(), Text("change", "dim"), *difference(step["diff"], look)]
    return lines


def _arguments(step: Mapping[str, Any], look: Look) -> Iterator[Text]:
    if not step.get("args"):
        return
    yield Text()
    yield Text("arguments", "dim")
    for name, value in step["args"].items():
        first, *rest = look.lines(value.rstrip("\n")).split("\n")[:_ARGUMENT_LINES_MAX]
        yield Text.assemble(f"  {look.plain(name)} = ", first)
        for line in rest:
            yield Text(f"    {line}")


def _footprint(step: Mapping[str, Any], look: Look) -> Iterator[Text]:
    reads = [(read["key"], read["part"]) for read in step.get("reads", ())]
    scans = [(scan["prefix"], scan["part"]) for scan in step.get("scans", ())]
    for title, entries in (("reads", reads), ("scans", scans)):
        if entries:
            yield Text()
            yield Text(title, "dim")
            for key, part in entries:
                yield Text(f"  {look.plain(key)}{'' if part is None else f'  ({look.plain(part)})'}")
    if step.get("writes"):
        yield Text()
        yield Text("writes", "dim")
        for write in step["writes"]:
            value = step.get("values", {}).get(write.get("v"))
            yield Text(f"  {look.plain(write['key'])}", "green")
            yield from _value(value, look)


def _value(value: Mapping[str, Any] | None, look: Look) -> Iterator[Text]:
    if value is None:
        return
    if value["kind"] == "absent":
        yield Text("    (removed)", "red")
        return
    lines = look.lines(value["text"]).rstrip("\n").split("\n")
    for line in lines[:_VALUE_LINES_MAX]:
        yield Text(f"    {line}")
    if len(lines) > _VALUE_LINES_MAX:
        yield Text(look.own(f"    … and {len(lines) - _VALUE_LINES_MAX:,} more lines"), "dim")


def _block(title: str, text: str, look: Look, style: str) -> Iterator[Text]:
    yield Text()
    yield Text(title, "dim")
    for line in look.lines(text.rstrip("\n")).split("\n")[:_ARGUMENT_LINES_MAX]:
        yield Text(f"  {line}", style)


def _caused(cause: Mapping[str, Any], board: Board, look: Look) -> str:
    if cause["rank"] is None:
        return "somebody outside"
    called = "" if cause["call"] is None else f" ({look.plain(board.call_name(cause['call']))})"
    return f"{look.plain(cause['name'])}{called}"


def _notice(number: int, notice: Mapping[str, Any], board: Board, look: Look) -> Iterator[Text]:
    part = "" if notice["part"] is None else f" ({look.plain(notice['part'])})"
    yield Text.assemble(
        (f"notice {number}  ", "dim"),
        (f"{look.plain(notice['key'])}{part}", "yellow"),
        f" {notice['kind'].replace('_', ' ')} by {_caused(notice['cause'], board, look)}",
    )
    for title, calls in (("was seen by", notice["calls"]), ("may rest on it", notice["dependents"])):
        if calls:
            names = ", ".join(look.plain(board.call_name(call)) for call in calls)
            yield Text.assemble((f"  {title}  ", "dim"), names)
    for literal in notice["stale"]:
        new = "" if literal["new"] is None else look.own(" → ") + look.plain(literal["new"])
        where = f"{look.plain(board.call_name(literal['call']))} {look.plain(literal['argument'])}"
        yield Text.assemble(
            ("  still holds the old value  ", "dim"), f"{where}: {look.plain(literal['old'])}{new}"
        )
    yield from difference(notice["diff"], look)


def difference(diff: str, look: Look) -> Iterator[Text]:
    """Yield the lines of a difference, in its colours."""
    lines = look.lines(diff).split("\n")
    for line in lines[:_DIFF_LINES_MAX]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        yield Text(f"  {line}", style)
    if len(lines) > _DIFF_LINES_MAX:
        yield Text(look.own(f"  … and {len(lines) - _DIFF_LINES_MAX:,} more lines"), "dim")


def help_lines(look: Look) -> Iterable[Text]:
    """Return what the signs mean, and which keys there are."""
    yield Text("The signs of steps", "bold")
    for mark in Mark:
        sign, style = look.sign(mark)
        yield Text.assemble("  ", (sign, style), f"   {_SAID[mark]}")
    yield Text()
    yield Text("Agents are in serialization order: each is told what changes below it.", "")
    yield Text.assemble(
        "told ",
        ("2/5", "bold yellow"),
        ": 2 notices to read, 5 read; ",
        (look.own("✗"), ""),
        ": failed; ",
        look.own("◆"),
        ": repaired",
    )
    yield Text()
    yield Text("Keys", "bold")
    for key, said in _KEYS:
        yield Text.assemble("  ", (key.ljust(22), "bold"), said)
    yield Text()
    yield Text("It only reads the log: no agent waits for it.", "dim")
