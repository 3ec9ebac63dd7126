"""`coagent bench shell`: what the governed shell adds to a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from coagent.cli.output import console, print_json


def shell(
    files: Annotated[int, typer.Option(min=2, help="How many files the scratch workspace has.")] = 1000,
    samples: Annotated[int, typer.Option(min=1, help="How often each command is timed in each way.")] = 5,
    root: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A workspace of your own.")
    ] = None,
    command: Annotated[
        str | None, typer.Option(help="A command to time; it must leave the workspace as it is.")
    ] = None,
    whole_tree: Annotated[
        bool,
        typer.Option("--whole-tree", help="Time what looks at all of the tree, with one agent and with two."),
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Time commands in plain bash and in the governed shell, coarse and traced, by turns.

    With --whole-tree: `git status`, `git grep`, `grep -rn`, commits and edits, plain and governed, for an
    agent that is alone and for one that comes before another, the first time and later.

    Example: coagent bench shell --root . --command "pytest -q -p no:cacheprovider tests"
    """
    if whole_tree:
        if root is not None or command is not None:
            raise typer.BadParameter("it makes a tree and has commands of its own", param_hint="--whole-tree")
        _whole_tree(files, samples, json_output)
        return
    from rich.progress import Progress

    from coagent_lab.bench.shell import measure

    if root is not None and command is None:
        raise typer.BadParameter("a workspace of your own needs --command", param_hint="--root")
    out = console(stderr=True)
    with Progress(console=out, transient=True, disable=not out.is_terminal) as bars:
        bar = bars.add_task("timing commands", total=samples)
        found = measure(
            files,
            samples,
            lambda done: bars.update(bar, completed=done),
            root=root.resolve() if root else None,
            command=command,
        ).as_data()
    if json_output:
        print_json(found)
    else:
        _show(found)


def _whole_tree(files: int, samples: int, json_output: bool) -> None:
    from rich.progress import Progress
    from rich.table import Table

    from coagent_lab.bench.whole_tree import measure, ways

    out = console(stderr=True)
    with Progress(console=out, transient=True, disable=not out.is_terminal) as bars:
        bar = bars.add_task("timing commands", total=None)
        found = measure(files, samples, lambda done: bars.update(bar, completed=done)).as_data()
    if json_output:
        print_json(found)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("command")
    for name in ("plain ms", *ways()):
        table.add_column(name, justify="right")
    for name, one in found["commands"].items():
        times = (f"{one['governed_s'][way] * 1000:.0f} ms  {one['ratios'][way]:.2f}x" for way in ways())
        table.add_row(name, f"{one['plain_s'] * 1000:.0f}", *times)
    out = console()
    out.print(table)
    edits = ", ".join(f"{seconds * 1000:.1f} ms {way}" for way, seconds in found["edit_s"].items())
    out.print(f"an edit: {edits}; medians, {files} files", style="dim")


_TRACERS = {"c": "C", "python": "Python (there is no C compiler)"}


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("command")
    for name in ("plain ms", "coarse ms", "traced ms", "coarse", "traced"):
        table.add_column(name, justify="right")
    for name, one in found["commands"].items():
        times = [f"{one[f'{way}_s'] * 1000:.0f}" for way in ("plain", "coarse", "traced")]
        table.add_row(name, *times, f"{one['coarse_ratio']:.2f}x", f"{one['traced_ratio']:.2f}x")
    out = console()
    out.print(table)
    machine, parameters = found["machine"], found["parameters"]
    where = "a workspace of your own" if parameters["files"] is None else f"{parameters['files']} files"
    out.print(
        f"medians of {parameters['samples']} samples, {where}, "
        f"traced by {_TRACERS.get(parameters['tracer'], 'nothing')}; "
        f"Python {machine['python']}, {machine['processor']}, {machine['cpus']} CPUs.",
        style="dim",
    )
