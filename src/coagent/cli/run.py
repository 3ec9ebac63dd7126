"""`coagent run FILE`: carry out a run file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import anyio
import typer

from coagent.cli.output import MASK, console, print_json, print_lines, write_report
from coagent.config.telemetry import telemetry
from coagent.errors import ConfigurationError
from coagent.private import private_folder
from coagent.runs.execute import Progress, execute
from coagent.runs.plan import check_endpoints, make_plan
from coagent.runs.report import RunReport
from coagent.runs.show import Show, plan_lines
from coagent.runtime.orders import checked_order


def run(
    file: Annotated[Path, typer.Argument(help="The run file (TOML).")],
    json_output: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    protocol: Annotated[
        str | None, typer.Option(help="mtpo, serial or naive, instead of the file's.")
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="fixed or early, instead of the file's: whether agents may be passed.")
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="memory:, sqlite:PATH or postgresql://…, instead of the file's.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the report as JSON to this file.")] = None,
    transcripts: Annotated[
        Path | None, typer.Option(help="Keep the models' messages in this folder.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and start nothing.")] = False,
) -> None:
    """Run several agents on one live state, side by side, and judge whether it ends as if one after another.

    Python files that FILE names as tools or scripts are imported: their code runs on this machine.
    The exit code is 0 when every agent has committed and the state is the serial one, else 1.
    """
    plan = make_plan(file, protocol=protocol, order=checked_order(order), log=log, transcripts=transcripts)
    if report is not None and not os.access(report.absolute().parent, os.W_OK):
        raise ConfigurationError(
            f"the report {str(report)!r} cannot be written", "Name a file in your own folder."
        )
    if dry_run:
        anyio.run(check_endpoints, plan)
        lines = list(plan_lines(Progress(plan)))
        if json_output:
            print_json({"ok": True, "plan": lines})
        else:
            print_lines(lines)
        return
    if transcripts is not None:
        try:
            if not transcripts.is_dir():
                private_folder(transcripts)
        except OSError as error:
            raise ConfigurationError(
                f"the folder {str(transcripts)!r} cannot be made: {error.strerror}", "Name another one."
            ) from error
    show = Show(console(stderr=True))
    with telemetry(plan.file.telemetry, plan.domain, MASK), show.running():
        made: RunReport = anyio.run(execute, plan, show, MASK)
    if report is not None:
        write_report(report, made.as_data())
    if json_output:
        print_json(made.as_data())
    else:
        print_lines(made.lines())
    if not made.succeeded:
        raise typer.Exit(1)
