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

    Claude Code runs a hook before and one after most tool calls, and each command by the shell prefix. Timed
    apart are the first hook of a session, which starts the daemon, and the first command, for which the tree
    is looked at as a whole; that begins with the session.
    """
    from rich.progress import Progress

    from coagent_lab.bench.hooks import measure

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
    timed = {"a bare interpreter": found["bare_interpreter"], "the first hook": found["first_hook"]}
    for name, figures in {**timed, **found["hooks"]}.items():
        table.add_row(name, f"{figures['median_ms']:.1f}", f"{figures['p95_ms']:.1f}")
    for name, milliseconds in found["first_command_ms"].items():
        table.add_row(f"the first command, {name}", f"{milliseconds:.1f}", "")
    out = console()
    out.print(table)
    machine, size = found["machine"], found["bytes"]
    out.print(
        f"Agents wrote {size['changed']} bytes. .coagent took {size['kept while the daemon runs']} while the "
        f"daemon ran, beside links to files of the tree, and {size['kept']} when it had ended. "
        f"{found['parameters']['samples']} samples, {found['parameters']['files']} files; "
        f"Python {machine['python']}, {machine['processor']}, {machine['cpus']} CPUs, "
        f"load {machine['load_average'][0]}.",
        style="dim",
    )
