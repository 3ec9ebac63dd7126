"""`coagent doctor`: what is installed, governed and reachable here, and what to do about what is not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coagent.cli.doctor.finding import Finding
    from coagent.cli.doctor.place import Place

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}
_PROBLEM_FOUND = 1


def doctor(
    folder: Annotated[Path, typer.Argument(help="A workspace, a folder in it, or a domain file.")] = Path(),
    json_output: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what is installed, governed and reachable here, and what to do about what is not.

    It only looks: nothing is changed, and no tools of yours are run. Live systems are asked one small
    question each. The exit code is 0 where nothing is wrong, 1 where something is, and 2 for bad usage.
    """
    from coagent.cli.doctor.checks import all_checks
    from coagent.cli.doctor.finding import worst
    from coagent.cli.doctor.limits import carried_out
    from coagent.cli.doctor.place import find_place

    place = find_place(folder)
    found = carried_out(all_checks(place))
    if json_output:
        print_json(_data(place, found))
    else:
        _print(place, found)
    if worst(found) == "problem":
        raise typer.Exit(_PROBLEM_FOUND)


def _data(place: Place, found: Sequence[Finding]) -> dict[str, Any]:
    from coagent.cli.doctor.finding import STATES, worst

    return {
        "workspace": str(place.root),
        "domain_file": None if place.file is None else str(place.file),
        "worst": worst(found),
        "count": {state: sum(finding.state == state for finding in found) for state in STATES},
        "findings": [asdict(finding) for finding in found],
    }


def _print(place: Place, found: Sequence[Finding]) -> None:
    out = console()
    out.print(f"CoAgent in {place.root}", markup=False, soft_wrap=True)
    width = max(len(finding.about) for finding in found)
    for finding in found:
        out.print(f"  {finding.state:<9}", style=_STYLES[finding.state], end="")
        out.print(f"{finding.about:<{width}}  {_line(finding.text)}", markup=False, soft_wrap=True)
        if finding.cure:
            out.print(f"{'':<11}{'':<{width}}  > {_line(finding.cure)}", markup=False, soft_wrap=True)
    wrong = sum(finding.state == "problem" for finding in found)
    warned = sum(finding.state == "warning" for finding in found)
    if not wrong and not warned:
        out.print("Nothing is wrong.")
    else:
        counts = [_counted(wrong, "problem"), _counted(warned, "warning")]
        out.print(" and ".join(count for count in counts if count) + ".")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number else ""


def _line(text: str) -> str:
    return " ".join(MASK.text(text).split())
