"""Shows what a demo gave: timelines, a table, and what happened in two sentences."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coagent.cli.timeline import ASCII, LEGEND, Chart, agent_style
from coagent.demos.report import DemoReport, DemoRun

_WIDTH_MAX = 120


def show(report: DemoReport, console: Console, *, kept: bool) -> None:
    """Print a report.

    Args:
        report: What the demo gave.
        console: Where to; its width decides how much room the time axis has.
        kept: Whether the folder of the runs is still there.
    """
    plain = not console.encoding.lower().startswith("utf")
    width = min(console.width, _WIDTH_MAX)

    def line(text: Text | str = "") -> None:
        made = Text(text) if isinstance(text, str) else text
        if plain:
            made.plain = made.plain.translate(ASCII)
        console.print(made, width=width)

    for number, (name, task) in enumerate(report.agents.items()):
        line(Text.assemble((f"{name} ", f"bold {agent_style(number)}"), f"{task}."))
    line(Text(LEGEND, style="dim"))
    seconds = max((run.makespan_s for run in report.runs), default=0.0)
    chart = Chart(seconds, width, list(report.agents))
    for run in report.runs:
        line()
        line(_title(run, width))
        for row in chart.rows(run):
            line(row)
    console.print(_table(report), width=width)
    for run in report.runs:
        _details(run, line)
    if any(run.details for run in report.runs):
        line()
    console.print(Padding(_explanation(report), (0, 1)), width=width)
    if kept:
        console.print(f"\nKept: {report.folder}", soft_wrap=True, markup=False)


def _title(run: DemoRun, width: int) -> Text:
    head = Text.assemble((run.protocol, "bold"), f"  {run.makespan_s:.0f} s")
    if run.order is not None:
        verdict = Text(f"✓ serializable: as {', then '.join(run.order)}", style="green")
    else:
        verdict = Text("✗ not serializable: no serial run ends so", style="bold red")
    gap = max(width - head.cell_len - verdict.cell_len, 2)
    return Text.assemble(head, " " * gap, verdict)


def _table(report: DemoReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("protocol")
    table.add_column("serial?")
    for title in ("makespan", "speed-up", "tokens", "notices"):
        table.add_column(title, justify="right")
    table.add_column(report.outcome_title)
    serial_s = report.serial_s
    for run in report.runs:
        speed_up = f"{serial_s / run.makespan_s:.2f}x" if serial_s and run.makespan_s else "-"
        table.add_row(
            run.protocol,
            Text("yes", "green") if run.serializable else Text("no", "bold red"),
            f"{run.makespan_s:.0f} s",
            speed_up,
            f"{run.tokens:,}",
            str(run.notifications),
            Text(run.outcome, "green" if run.sound else "bold red"),
        )
    return table


def _explanation(report: DemoReport) -> Text:
    failures = [f"{run.protocol}: {run.failure}" for run in report.runs if run.failure]
    surprises = [run.protocol for run in report.runs if not run.as_expected]
    if failures or surprises:
        said = "; ".join(failures) or f"not as expected: {', '.join(surprises)}"
        return Text(f"This demo went wrong: {said}.", style="bold red")
    return Text(report.explanation)


def _details(run: DemoRun, line: Callable[[Text], None]) -> None:
    for title, rows in run.details.items():
        line(Text(f" {run.protocol}: {title}", style="bold"))
        for row in rows:
            line(Text(f"   {row}", style="dim"))
