"""`coagent bench contended`: the protocols compared on contended workloads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import console, print_json
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from coagent.bench.contended.measure import Measured, Plan


def contended(
    workloads: Annotated[
        Path | None, typer.Option(help="Run every workload file of this directory; their code is executed.")
    ] = None,
    all_workloads: Annotated[
        bool, typer.Option("--all", help="Beyond the ten, also code, a database and a document.")
    ] = False,
    workbench: Annotated[
        Path | None, typer.Option(help="The folder with the data of office workload files.")
    ] = None,
    protocols: Annotated[str, typer.Option(help="Comma-separated.")] = "serial,naive,2pl,occ,mtpo",
    trials: Annotated[int, typer.Option(min=1, help="Seeds a workload and protocol.")] = 20,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    misjudge: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="How often a notice is judged wrongly.")
    ] = 0.0,
    without: Annotated[
        str, typer.Option(help="Ideas to switch off: second_look,short_prompt,coalesce,proposals,ride_along.")
    ] = "",
    sql: Annotated[
        str | None, typer.Option(help="sqlite or postgresql://…: run SQL and office workloads on that.")
    ] = None,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also 2 to 64 agents at three contentions.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with figures to this file.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare the protocols on contended workloads: correctness, speed-up and tokens.

    Agents are simulated: reference policies whose thinking takes time and tokens on a virtual clock. All
    parameters are printed with the result. Without --workloads it runs the ten: five cluster incidents and
    five office workloads. The exit code is 1 if a workload could not be run.

    Workload files hold agents as Python source, which is executed: name a directory that you trust.
    """
    import anyio

    plan = anyio.run(
        _plan, workloads, workbench, protocols, trials, seed, misjudge, without, sql, all_workloads
    )
    measured = anyio.run(_measure, plan[0], plan[1])
    data = measured.as_data()
    if scaling or html is not None:
        data["scaling"] = anyio.run(_scaling, plan[0])
    if html is not None:
        from coagent.bench.contended.page import page

        _write(html, page(data, measured.timelines("k8s-canary")))
    if json_output:
        print_json(data)
    else:
        _show(console(), data, html)
    if measured.failures:
        raise typer.Exit(1)


async def _plan(
    workloads: Path | None,
    workbench: Path | None,
    protocols: str,
    trials: int,
    seed: int,
    misjudge: float,
    without: str,
    sql: str | None,
    all_workloads: bool,
) -> tuple[Plan, dict[str, str]]:
    from coagent.bench.contended.judging import Judging
    from coagent.bench.contended.measure import Plan
    from coagent.bench.contended.ten import the_ten

    failures: dict[str, str] = {}
    if workloads is not None:
        found = _from_files(workloads, workbench, sql, failures)
    else:
        found = await the_ten(_known(sql))
        if all_workloads:
            from coagent.bench.contended.beyond import beyond

            found += await beyond(sql)
    return (
        Plan(
            workloads=found,
            protocols=_protocols(protocols),
            trials=trials,
            seed=seed,
            judging=Judging(misjudge=misjudge, **_switched_off(without)),
        ),
        failures,
    )


def _from_files(folder: Path, workbench: Path | None, sql: str | None, failures: dict[str, str]) -> list[Any]:
    from coagent.bench.contended.families import family_of
    from coagent.bench.contended.workload import files, load

    found = []
    for path in files(folder):
        try:
            workload = load(path)
            found.append((workload, family_of(workload, workbench, _known(sql))))
        except ConfigurationError as error:
            failures[path.name] = str(error)
    return found


def _known(sql: str | None) -> str | None:
    if sql is None or sql == "sqlite" or sql.startswith(("postgresql://", "postgres://")):
        return sql
    raise ConfigurationError(
        f"there is no database {sql!r}", "Write sqlite or postgresql://user@host/database."
    )


def _protocols(text: str) -> list[str]:
    import difflib

    from coagent.runtime.domain import PROTOCOLS

    found = [one.strip() for one in text.split(",") if one.strip()]
    for one in found:
        if one not in PROTOCOLS:
            nearest = difflib.get_close_matches(one, PROTOCOLS, 1)
            cure = f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(PROTOCOLS)}."
            raise ConfigurationError(f"there is no protocol {one!r}", cure)
    if not found:
        raise ConfigurationError("no protocol is named", "Name at least one.")
    return found


def _switched_off(text: str) -> dict[str, bool]:
    ideas = ("second_look", "short_prompt", "coalesce", "proposals", "ride_along")
    found = [one.strip() for one in text.split(",") if one.strip()]
    for one in found:
        if one not in ideas:
            raise ConfigurationError(
                f"there is no idea {one!r} to switch off", f"There are: {', '.join(ideas)}."
            )
    return dict.fromkeys(found, False)


async def _measure(plan: Plan, failures: dict[str, str]) -> Measured:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from coagent.bench.contended.measure import measure

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
    from coagent.bench.contended.scaling import scaling

    return await scaling(plan)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the page {str(path)!r} cannot be written: {error.strerror}") from None


def _show(out: Console, data: dict[str, Any], html: Path | None) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("workload", no_wrap=True, max_width=22)
    table.add_column("", no_wrap=True, min_width=6)
    for name in ("in order", "serial", "time s", "speed", "tokens", "notices", "undone"):
        table.add_column(name, justify="right", no_wrap=True, min_width=5)
    for one in data["workloads"]:
        for number, (protocol, figures) in enumerate(one["protocols"].items()):
            table.add_row(one["id"] if number == 0 else "", protocol, *_cells(figures))
        table.add_section()
    for number, (protocol, figures) in enumerate(data["summary"].items()):
        if figures:
            table.add_row("mean of all" if number == 0 else "", protocol, *_cells(figures), style="bold")
    out.print(table)
    out.print(_parameters(data["parameters"]), style="dim")
    for workload, reason in data["failed_workloads"].items():
        out.print(f"{workload}: {reason}", style="red", markup=False)
    if html is not None:
        out.print(f"The page is in {html}.", markup=False)


def _cells(figures: dict[str, Any]) -> list[str]:
    return [
        f"{figures['serial_in_order']:.0%}",
        f"{figures['serial_any_order']:.0%}",
        f"{figures['makespan_s']:.1f}",
        f"{figures['speedup']:.2f}x",
        f"{figures['tokens_ratio']:.2f}x",
        f"{figures['notifications']:.1f}",
        f"{figures['aborts']:.1f}",
    ]


def _parameters(parameters: dict[str, Any]) -> str:
    costs = ", ".join(f"{name} {value:g}" for name, value in parameters["costs"].items())
    judging = ", ".join(f"{name} {value}" for name, value in parameters["judging"].items())
    return (
        f"Simulated agents on a virtual clock, {parameters['trials']} seeds from {parameters['first_seed']}. "
        f"Costs: {costs}. Judging: {judging}."
    )
