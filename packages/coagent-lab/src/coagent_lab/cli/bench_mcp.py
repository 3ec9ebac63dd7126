"""`coagent bench mcp`: what MCP adds to a call."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coagent.cli.output import console, print_json
from coagent.errors import ConfigurationError


def mcp(
    samples: Annotated[int, typer.Option(min=1, help="How often each kind of call is timed.")] = 200,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Time calls of an official MCP client to a real `coagent serve`, over stdio and over HTTP."""
    import anyio
    from rich.progress import Progress

    try:
        from coagent_lab.bench.mcp import measure
    except ImportError as error:
        raise ConfigurationError(
            f"this needs the mcp library: {error}", "Install it: pip install 'coagent-mtpo[mcp]'."
        ) from None
    out = console(stderr=True)
    with Progress(console=out, transient=True, disable=not out.is_terminal) as bars:
        bar = bars.add_task("timing calls", total=samples)
        found = anyio.run(
            measure, samples, lambda way, done: bars.update(bar, completed=done, description=f"over {way}")
        )
    if json_output:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("call")
    table.add_column("median ms", justify="right")
    table.add_column("95 % ms", justify="right")
    for name, figures in found["calls"].items():
        table.add_row(name, f"{figures['median_ms']:.1f}", f"{figures['p95_ms']:.1f}")
    out = console()
    out.print(table)
    machine = found["machine"]
    out.print(
        f"{found['parameters']['samples']} samples; Python {machine['python']}, {machine['processor']}, "
        f"{machine['cpus']} CPUs.",
        style="dim",
    )
