"""`coagent undo`: take back what an agent has done, from outside, on a live domain."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json, shown
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.protocol.calls import CallId
    from coagent.runtime.domain import Domain
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
    from coagent.errors import NotReversible

    async with found.domain as domain:
        session, calls = await _meant(domain, what)
        _confirm(session, calls, yes, abort)
        done: dict[str, Any] = {
            "agent": session.name,
            "undone": [],
            "kept": [],
            "changed": {},
            "aborted": False,
        }
        for call_id, tool in reversed(calls):
            try:
                outcome = await session.undo(call_id)
            except NotReversible:
                done["kept"].append({"call": call_id, "tool": tool})
                continue
            done["undone"].append({"call": call_id, "tool": tool})
            done["changed"].update(outcome.changed)
        arguments = {one.call_id: one.arguments for one in session.calls}
        done["changed"] = {
            one: MASK.result(value, arguments.get(one, {}))
            for one, value in done["changed"].items()
            if one not in dict(calls)
        }
        if abort:
            tools = {one.call_id: one.tool for one in session.calls}
            stay = await session.abort("aborted by hand")
            known = {one["call"] for one in done["kept"]}
            done["kept"] += [{"call": one, "tool": tools[one]} for one in stay if one not in known]
            done["aborted"] = True
        return done


async def _meant(domain: Domain, what: str) -> tuple[AgentSession, list[tuple[CallId, str]]]:
    """Return the agent that is meant, and the calls to take back."""
    from coagent.errors import UnknownAgent
    from coagent.protocol.calls import parsed_call_id

    parsed = parsed_call_id(what)
    known = {one.name for one in domain.agents}
    if parsed is not None and parsed[0] in known and what not in known:
        name = parsed[0]
        _require_open(domain, name)
        session = await domain.oversee(name)
        calls = [(one.call_id, one.tool) for one in session.calls if one.call_id == what]
        if not calls:
            standing = ", ".join(one.call_id for one in session.calls[-10:]) or "none"
            raise ConfigurationError(
                f"agent {name!r} has no standing call {what!r}", f"There are: {standing}."
            )
        return session, calls
    _require_open(domain, what)
    try:
        session = await domain.oversee(what)
    except UnknownAgent as unknown:
        raise ConfigurationError(unknown.cause, unknown.cure) from None
    return session, [(one.call_id, one.tool) for one in session.calls]


def _require_open(domain: Domain, name: str) -> None:
    """Say so where the agent's last work of that name has ended."""
    last = [one for one in domain.agents if one.name == name]
    if last and last[-1].ended:
        state = last[-1].phase.value
        cure = "What is committed stays: make up for it by new work." if state == "committed" else ""
        raise ConfigurationError(f"agent {name!r} has {state}: nothing of it can be undone", cure)


def _confirm(session: AgentSession, calls: Sequence[tuple[str, str]], yes: bool, abort: bool) -> None:
    if yes or (len(calls) <= 1 and not abort):
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"this takes back {len(calls)} calls of agent {session.name!r}",
            "Pass --yes to do it without being asked.",
        )
    ending = " and end it" if abort else ""
    typer.confirm(shown(f"Take back {len(calls)} calls of {session.name!r}{ending}?"), abort=True)
