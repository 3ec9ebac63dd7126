"""`coagent bench pairs`: gold patches of real pull requests, two at a time in one tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coagent.cli.output import console, print_json


def pairs(
    dataset: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="The folder `dataset` of a copy of CooperBench."),
    ],
    repositories: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Where clones lie, as OWNER/NAME or NAME.")
    ],
    only: Annotated[
        list[str] | None, typer.Option(help="Part of a task's name, such as jinja; may be repeated.")
    ] = None,
    tests: Annotated[
        bool, typer.Option(help="Run the features' own tests (Python ones; pip installs).")
    ] = True,
    json_output: Annotated[bool, typer.Option("--json", help="Print every pair as JSON.")] = False,
) -> None:
    """Let two scripted agents apply the gold patches of two features in one tree, beside git's own merge.

    The data set is public and downloaded by you: github.com/cooperbench/CooperBench. The repositories are
    those that its tasks name.

    Example: coagent bench pairs --dataset CooperBench/dataset --repositories clones --only jinja
    """
    from coagent_lab.bench.pairs.dataset import read_dataset
    from coagent_lab.bench.pairs.measure import Pair, measure
    from coagent_lab.bench.pairs.report import missed, table

    chosen = [task for task in read_dataset(dataset) if not only or any(part in task.name for part in only)]
    if not chosen:
        raise typer.BadParameter("no task has such a name", param_hint="--only")
    out = console(stderr=True)
    found: list[Pair] = []
    with out.status("reading the data set") as status:
        for pair in measure(chosen, repositories, tests=tests, progress=status.update):
            found.append(pair)
    if json_output:
        print_json([pair.as_data() for pair in found])
        return
    out = console()
    out.print(table(found))
    left_out = [pair for pair in found if pair.left_out]
    if left_out:
        out.print(f"{len(left_out)} pairs were left out:")
        for why in sorted({f"{pair.task}: {pair.left_out}" for pair in left_out})[:40]:
            out.print(f"  {why}", markup=False)
    for pair in missed(found):
        ways = ", ".join(merge.way for merge in pair.merges if not merge.applied)
        out.print(f"git merges what was left to an agent: {pair.task} {pair.features} ({ways})", markup=False)
