"""`coagent bench contended`: the protocols compared on contended workloads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import check_place, console, print_json, write_page
from coagent.errors import ConfigurationError

_REASON_LENGTH_MAX = 300
_PLAIN_WIDTH = 96

if TYPE_CHECKING:
    from rich.console import Console

    from coagent.agents.budget import Budget
    from coagent_lab.bench.contended.measure import Measured, Plan
    from coagent_lab.bench.contended.runner import Runner


_Trials = Annotated[
    int | None,
    typer.Option(min=1, help="Seeds a workload and protocol: 20, and 1 with --model.", show_default=False),
]
_Without = Annotated[
    str, typer.Option(help="Ideas to switch off: second_look,short_prompt,coalesce,proposals,ride_along.")
]
_Budget = Annotated[str, typer.Option(help="What a model may spend: requests,tokens,calls,seconds.")]
_Keep = Annotated[
    Path | None, typer.Option(help="With --model: keep transcripts and results here, and go on from them.")
]


def contended(
    workloads: Annotated[
        Path | None, typer.Option(help="Run every workload file of this directory; their code is executed.")
    ] = None,
    all_workloads: Annotated[
        bool, typer.Option("--all", help="Beyond the ten, also code, a database and a document.")
    ] = False,
    benign: Annotated[
        bool, typer.Option("--benign", help="Instead of the ten: agents that conflict little or not at all.")
    ] = False,
    only: Annotated[str, typer.Option(help="Comma-separated ids of the workloads to run.")] = "",
    workbench: Annotated[
        Path | None, typer.Option(help="The folder with the data of office workload files.")
    ] = None,
    protocols: Annotated[
        str, typer.Option(help="Comma-separated; `one` is one agent with the goals of all.")
    ] = "serial,naive,2pl,occ,mtpo",
    trials: _Trials = None,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    misjudge: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="How often a notice is judged wrongly.")
    ] = 0.0,
    dies: Annotated[
        bool, typer.Option("--dies", help="The first agent's process dies midway, which is seen later.")
    ] = False,
    without: _Without = "",
    sql: Annotated[
        str | None, typer.Option(help="sqlite or postgresql://…: run SQL and office workloads on that.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="PROVIDER:NAME: run language models instead of simulated agents.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint for --model.")] = None,
    budget: _Budget = "requests=30,tokens=200000,calls=60,seconds=900",
    keep: _Keep = None,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also 2 to 64 simulated agents at three contentions.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with figures to this file.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare the protocols on contended workloads: correctness, speed-up and tokens.

    Agents are simulated: reference policies whose thinking takes time and tokens on a virtual clock. All
    parameters are printed with the result. Without --workloads it runs the ten: five cluster incidents and
    five office workloads. The exit code is 1 if a workload could not be run.

    With --model, language models run the same table from the goals and tools alone, and are judged by the
    same serial outcomes (office texts without case).

    Workload files hold agents as Python source, which is executed: name a directory that you trust.
    """
    import anyio

    if html is not None:
        check_place(html)
    chosen = Chosen(workloads, all_workloads, _names(only), workbench, _known(sql), benign)
    if dies and scaling:
        raise ConfigurationError("--scaling has no agents that die", "Leave --scaling or --dies out.")
    runner = _runner(model, base_url, budget, keep, misjudge, without, dies=dies)
    seeds = trials if trials is not None else (20 if model is None else 1)
    failures: dict[str, str] = {}
    plan = anyio.run(
        _plan, chosen, runner, _protocols(protocols, alone=model is None and not dies), seeds, seed, failures
    )
    measured = anyio.run(_measure, plan, failures)
    with_scaling = scaling or (html is not None and model is None and not dies)
    _report(measured, html, json_output, scaling=with_scaling)


def _report(measured: Measured, html: Path | None, json_output: bool, *, scaling: bool) -> None:
    import anyio

    data = measured.as_data()
    if scaling:
        data["scaling"] = anyio.run(_scaling, measured.plan)
    if html is not None:
        from coagent_lab.bench.contended.page import page

        write_page(html, page(data, measured.timelines("k8s-canary")))
    if json_output:
        print_json(data)
    else:
        _show(console(), data, html)
    if measured.failures:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Chosen:
    """Which workloads to run."""

    folder: Path | None
    beyond_the_ten: bool
    only: list[str]
    workbench: Path | None
    sql: str | None
    benign: bool


async def _plan(
    chosen: Chosen, runner: Runner, protocols: list[str], trials: int, seed: int, failures: dict[str, str]
) -> Plan:
    from coagent_lab.bench.contended.measure import Plan
    from coagent_lab.bench.contended.ten import the_ten

    if chosen.folder is not None:
        found = _from_files(chosen, failures)
    elif chosen.benign:
        from coagent_lab.bench.contended.benign import benign

        found = await benign()
    else:
        found = await the_ten(chosen.sql)
        if chosen.beyond_the_ten or chosen.only:
            from coagent_lab.bench.contended.beyond import beyond

            found += await beyond(chosen.sql)
    return Plan(_only(found, chosen.only), protocols=protocols, trials=trials, seed=seed, runner=runner)


def _only(found: list[Any], only: list[str]) -> list[Any]:
    import difflib

    ids = [workload.id for workload, _ in found]
    for one in only:
        if one not in ids:
            nearest = difflib.get_close_matches(one, ids, 1)
            cure = f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(ids)}."
            raise ConfigurationError(f"there is no workload {one!r}", cure)
    return [one for one in found if not only or one[0].id in only]


def _runner(
    model: str | None,
    base_url: str | None,
    budget: str,
    keep: Path | None,
    misjudge: float,
    without: str,
    *,
    dies: bool,
) -> Runner:
    from coagent_lab.bench.contended.judging import Judging
    from coagent_lab.bench.contended.runner import Simulated

    ideas = _switched_off(without)
    if model is None:
        if base_url is not None or keep is not None:
            raise ConfigurationError(
                f"{'--base-url' if base_url is not None else '--keep'} is for language models",
                "Name one with --model PROVIDER:NAME.",
            )
        return Simulated(judging=Judging(misjudge=misjudge, **ideas), dies=dies)
    if misjudge or dies or not ideas.keys() <= {"second_look", "short_prompt"}:
        raise ConfigurationError(
            "--misjudge, --dies, and --without other than second_look,short_prompt, are for simulated agents",
            "Leave them out with --model.",
        )
    try:
        from coagent_lab.bench.contended.modelled import Modelled
    except ImportError as error:
        raise ConfigurationError(
            f"--model needs Pydantic AI: {error}", "Install it: pip install 'coagent-mtpo[llm]'."
        ) from None
    from coagent.agents.llm_model import resolve_model

    resolve_model(model, base_url=base_url)  # a mistake in it is told before anything runs
    return Modelled(model, base_url=base_url, budget=_budget(budget), keep=keep, **ideas)


def _budget(text: str) -> Budget:
    from dataclasses import fields

    from coagent.agents.budget import Budget

    kinds = {one.name: float if one.name == "seconds" else int for one in fields(Budget)}
    limits: dict[str, Any] = {}
    for part in _names(text):
        name, _, value = part.partition("=")
        try:
            limits[name] = kinds[name](value)
        except (KeyError, ValueError):
            raise ConfigurationError(
                f"--budget has {part!r}", f"Write NAME=NUMBER with names out of {', '.join(kinds)}."
            ) from None
    return Budget(**limits)


def _names(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _from_files(chosen: Chosen, failures: dict[str, str]) -> list[Any]:
    from coagent_lab.bench.contended.families import family_of
    from coagent_lab.bench.contended.workload import files, load

    found = []
    assert chosen.folder is not None
    for path in files(chosen.folder):
        try:
            workload = load(path)
            found.append((workload, family_of(workload, chosen.workbench, chosen.sql)))
        except ConfigurationError as error:
            failures[path.name] = str(error)
    return found


def _known(sql: str | None) -> str | None:
    if sql is None or sql == "sqlite" or sql.startswith(("postgresql://", "postgres://")):
        return sql
    raise ConfigurationError(
        f"there is no database {sql!r}", "Write sqlite or postgresql://user@host/database."
    )


def _protocols(text: str, *, alone: bool) -> list[str]:
    import difflib

    from coagent.runtime.protocols import PROTOCOLS
    from coagent_lab.bench.contended.variants import ONE

    found = _names(text)
    for one in found:
        if one == ONE:
            if not alone:
                raise ConfigurationError(
                    f"{ONE!r} goes neither with --model nor with --dies", "Leave it out."
                )
        elif one not in PROTOCOLS:
            nearest = difflib.get_close_matches(one, PROTOCOLS, 1)
            cure = f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(PROTOCOLS)}."
            raise ConfigurationError(f"there is no protocol {one!r}", cure)
    if not found:
        raise ConfigurationError("no protocol is named", "Name at least one.")
    return found


def _switched_off(text: str) -> dict[str, bool]:
    ideas = ("second_look", "short_prompt", "coalesce", "proposals", "ride_along")
    found = _names(text)
    for one in found:
        if one not in ideas:
            raise ConfigurationError(
                f"there is no idea {one!r} to switch off", f"There are: {', '.join(ideas)}."
            )
    return dict.fromkeys(found, False)


async def _measure(plan: Plan, failures: dict[str, str]) -> Measured:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from coagent_lab.bench.contended.measure import measure

    out = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bars:
        count = len(dict.fromkeys(["serial", *plan.protocols])) * plan.trials * len(plan.workloads)
        bar = bars.add_task("getting ready", total=count)

        def progress(workload: str, protocol: str, done: int) -> None:
            bars.update(bar, completed=done, description=f"{workload} under {protocol}")

        measured = await measure(plan, progress)
        bars.update(bar, completed=count)
    measured.failures.update(failures)
    return measured


async def _scaling(plan: Plan) -> list[dict[str, Any]]:
    from coagent_lab.bench.contended.scaling import scaling

    return await scaling(plan)


def _show(out: Console, data: dict[str, Any], html: Path | None) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("workload", no_wrap=True, max_width=24)
    table.add_column("", no_wrap=True, min_width=6)
    judged = ["check"] if "model" in data["parameters"] else []
    names = (
        "in order",
        "serial",
        *judged,
        "time s",
        "speed",
        "bound",
        "tokens",
        "notices",
        "false",
        "undone",
    )
    for name in names:
        table.add_column(name, justify="right", no_wrap=True, min_width=5)
    for one in data["workloads"]:
        for number, (protocol, figures) in enumerate(one["protocols"].items()):
            table.add_row(one["id"] if number == 0 else "", protocol, *_cells(figures, bool(judged)))
        table.add_section()
    for number, (protocol, figures) in enumerate(data["summary"].items()):
        if figures:
            table.add_row(
                "mean of all" if number == 0 else "", protocol, *_cells(figures, bool(judged)), style="bold"
            )
    if not out.is_terminal:
        out.width = max(out.width, _PLAIN_WIDTH)
    out.print(table)
    out.print(_parameters(data["parameters"]), style="dim")
    for one in data["workloads"]:
        for protocol, figures in one["protocols"].items():
            for reason in figures["failures"]:
                out.print(f"{one['id']} under {protocol}: {_brief(reason)}", style="yellow", markup=False)
    for workload, reason in data["failed_workloads"].items():
        out.print(f"{workload}: {reason}", style="red", markup=False)
    if html is not None:
        out.print(f"The page is in {html}.", markup=False)


def _brief(reason: str) -> str:
    return reason if len(reason) <= _REASON_LENGTH_MAX else f"{reason[:_REASON_LENGTH_MAX]}…"


def _cells(figures: dict[str, Any], judged: bool) -> list[str]:
    accepted = figures["accepted"]
    return [
        f"{figures['serial_in_order']:.0%}",
        f"{figures['serial_any_order']:.0%}",
        *(["-" if accepted is None else f"{accepted:.0%}"] if judged else []),
        f"{figures['makespan_s']:.1f}",
        f"{figures['speedup']:.2f}x",
        f"{figures['over_bound']:.2f}x",
        f"{figures['tokens_ratio']:.2f}x",
        f"{figures['notifications']:.1f}",
        "-" if figures["false_notices"] is None else f"{figures['false_notices']:.0%}",
        f"{figures['aborts']:.1f}",
    ]


def _parameters(parameters: dict[str, Any]) -> str:
    lines = [
        f"{parameters['agents'].capitalize()}; {parameters['trials']} seeds from {parameters['first_seed']}."
    ]
    for name in ("model", "base_url"):
        if parameters.get(name):
            lines.append(f"{name}: {parameters[name]}.")
    for name in ("costs", "judging", "budget"):
        if name in parameters:
            lines.append(f"{name}: {', '.join(f'{one} {value}' for one, value in parameters[name].items())}.")
    return " ".join(lines)
