"""`coagent log`: what has happened in a domain, event by event."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json, print_lines

_LOOK_S = 0.1


def log(
    domain: Annotated[
        str | None, typer.Option(help="A domain file, a folder or a log; the nearest .coagent by default.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only what this agent did or was told.")] = None,
    key: Annotated[str | None, typer.Option(help="Only what touches this object, prefix or glob.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as things happen.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last so many.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Tell what has happened in a domain, in the order of its log. It only looks."""
    from coagent.cli.where import domain_log
    from coagent.runtime.chronicle import Chronicle
    from coagent.runtime.watch import NothingYet, Watch

    url = domain_log(domain)
    while True:
        try:
            found = Watch(url)
        except NothingYet as nothing:
            if not follow:
                if not json_output:
                    console().print(f"{nothing.cause}.", markup=False)
                return
            time.sleep(_LOOK_S)
            continue
        break
    chronicle = Chronicle(found, agent=agent, key=key, mask=MASK)
    try:
        lines = chronicle.entries()
        for entry in lines if tail is None else deque(lines, tail):
            _print(entry, json_output)
        chronicle.check_agent()
        while follow:
            sys.stdout.flush()
            time.sleep(_LOOK_S)
            for entry in chronicle.entries():
                _print(entry, json_output)
    finally:
        found.close()


def _print(entry: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(entry, indent=None)
    else:
        print_lines([f"{entry['number']:>6}  {entry['agent'] or '-':<16} {entry['text']}"])
