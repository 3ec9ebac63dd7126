"""`coagent bench overhead`: what a call costs beside the bare function, and how that grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coagent.cli.output import console, print_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from coagent_lab.bench.growth import Growth
    from coagent_lab.bench.overhead import Overhead, Row
    from coagent_lab.bench.reopening import Reopening


def overhead(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Fewer samples, up to 10^5 calls: some 20 s, not 4 min and 1.7 GB."),
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure what a call costs, in memory and on SQLite, beside the bare function.

    Times are microseconds a call. "contended write" is the write of the agent that comes first in the order,
    arriving after a blind write of the other one; "contended rmw" is the same after a read-modify-write,
    which is run again within the measured time. The mean holds what single calls put off to later ones, such
    as recording reads. Growth compares the largest size with the smallest. The last table is what a long log
    costs those who come later, each in a process of its own.
    Aims are printed beside the figures; missing one is no failure.
    """
    import anyio

    from coagent_lab.bench.overhead import measure

    progress = console(stderr=True)
    if progress.is_terminal:
        with progress.status("getting ready") as status:
            found = anyio.run(lambda: measure(quick=quick, progress=status.update))
    else:
        found = anyio.run(lambda: measure(quick=quick))
    if json_output:
        print_json(found.as_data())
    else:
        _show(found, console())


def _show(found: Overhead, out: Console) -> None:
    parameters = found.parameters
    here, collector = parameters["machine"], parameters["gc"]
    lines = [
        f"Python {here['python']}, {here['cpus']} CPUs ({here['processor']}), {here['system']}, "
        f"load {here['load_average'][0]}, SQLite {here['sqlite']}",
        f"{parameters['rounds']} rounds, samples a round: "
        + ", ".join(f"{subject} {count:,}" for subject, count in parameters["samples"].items()),
        f"garbage collector {'on' if collector['enabled'] else 'off'}, threshold "
        f"{tuple(collector['threshold'])}, ran {tuple(collector['collections'])} times by generation",
    ]
    for line in lines:
        out.print(line, style="dim", markup=False, soft_wrap=True)
    out.print(_overhead_table(found.rows))
    out.print(_growth_table(found.growth))
    out.print(_reopening_table(found.reopening))


def _table(*columns: tuple[str, bool]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title, number in columns:
        table.add_column(title, justify="right" if number else "left", no_wrap=bool(title))
    return table


def _overhead_table(rows: list[Row]) -> Table:
    table = _table(
        ("subject", False),
        ("operation", False),
        ("median", True),
        ("mean", True),
        ("p99", True),
        ("aim", True),
        ("", False),
    )
    for row in rows:
        aim = "" if row.aim_us is None else f"{row.aim_us:g} us"
        table.add_row(
            row.subject,
            row.operation,
            f"{row.median_us:.2f} us",
            f"{row.mean_us:.2f} us",
            f"{row.p99_us:.1f} us",
            aim,
            _verdict(row.median_us, row.aim_us, " us"),
        )
    return table


def _growth_table(growth: list[Growth]) -> Table:
    table = _table(
        ("subject", False),
        ("calls", False),
        ("operation", False),
        ("from", True),
        ("to us", True),
        ("ratio", True),
        ("aim", True),
        ("", False),
    )
    for one in growth:
        ends = [f"{_size(one.sizes[at])}: {one.median_us[at]:.1f}" for at in (0, -1)]
        table.add_row(
            one.subject,
            one.axis.removesuffix(" calls"),
            one.operation,
            *ends,
            f"{one.ratio:.2f}x",
            f"{one.aim_ratio:g}x",
            _verdict(one.ratio, one.aim_ratio, "x"),
        )
    return table


def _reopening_table(reopening: list[Reopening]) -> Table:
    table = _table(("log of", False), ("", False), ("median", True), ("aim", True), ("", False))
    for one in reopening:
        limit, unit = one.aim
        table.add_row(
            f"{_size(one.calls)} calls",
            one.what,
            f"{one.found:.2f} {unit}",
            f"{limit:g} {unit}",
            _verdict(one.found, limit, f" {unit}"),
        )
    return table


def _verdict(found: float, aim: float | None, unit: str) -> Text:
    from rich.text import Text

    if aim is None:
        return Text("")
    if found <= aim:
        return Text("met", style="green")
    return Text(f"missed by {found - aim:.2f}{unit}", style="red")


def _size(size: int) -> str:
    exponent = len(str(size)) - 1
    return f"10^{exponent}" if size == 10**exponent and size >= 1000 else str(size)
