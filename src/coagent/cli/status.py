"""`coagent status`: who is at work in a domain, and who waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from coagent.runtime.watch import Standing, UnknownCall, Watch

_ENDED_SHOWN_MAX = 10
_STUCK_SHOWN_MAX = 5
_NAMES_SHOWN_MAX = 5
_LOOK_S = 0.2


def status(
    domain: Annotated[
        str | None, typer.Option(help="A domain file, a folder or a log; the nearest .coagent by default.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew when it changes.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show who is at work in a domain, and who waits for whom. It only looks."""
    from coagent.cli.where import domain_log, nothing_yet
    from coagent.log.base import NothingYet
    from coagent.log.urls import shown_url
    from coagent.runtime.watch import Watch

    url = domain_log(domain)
    try:
        found = Watch(url)
    except NothingYet as nothing:
        said = nothing_yet(domain, nothing)
        if json_output:
            print_json(
                {
                    "domain": shown_url(url),
                    "protocol": None,
                    "agents": [],
                    "outstanding": {},
                    "stuck": [],
                    "unknown": [],
                }
            )
        else:
            console().print(said, markup=False)
        return
    try:
        if watch:
            _keep_showing(found)
        for _ in found.events():
            pass
        if json_output:
            print_json(_data(url, found))
        else:
            console().print(_table(found))
            _tell_rest(found)
    finally:
        found.close()


def _data(url: str, found: Watch) -> dict[str, Any]:
    from coagent.log.urls import shown_url

    return {
        "domain": shown_url(url),
        "protocol": found.protocol,
        "events": found.number,
        "agents": [asdict(agent) for agent in found.agents()],
        "outstanding": found.outstanding(),
        "stuck": [asdict(stuck) for stuck in found.stuck()],
        "unknown": [_unknown_data(call) for call in found.unknown()],
    }


def _unknown_data(one: UnknownCall) -> dict[str, Any]:
    return {**asdict(one), "arguments": MASK.arguments(one.arguments)}


def _keep_showing(found: Watch) -> None:
    import time

    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:
        seen = -1
        while True:
            for _ in found.events():
                pass
            if found.number != seen:
                seen = found.number
                live.update(_table(found), refresh=True)
            time.sleep(_LOOK_S)


def _table(found: Watch) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("agent")
    table.add_column("state")
    table.add_column("calls", justify="right")
    table.add_column("")
    agents = found.agents()
    ended = [agent for agent in agents if agent.state in ("committed", "aborted")]
    hidden = {agent.rank for agent in ended[:-_ENDED_SHOWN_MAX]}
    for agent in agents:
        if agent.rank not in hidden:
            style = {"committed": "dim", "aborted": "dim red", "active": "bold"}.get(agent.state, "")
            standing = (
                "" if agent in ended else str(agent.calls)
            )  # those of agents that have ended are not kept
            row = (str(agent.rank), _plain(agent.name), agent.state, standing, _what(agent))
            table.add_row(*row, style=style)
    return table


def _tell_rest(found: Watch) -> None:
    out = console()
    agents = found.agents()
    if not agents:
        out.print("Nobody has joined this domain yet.")
    hidden = len([agent for agent in agents if agent.state in ("committed", "aborted")]) - _ENDED_SHOWN_MAX
    if hidden > 0:
        out.print(f"and {hidden} that ended before", style="dim")
    rest = found.outstanding()
    if rest["runs_again"]:
        out.print(f"{_plain(rest['runs_again'])} has yet to run again", style="yellow")
    stuck = found.stuck()
    for item in stuck[:_STUCK_SHOWN_MAX]:
        out.print(f"{_plain(item.key)} is stuck: {_plain(MASK.text(item.error))}", style="red")
    if len(stuck) > _STUCK_SHOWN_MAX:
        out.print(f"and {len(stuck) - _STUCK_SHOWN_MAX} more are stuck", style="red")
    unknown = found.unknown()
    for lost in unknown:
        said = f"{lost.call} {lost.tool} may have run or not: its process has died"
        out.print(_plain(said), style="red")
    if any(not lost.noted for lost in unknown):
        out.print("Whoever opens the domain next asks the tool of such a call, where that can tell.")
    if stuck or unknown:
        decides = "has to decide" if stuck or all(lost.noted for lost in unknown) else "decides otherwise"
        out.print(f"A person {decides}: see [bold]coagent resolve[/bold].")


def _what(one: Standing) -> str:
    parts = []
    if one.notices:
        parts.append(f"{one.notices} {'call' if one.notices == 1 else 'calls'} to look at again")
    if one.waits_for:
        parts.append(f"waits for {_few(one.waits_for)}")
    if one.stuck:
        parts.append(f"{'waits for' if one.state == 'finished' else 'has touched'} {_few(one.stuck)}, stuck")
    if untaken := [key for key in one.untaken if key not in one.stuck]:
        parts.append(f"waits until {_few(untaken)} {'is' if len(untaken) == 1 else 'are'} written")
    if one.unknown:
        parts.append(
            f"nobody knows whether {_few(one.unknown)} {'has' if len(one.unknown) == 1 else 'have'} run"
        )
    if one.served == "dead":
        parts.append("its process has died")
    elif one.served == "nobody" and one.state == "active":
        parts.append("served by no process")
    if one.staged:
        parts.append(f"{one.staged} staged")
    return "; ".join(parts)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN_MAX} more" if len(names) > _NAMES_SHOWN_MAX else ""
    return ", ".join(map(_plain, names[:_NAMES_SHOWN_MAX])) + more


def _plain(text: str) -> str:
    from coagent.wording.quoting import one_line

    return one_line(text).replace("[", r"\[")
