"""`coagent bench hooks`: what a hook adds to a tool call of Claude Code."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coagent.cli.output import console, print_json


def hooks(
    files: Annotated[int, typer.Option(min=1, help="How many files the workspace has.")] = 1000,
    samples: Annotated[int, typer.Option(min=1, help="How often each kind of hook is timed.")] = 40,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Time the hooks of Claude Code sessions: whole processes, in a scratch workspace.

    Claude Code runs one before and one after most tool calls. The first command of a session copies the
    workspace, so that what commands change can be undone; that one is in the 95th percentile.
    """
    from rich.progress import Progress

    from coagent.bench.hooks import measure

    out = console(stderr=True)
    with Progress(console=out, transient=True, disable=not out.is_terminal) as bars:
        bar = bars.add_task("timing hooks", total=samples)
        found = measure(files, samples, lambda done: bars.update(bar, completed=done)).as_data()
    if json_output:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("hook")
    table.add_column("median ms", justify="right")
    table.add_column("95 % ms", justify="right")
    for name, figures in found["hooks"].items():
        table.add_row(name, f"{figures['median_ms']:.1f}", f"{figures['p95_ms']:.1f}")
    out = console()
    out.print(table)
    machine = found["machine"]
    out.print(
        f"{found['parameters']['samples']} samples, {found['parameters']['files']} files; "
        f"Python {machine['python']}, {machine['processor']}, {machine['cpus']} CPUs.",
        style="dim",
    )
