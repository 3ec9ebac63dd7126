"""`coagent log`: what has happened in a domain, event by event."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json, print_lines, write_report
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.runtime.chronicle import Chronicle
    from coagent.runtime.watch import Watch

_LOOK_S = 0.1
_EVENTS_AN_ENTRY = 2
_EVENTS_MIN = 200
_FURTHER = 8
_DIFFERENCE_LINES_MAX = 12


def log(
    domain: Annotated[
        str | None, typer.Option(help="A domain file, a folder or a log; the nearest .coagent by default.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only what this agent did or was told.")] = None,
    key: Annotated[str | None, typer.Option(help="Only what touches this object, prefix or glob.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as things happen.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last so many.")] = None,
    perfetto: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a trace for ui.perfetto.dev instead.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Tell what has happened in a domain, in the order of its log, archived records included. It only looks.

    What somebody outside wrote comes with its difference. --tail reads no more of the log than it has to.
    """
    from coagent.cli.where import domain_log, nothing_yet
    from coagent.log.base import NothingYet

    url = domain_log(domain)
    if perfetto is not None:
        if follow or json_output or (agent, key, tail) != (None, None, None):
            raise ConfigurationError(
                "--perfetto writes all of a log", "Leave out the other options but --domain."
            )
        _write_trace(url, perfetto)
        return
    while True:
        try:
            if tail and (agent is not None or key is not None):
                found, chronicle, entries = _looked_up(url, agent, key, tail, follow)
            else:
                found, chronicle, entries = _opened(url, agent, key, tail)
        except NothingYet as nothing:
            if not follow:
                said = nothing_yet(domain, nothing)
                if not json_output:
                    console().print(said, markup=False)
                return
            time.sleep(_LOOK_S)
            continue
        break
    try:
        if found.first and tail is None:
            console(stderr=True).print(f"Records 1 to {found.first} are not there any more.", style="dim")
        for entry in entries:
            _print(entry, json_output)
        if tail is None or not entries:
            chronicle.check_agent()
        while follow:
            sys.stdout.flush()
            time.sleep(_LOOK_S)
            for entry in chronicle.entries():
                _print(entry, json_output)
    finally:
        found.close()


def _write_trace(url: str, path: Path) -> None:
    """Write the story of a log as a trace."""
    from coagent.story.perfetto import trace
    from coagent.story.steps import Story

    story = Story(url, MASK)
    try:
        story.advance()
        write_report(path, trace(story.steps(), story.header["name"]), "trace")
    finally:
        story.close()
    print_lines([f"{path}: {len(story):,} steps; open it in ui.perfetto.dev or chrome://tracing"])


def _opened(
    url: str, agent: str | None, key: str | None, tail: int | None
) -> tuple[Watch, Chronicle, Iterable[dict[str, Any]]]:
    """Return a look at the log with what is to be told so far, having looked back as far as is needed."""
    from coagent.runtime.chronicle import Chronicle
    from coagent.runtime.watch import Watch

    reach = None if tail is None else _EVENTS_AN_ENTRY * tail + _EVENTS_MIN
    while True:
        found = Watch(url, tail=reach)
        try:
            after = 0 if reach is None else max(found.last - reach, 0)
            chronicle = Chronicle(found, agent=agent, key=key, mask=MASK, after=after)
            if tail is None:
                return found, chronicle, chronicle.entries()
            entries = deque(chronicle.entries(), tail)
            if len(entries) == tail or reach is None or after == 0:
                return found, chronicle, entries
        except BaseException:
            found.close()
            raise
        found.close()
        further = reach * _FURTHER
        reach = further if further < found.last else None


def _looked_up(
    url: str, agent: str | None, key: str | None, tail: int, follow: bool
) -> tuple[Watch, Chronicle, Iterable[dict[str, Any]]]:
    """Return the same where only some events are wanted, having looked up first where they are."""
    from coagent.runtime.chronicle import Chronicle
    from coagent.runtime.lookback import Lookback
    from coagent.runtime.watch import Watch

    latest = Watch(url)
    try:
        records = latest.backwards
        if records is None:
            return _opened(url, agent, key, tail)
        known: dict[int, str] = {rank: agent.name for rank, agent in latest.kernel.agents.items()}
        lookback = Lookback(records, agent, key, known)
        count = tail
        while True:
            numbers = lookback.newest(count)
            # Where nothing is found there is nothing to be read, but what comes.
            first = numbers[-1] if numbers else latest.last + 1
            found = Watch(url, wanted=first)
            try:
                chronicle = Chronicle(
                    found, agent=agent, key=key, mask=MASK, after=first - 1, names=lookback.names
                )
                until = numbers[0] if numbers else 0
                some = chronicle.entries(None if follow else until) if numbers or follow else ()
                entries = deque(some, tail)
                if len(entries) == tail or lookback.exhausted:
                    return found, chronicle, entries
            except BaseException:
                found.close()
                raise
            found.close()
            count *= _FURTHER
    finally:
        latest.close()


def _print(entry: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(entry, indent=None)
        return
    who = entry["agent"] or ("outside" if entry["kind"] == "outside" else "-")
    print_lines([f"{entry['number']:>6}  {who:<16} {entry['text']}"])
    if "difference" in entry:
        print_lines(f"{'':25}{line}" for line in _shortened(entry["difference"].splitlines()))


def _shortened(lines: list[str]) -> list[str]:
    """Return a difference as it fits under a line."""
    lines = [line for line in lines if line not in ("--- before", "+++ after")]
    more = len(lines) - _DIFFERENCE_LINES_MAX
    return [*lines[:_DIFFERENCE_LINES_MAX], f"… and {more} more lines"] if more > 1 else lines
