"""`coagent undo`: take back what an agent has done, from outside, on a live domain."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json, shown
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.oversight.undoing import Named
    from coagent.runtime.session import AgentSession


def undo(
    what: Annotated[str, typer.Argument(metavar="AGENT|CALL", help="An agent, or one of its calls: NAME.3")],
    domain: Annotated[
        str | None, typer.Option(help="A domain file or a folder; the nearest .coagent by default.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="End the agent as well.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Take back a call of an agent that has not committed, or all its calls, newest first.

    What rested on them runs again, and whoever has read what they wrote is notified, as if the agent had
    undone them itself. The agent may be at work meanwhile; it is not told.
    """
    import anyio

    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured

    found = configured(domain_file(domain))
    done = anyio.run(_undo, found, what, yes, abort)
    if json_output:
        print_json(done)
        return
    out = console()
    for call in done["undone"]:
        out.print(f"undone  {call['call']} {call['tool']}", markup=False)
    for call in done["kept"]:
        out.print(
            f"kept    {call['call']} {call['tool']}: it cannot be taken back", style="yellow", markup=False
        )
    for call, value in done["changed"].items():
        out.print(f"changed {call} gives {MASK.brief(value)!r} now", markup=False)
    if done["aborted"]:
        out.print(f"aborted {done['agent']}", markup=False)
    if not done["undone"] and not done["aborted"]:
        out.print("Nothing was to be undone.")


async def _undo(found: Any, what: str, yes: bool, abort: bool) -> dict[str, Any]:
    from coagent.oversight.undoing import undo as take_back

    async with found.domain as domain:
        done = await take_back(
            domain,
            what,
            abort=abort,
            confirm=lambda session, calls: _confirm(session, calls, yes, abort),
        )
    return {
        "agent": done.agent,
        "undone": [call._asdict() for call in done.undone],
        "kept": [call._asdict() for call in done.kept],
        "changed": {call: MASK.result(value, given) for call, (value, given) in done.changed.items()},
        "aborted": done.aborted,
    }


def _confirm(session: AgentSession, calls: Sequence[Named], yes: bool, abort: bool) -> None:
    if yes or (len(calls) <= 1 and not abort):
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"this takes back {len(calls)} calls of agent {session.name!r}",
            "Pass --yes to do it without being asked.",
        )
    ending = " and end it" if abort else ""
    typer.confirm(shown(f"Take back {len(calls)} calls of {session.name!r}{ending}?"), abort=True)
