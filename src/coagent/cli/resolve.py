"""`coagent resolve`: the objects and calls about which a person has to decide, and the decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from coagent.cli.output import MASK, console, print_json, print_lines, shown
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.config.domain_file import Configured
    from coagent.oversight.deciding import Decision
    from coagent.protocol.values import Value
    from coagent.runtime.watch import StuckObject, UnknownCall

_DONE_WITH_OBJECT = {"retry": "was put again", "accept": "is taken as it is there"}
_DONE_WITH_CALL = {"retry": "has run again", "accept": "counts as made", "drop": "counts as not made"}
_REACH_MIN = 2000
_FURTHER = 8


def resolve(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY|CALL", help="The object or call; all by default.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Put again what an object should hold; run a call again.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take what is there for what it should hold; a call has run.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="A call has not run, and shall not.")] = False,
    domain: Annotated[
        str | None,
        typer.Option(
            help="A domain file or a folder, or a log to look only; the nearest .coagent by default."
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what a person has to decide: objects that are stuck, and calls that may have run or not.

    An object is stuck that its system will not take back or hold as it should; with KEY it shows what the
    object should hold and what is there. Of a call nobody knows whether it has run if its process has died
    meanwhile. With --retry, --accept or --drop it decides. Others go on meanwhile; only who has to do with it
    waits. Exit code 1: it is still not decided.
    """
    ways: dict[Decision, bool] = {"retry": retry, "accept": accept, "drop": drop}
    chosen = [how for how, given in ways.items() if given]
    if len(chosen) > 1:
        raise ConfigurationError("--retry, --accept and --drop exclude each other", "Choose one.")
    if key is None and chosen:
        raise ConfigurationError(
            "there is no object to decide about", "Name one: coagent resolve KEY --retry"
        )
    from coagent.cli.where import domain_file, domain_log, named_log
    from coagent.config.domain_file import configured
    from coagent.log.urls import shown_url

    only_log = named_log(domain)
    if only_log is not None and chosen:
        raise ConfigurationError(
            f"{shown_url(only_log)!r} is a log: it shows what there is to decide, and to decide takes the "
            "targets and tools of its domain",
            f"Name a domain file that has this `log`, or a folder: --domain FILE --{chosen[0]}",
        )
    stuck, wanted, unknown = _looked(domain_log(domain))
    if key is None:
        _list(stuck, unknown, json_output)
        return
    lost = next((call for call in unknown if call.call == key), None)
    if lost is not None:
        if chosen:
            found = configured(domain_file(domain))
            _decide(found, lost.call, chosen[0], json_output, _DONE_WITH_CALL)
        else:
            _show_call(lost, json_output)
        return
    meant = next((item for item in stuck if item.key == key), None)
    if meant is None:
        known = ", ".join([*(item.key for item in stuck), *(call.call for call in unknown)]) or "nothing"
        raise ConfigurationError(f"{key!r} is not stuck", f"Stuck is: {known}.")
    if drop:
        raise ConfigurationError(f"{key!r} is an object, and --drop is for calls", "Choose --accept.")
    if chosen:
        _decide(configured(domain_file(domain)), meant.key, chosen[0], json_output)
    else:
        _show(None if only_log else configured(domain_file(domain)), meant, wanted[meant.key], json_output)


def _looked(url: str) -> tuple[list[StuckObject], dict[str, Value], list[UnknownCall]]:
    """Return what is stuck, having looked back as far as it has been, what it should hold, and lost calls."""
    from coagent.log.base import NothingYet
    from coagent.runtime.watch import Watch

    reach: int | None = 0
    while True:
        try:
            found = Watch(url, tail=reach)
        except NothingYet:
            return [], {}, []
        try:
            for _ in found.events():
                pass
            stuck = found.stuck()
            if not found.first or reach is None or all(item.since is not None for item in stuck):
                wanted: dict[str, Value] = {item.key: found.kernel.live_value(item.key) for item in stuck}
                return stuck, wanted, found.unknown()
            reach = max(reach * _FURTHER, _REACH_MIN)
            reach = reach if reach < found.last else None
        finally:
            found.close()


def _list(stuck: list[StuckObject], unknown: list[UnknownCall], json_output: bool) -> None:
    if json_output:
        print_json(
            {
                "stuck": [asdict(item) for item in stuck],
                "unknown": [_call_data(call) for call in unknown],
            }
        )
        return
    if not stuck and not unknown:
        console().print("Nothing is stuck.")
        return
    for item in stuck:
        print_lines(_described(item))
    if stuck:
        print_lines(["", *_ways("KEY")])
    for lost in unknown:
        print_lines(_described_call(lost))
    if unknown:
        print_lines(["", *_ways_of_a_call("CALL", any(call.wanted for call in unknown))])


def _call_data(one: UnknownCall) -> dict[str, object]:
    return {**asdict(one), "arguments": MASK.arguments(one.arguments)}


def _described_call(one: UnknownCall) -> list[str]:
    from coagent.wording.quoting import one_line

    arguments = ", ".join(
        f"{name}={MASK.as_json(value, 200)}" for name, value in MASK.arguments(one.arguments).items()
    )
    state = "its agent waits for it" if one.wanted else "nobody waits for it any more"
    asked = [] if one.noted else ["  its tool   is asked by whoever opens the domain next, where it can tell"]
    return [
        f"{one_line(one.call)} may have run or not: its process has died",
        f"  was to do  {one_line(f'{one.tool}({arguments})', 1000)}",
        f"  agent      {one_line(one.agent)}, {state}",
        f"  its name   {one_line(one.intent) or '(none)'} (the idempotency key, where its tool passes it on)",
        *asked,
    ]


def _ways_of_a_call(call: str, wanted: bool) -> list[str]:
    ways = [
        f"coagent resolve {call} --accept   it has run: it counts as made",
        f"coagent resolve {call} --drop     it has not run, and shall not: its agent is told that it failed",
    ]
    if wanted:
        ways.append(f"coagent resolve {call} --retry    it has not run: run it again, under the same name")
    return ways


def _show_call(one: UnknownCall, json_output: bool) -> None:
    import shlex

    if json_output:
        print_json(_call_data(one))
        return
    call = shlex.quote(one.call) if one.call.isprintable() else one.call
    print_lines([*_described_call(one), "", *_ways_of_a_call(call, one.wanted)])


def _described(one: StuckObject) -> list[str]:
    from coagent.wording.quoting import one_line

    since = "before all records" if one.since is None else f"record {one.since} of the log"
    lines = [f"{one_line(one.key)} is stuck", f"  since      {since}"]
    lines.append(f"  its words  {one_line(one.error, 1000)}")
    lines.append(
        f"  written by {', '.join(one_line(call) for call in one.calls) or 'nobody who is still at work'}"
    )
    return lines


def _ways(key: str) -> list[str]:
    import shlex

    if key.isprintable():
        key = shlex.quote(key)
    return [
        f"coagent resolve {key} --retry    when the cause is gone: put again what it should hold",
        f"coagent resolve {key} --accept   take what is there for what it should hold; agents are told",
    ]


def _show(found: Configured | None, meant: StuckObject, wanted: Value, json_output: bool) -> None:
    """Show what an object should hold, and what is there, where its domain and not only its log is known."""
    import anyio

    from coagent.protocol.values import UNLOADED
    from coagent.runtime.changes import change_of

    there = UNLOADED if found is None else anyio.run(_there, found, meant)
    change = None
    if there is not UNLOADED:
        change = change_of(MASK, meant.key, wanted, there)
    if json_output:
        print_json({**asdict(meant), "difference": change})
        return
    print_lines(_described(meant))
    if found is None:
        print_lines(["  what its system holds takes its target to see: name a domain file, not its log"])
    elif change is None:
        print_lines(["  what its system holds cannot be looked at: only the system itself can tell"])
    else:
        lines = change.splitlines() or ["(what is there is what it should hold)"]
        print_lines(["  from what it should hold to what is there:", *(f"    {line}" for line in lines)])
    print_lines(["", *_ways(meant.key)])


async def _there(found: Configured, meant: StuckObject) -> Value:
    """Return what the object's system holds; `UNLOADED` where nobody can see into it."""
    from coagent.protocol.values import UNLOADED

    targets = found.domain.targets
    try:
        target = targets.of(meant.key)
        return UNLOADED if target.unseen(meant.key) else await target.get(meant.key)
    finally:
        for target in targets.all:
            await target.close()


def _decide(
    found: Configured,
    what: str,
    how: Decision,
    json_output: bool,
    done: Mapping[str, str] = _DONE_WITH_OBJECT,
) -> None:
    import anyio

    from coagent.oversight.deciding import decide

    left = anyio.run(decide, found.domain, what, how)
    if json_output:
        print_json({"key": what, "how": how, "stuck": left is not None, "error": left})
    elif left is not None:
        print_lines([f"{shown(what)} is still stuck: {left}"])
    else:
        print_lines([f"{shown(what)} {done[how]}"])
    if left is not None:
        raise typer.Exit(1)
