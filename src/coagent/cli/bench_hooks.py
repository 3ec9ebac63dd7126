"""`coagent bench hooks`: what hooks and the shell prefix add to a tool call of Claude Code."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coagent.cli.output import console, print_json


def hooks(
    files: Annotated[int, typer.Option(min=1, help="How many files the workspace has.")] = 1000,
    samples: Annotated[int, typer.Option(min=1, help="How often each kind of hook is timed.")] = 40,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Time hooks and commands of Claude Code sessions: whole processes, in a scratch repository.

    Claude Code runs a hook before and one after most tool calls, and each command by the shell prefix. The
    first command of a workspace makes a snapshot of it, and is timed apart.
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
    table.add_column("hook or command")
    table.add_column("median ms", justify="right")
    table.add_column("95 % ms", justify="right")
    for name, figures in found["hooks"].items():
        table.add_row(name, f"{figures['median_ms']:.1f}", f"{figures['p95_ms']:.1f}")
    out = console()
    out.print(table)
    machine = found["machine"]
    out.print(
        f"The first command took {found['first_command_ms']:.0f} ms. "
        f"{found['parameters']['samples']} samples, {found['parameters']['files']} files; "
        f"Python {machine['python']}, {machine['processor']}, {machine['cpus']} CPUs.",
        style="dim",
    )
