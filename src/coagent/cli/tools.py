"""`coagent tools`: the library of grown tools, and the declarations of upstream servers, tried."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from coagent.cli.group import Lazy, LazyGroup, epilog, plain_typer
from coagent.cli.output import console, print_json
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.config.upstreams import UpstreamTable
    from coagent.gateways.mcp.check import Finding

_STYLES = {"ok": "green", "wrong": "bold red", "untried": "yellow", "undeclared": "yellow"}


class Tools(LazyGroup):
    """What can be done with tools."""

    table: ClassVar = {
        "list": Lazy(
            "coagent.cli.library:list_tools",
            "List the grown tools of a library.",
            ("coagent tools list", "coagent tools list --library team/tools --json"),
        ),
        "show": Lazy(
            "coagent.cli.library:show",
            "Show a grown tool, and what was verified.",
            ("coagent tools show json_set", "coagent tools show json_set --json"),
        ),
        "verify": Lazy(
            "coagent.cli.library:verify",
            "Verify grown tools in throw-away views.",
            ("coagent tools verify", "coagent tools verify json_set --workspace ."),
        ),
        "remove": Lazy(
            "coagent.cli.library:remove", "Remove a grown tool.", ("coagent tools remove json_set",)
        ),
        "check": Lazy(
            "coagent.cli.tools:check",
            "Try the declarations of upstream servers on scratch instances.",
            ("coagent tools check", "coagent tools check domain.toml --json"),
        ),
    }


app = plain_typer(cls=Tools, no_args_is_help=True, add_completion=False, epilog=epilog("coagent tools list"))


@app.callback()
def tools() -> None:
    """Look after the tools of a domain."""


def check(
    file: Annotated[
        Path | None, typer.Argument(help="The domain file; the nearest .coagent/config.toml by default.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Try what the domain file says of upstream servers, on scratch instances of them.

    Each tool with scratch arguments is run and taken back; the check.observe steps tell whether everything
    is then as it was. The exit code is 1 where a declaration is wrong.
    """
    import anyio

    from coagent.config.domain_file import find, read_domain_file

    try:
        from coagent.gateways.mcp.check import failed
    except ImportError as error:
        raise ConfigurationError(
            f"upstream servers need the mcp library: {error}", "Install it: pip install 'coagent-mtpo[mcp]'."
        ) from None
    path = file if file is not None else find(Path())
    findings = anyio.run(_findings, path, read_domain_file(path).upstreams)
    if json_output:
        print_json([asdict(finding) for finding in findings])
    else:
        _show(findings)
    if failed(findings):
        raise typer.Exit(1)


async def _findings(path: Path, upstreams: list[UpstreamTable]) -> list[Finding]:
    from coagent.gateways.mcp.check import check as check_one

    found: list[Finding] = []
    out = console(stderr=True)
    for table in upstreams:
        with out.status(f"trying {table.name}"):
            found += await check_one(table, path.resolve().parent, path)
    return found


def _show(findings: list[Finding]) -> None:
    from rich.table import Table

    out = console()
    if not findings:
        out.print("The file names no upstream servers.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("server", "tool", "effect", "found", "why"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        style = _STYLES[finding.verdict]
        why = finding.why.replace("[", r"\[")
        table.add_row(finding.upstream, finding.tool, finding.effect, f"[{style}]{finding.verdict}[/]", why)
    out.print(table)
