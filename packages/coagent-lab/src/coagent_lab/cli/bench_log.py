"""`coagent bench log`: what a call costs on the engines of the log, with one process and with many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coagent.cli.output import console, print_json

if TYPE_CHECKING:
    from coagent_lab.bench.engines import Engines


def log(
    server: Annotated[
        list[str] | None,
        typer.Option("--log", metavar="URL", help="A PostgreSQL database to measure beside SQLite."),
    ] = None,
    processes: Annotated[str, typer.Option(help="How many share a domain: numbers with commas.")] = "1,8,50",
    agents: Annotated[int, typer.Option(min=1, help="How many agents each process serves.")] = 1,
    think: Annotated[str, typer.Option(help="Seconds between two calls of an agent, likewise.")] = "0,1",
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each case is measured.")] = 5.0,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure a write call on SQLite, and on PostgreSQL servers beside it.

    Each agent writes objects of its own as fast as it can, or thinks in between.
    The log is one order, so all appends wait for one another: what a bare commit takes is printed first, and
    no domain commits faster than that. In the database of a URL a schema is made for each case, and dropped.
    """
    from coagent_lab.bench.engines import measure

    counts = [int(one) for one in _numbers("--processes", processes) if one >= 1]
    thinks_s = _numbers("--think", think)
    progress = console(stderr=True)
    if progress.is_terminal:
        with progress.status("getting ready") as status:
            found = measure(server or [], counts, thinks_s, seconds, status.update, agents)
    else:
        found = measure(server or [], counts, thinks_s, seconds, agents=agents)
    if json_output:
        print_json(found.as_data())
    else:
        _show(found)


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(one) for one in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers", param_hint=option) from None


def _show(found: Engines) -> None:
    from rich.table import Table

    from coagent_lab.bench.engines import AIM_MS

    out = console()
    here = found.parameters["machine"]
    out.print(
        f"Python {here['python']}, {here['cpus']} CPUs ({here['processor']}), {here['system']}, "
        f"load {here['load_average'][0]}, SQLite {here['sqlite']}; {found.parameters['seconds']:g} s a case",
        style="dim",
        markup=False,
        soft_wrap=True,
    )
    for log, figures in found.commits.items():
        out.print(
            f"a bare commit on {log}: median {figures['median_ms']:.2f} ms, p99 {figures['p99_ms']:.1f} ms",
            markup=False,
            soft_wrap=True,
        )
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("log")
    for name in (
        "processes",
        "agents",
        "think s",
        "calls",
        "median ms",
        "p99 ms",
        "p99.9 ms",
        "calls/s",
        "MB",
    ):
        table.add_column(name, justify="right")
    for one in found.calls:
        table.add_row(
            one.log.partition(":")[0],
            str(one.processes),
            str(one.agents),
            f"{one.think_s:g}",
            str(one.calls),
            f"{one.median_ms:.2f}",
            f"{one.p99_ms:.1f}",
            f"{one.p999_ms:.1f}",
            f"{one.calls_per_s:.0f}",
            f"{one.memory_mb:.0f}",
        )
    out.print(table)
    out.print(
        f"The aim was a median of {AIM_MS:g} ms for one process and a server on its machine.", style="dim"
    )
