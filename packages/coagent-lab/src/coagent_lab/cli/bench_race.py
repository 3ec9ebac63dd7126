"""`coagent bench race`: RaceBench's tasks and scripted agents, under CoAgent and under its own strategies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coagent.cli.output import console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from coagent_lab.bench.race.measure import Plan, Trial

_PLAIN_WIDTH = 96


def race(
    racebench: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="A copy of RaceBench; its code is run.")
    ],
    tasks: Annotated[str, typer.Option(help="Comma-separated; all that have scripts by default.")] = "",
    strategies: Annotated[
        str, typer.Option(help="Comma-separated; coagent and its published six by default.")
    ] = "",
    trials: Annotated[int, typer.Option(min=1, help="Seeds a task and strategy.")] = 3,
    think: Annotated[float, typer.Option(min=0.0, help="Mean seconds of thinking before each turn.")] = 0.2,
    json_output: Annotated[bool, typer.Option("--json", help="Print every trial as JSON.")] = False,
) -> None:
    """Run RaceBench's scripted agents under CoAgent and under the strategies that it comes with.

    The benchmark is public and downloaded by you: github.com/allisonllx/RaceBench. Its scripts are fixed and
    repair nothing, so that under CoAgent each trial must end as the scripts one after another in order. The
    exit code is 1 if one did not, or if an agent was made to wait.

    Example: coagent bench race --racebench RaceBench --trials 3
    """
    from coagent_lab.bench.race.measure import STRATEGIES, Plan, measure, published
    from coagent_lab.bench.race.report import apart, summed

    plan = Plan(racebench, _names(tasks), _names(strategies) or STRATEGIES, trials, think)
    out = console(stderr=True)
    found: list[Trial] = []
    with out.status("starting RaceBench") as status:
        for trial in measure(plan):
            found.append(trial)
            status.update(f"{trial.case} under {trial.strategy}")
    if json_output:
        print_json(
            {
                "parameters": {"trials": trials, "think_s": think},
                "strategies": summed(found),
                "published_with_a_model": [one._asdict() for one in published(racebench)],
                "trials": [trial.as_data() for trial in found],
            }
        )
    else:
        _show(console(), found, plan)
    if apart(found):
        raise typer.Exit(1)


def _show(out: Console, found: list[Trial], plan: Plan) -> None:
    from coagent_lab.bench.race.measure import published
    from coagent_lab.bench.race.report import apart, serially_wrong, table, told_of

    if not out.is_terminal:
        out.width = max(out.width, _PLAIN_WIDTH)
    out.print(table(found))
    if known := published(plan.directory):
        out.print(told_of(known), markup=False)
    if wrong := serially_wrong(found):
        out.print(
            f"Scripts that fail the tests even one after another, since each writes a whole file made up"
            f" beforehand: {', '.join(wrong)}.",
            markup=False,
        )
    for trial in apart(found):
        out.print(
            f"{trial.case}, seed {trial.seed}: in order {trial.in_order}, stalls {trial.stalls},"
            f" unfinished {', '.join(trial.unfinished) or 'none'}",
            style="red",
            markup=False,
        )


def _names(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]
