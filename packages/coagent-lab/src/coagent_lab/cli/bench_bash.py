"""`coagent bench bash`: everyday tasks in bash, alone and with several workers at once."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from coagent.cli.output import console, print_json
from coagent.errors import CoAgentError

_NEEDED = ("git", "jq", "sqlite3")


class Answers(StrEnum):
    """How a language model is to answer."""

    tools = "tools"
    json = "json"


def bash(
    tasks: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file of tasks; its commands are run.")
    ] = None,
    arms: Annotated[str, typer.Option(help="Which ways to compare.")] = "raw,traced,toolsmith",
    only: Annotated[list[str] | None, typer.Option(help="The id of a task; may be repeated.")] = None,
    workers: Annotated[
        list[int] | None, typer.Option(min=2, max=5, help="How many work at once; default: 2 and 4.")
    ] = None,
    trials: Annotated[int, typer.Option(min=0, help="Trials with several workers, for each case.")] = 10,
    seed: Annotated[int, typer.Option(help="Where chance begins.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="A language model as one more worker, as provider:name.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint for --model.")] = None,
    answers: Annotated[
        Answers, typer.Option(help="How --model answers; json: it calls no tools, and makes them only.")
    ] = Answers.tools,
    seconds: Annotated[
        float, typer.Option(min=1, help="How long --model may take to make a tool, in seconds.")
    ] = 300,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Do everyday tasks on a small server by plain bash and by the governed shell, and undo them.

    Then several workers contend on one tree, interleaved by chance, and are judged by the serial run.

    Example: coagent bench bash --workers 2 --trials 10
    """
    from coagent_lab.bench.bash.arms import ARMS
    from coagent_lab.bench.bash.report import measure
    from coagent_lab.bench.bash.tasks import own_tasks, read_tasks

    chosen = tuple(one.strip() for one in arms.split(","))
    unknown = [one for one in chosen if one not in ARMS]
    if unknown or len(set(chosen)) != len(chosen):
        raise typer.BadParameter(f"choose once each from {', '.join(ARMS)}", param_hint="--arms")
    missing = [one for one in _NEEDED if shutil.which(one) is None]
    if missing:
        raise CoAgentError(f"the tasks need {', '.join(missing)}", "Install what is missing.")
    task_set = read_tasks(tasks) if tasks else own_tasks()
    wanted = frozenset(only or ())
    strangers = sorted(wanted - {one.id for one in task_set.tasks})
    if strangers:
        raise typer.BadParameter(f"no task is called {', '.join(strangers)}", param_hint="--only")
    out = console(stderr=True)
    with out.status("running tasks") as status:
        found = measure(
            task_set,
            chosen,
            wanted,
            tuple(workers or (2, 4)),
            range(seed, seed + trials),
            status.update,
            _workers(model, base_url, answers, seconds),
        )
    if json_output:
        print_json(found)
    else:
        _show(found)


def _show_growth(arm: str, one: dict[str, Any]) -> None:
    out, curve = console(), one["curve"]
    first = curve[min(13, len(curve)) - 1]
    number = min(13, len(curve))
    tens = f": {', '.join(map(str, curve[9::10]))} after each ten" if curve[9:] else ""
    lines = (
        f"tools     {one['tools']} for {one['tasks']} tasks, {first} of them after {number}{tens}",
        f"orders    {_at(one, number)} after {number} on average over all orders{_tens(one)}",
        f"reuse     {one['reused']} of {one['served']} tasks by a tool that was there",
        f"inverse   {one['write_tools_undone']} of {one['write_tools']} tools that wrote were undone exactly",
        f"outside   {one['footprint_violations']} calls would have changed what the tool does not declare",
        f"asking    {one['asking_s_made']} s for a new tool, {one['asking_s_reused']} s for a known one",
    )
    out.print(f"{arm}:", markup=False, highlight=False)
    for line in lines:
        out.print(line, markup=False, highlight=False)
    for task, why in one["without_tool"].items():
        out.print(f"no tool: {task}: {why}"[:300], markup=False, style="dim")


def _at(one: dict[str, Any], number: int) -> str:
    return f"{one['expected_curve'][number - 1]:.1f}"


def _tens(one: dict[str, Any]) -> str:
    found = [_at(one, number) for number in range(10, len(one["expected_curve"]) + 1, 10)]
    return f": {', '.join(found)} after each ten" if found else ""


def _workers(model: str | None, base_url: str | None, answers: Answers, seconds: float) -> dict[str, Any]:
    """Return the arms of a language model by name."""
    if model is None:
        if base_url is not None:
            raise typer.BadParameter(
                "it is for language models: name one with --model", param_hint="--base-url"
            )
        if answers is Answers.json:
            raise typer.BadParameter("it is for language models: name one by --model", param_hint="--answers")
        return {}
    try:
        from coagent_lab.bench.bash.by_model import ToolsByModel
        from coagent_lab.bench.bash.modelled import Modelled
    except ImportError as error:
        raise CoAgentError(
            f"--model needs Pydantic AI: {error}", "Install it: pip install 'coagent-mtpo[llm]'."
        ) from None
    from coagent.agents.llm_model import resolve_model
    from coagent_lab.bench.bash.arms import BY_MODEL

    resolve_model(model, base_url=base_url)  # a mistake in it is told before anything runs
    makes = {BY_MODEL: ToolsByModel(model, base_url, answers.value, seconds).run}
    if answers is Answers.json:
        return makes  # a model that cannot call tools has no shell
    return {"model": Modelled(model, base_url=base_url).run, **makes}


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("arm")
    for name in ("passed", "undone exactly", "time", "tokens"):
        table.add_column(name, justify="right")
    for arm, one in found["alone"].items():
        undone = f"{one['undo_exact']} of {one['undo_tried']}" if one["undo_tried"] else "-"
        table.add_row(
            arm,
            f"{one['passed']} of {one['tasks']}",
            undone,
            f"{one['time_ratio']:.2f}x" if one["time_ratio"] is not None else "-",
            f"{one['tokens']:,}",
        )
    out.print(table)
    for arm, one in found["alone"].items():
        for failed in one["failed"]:
            why = failed["why"] or f"left by undo: {', '.join(failed['left'])}"
            out.print(f"{arm}: {failed['task']}: {why}", markup=False, style="dim")
    for arm, one in found["alone"].items():
        if "curve" in one:
            _show_growth(arm, one)
    if found["together"]:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("work", "workers", "arm"):
            table.add_column(name)
        for name in ("in order", "some order", "notices", "by tools"):
            table.add_column(name, justify="right")
        for one in found["together"]:
            row = [f"{one[name]} of {one['trials']}" for name in ("in_order", "some_order")]
            served = str(one["served"]) if one["arm"] == "toolsmith" else ""
            more = f"{one['notices']:.1f}", served
            table.add_row(one["scenario"], str(one["workers"]), one["arm"], *row, *more)
        out.print()
        out.print(table)
    if found["raw_broken_min"] is not None:
        broken, least = (f"{found[name]:.0%}" for name in ("raw_broken", "raw_broken_min"))
        out.print(f"raw ended as no serial run in {broken} of its trials; {least} where it does best")
