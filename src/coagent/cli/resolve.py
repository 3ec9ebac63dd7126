"""`coagent resolve`: the objects about which a person has to decide, and the decision."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from coagent.cli.output import MASK, console, print_json, print_lines, shown
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.config.domain_file import Configured
    from coagent.protocol.values import Value
    from coagent.runtime.watch import StuckObject

_REACH_MIN = 2000
_FURTHER = 8


def resolve(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="The object; all by default.")] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try again to put what it should hold, once the cause is gone.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take what is there for what it should hold; agents are told.")
    ] = False,
    domain: Annotated[
        str | None, typer.Option(help="A domain file or a folder; the nearest .coagent by default.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show the objects that are stuck: what their systems will not take back or hold as they should.

    With KEY it shows what the object should hold and what is there; with --retry or --accept it decides.
    Others go on meanwhile; only who has touched the object waits. Exit code 1: it is still stuck.
    """
    if retry and accept:
        raise ConfigurationError("--retry and --accept exclude each other", "Choose one.")
    if key is None and (retry or accept):
        raise ConfigurationError(
            "there is no object to decide about", "Name one: coagent resolve KEY --retry"
        )
    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured, log_url, read_domain_file

    path = domain_file(domain)
    stuck, wanted = _looked(log_url(read_domain_file(path).log, path.resolve().parent))
    if key is None:
        _list(stuck, json_output)
        return
    meant = next((one for one in stuck if one.key == key), None)
    if meant is None:
        known = ", ".join(one.key for one in stuck) or "nothing"
        raise ConfigurationError(f"{key!r} is not stuck", f"Stuck is: {known}.")
    if retry or accept:
        _decide(configured(path), meant, "retry" if retry else "accept", json_output)
    else:
        _show(configured(path), meant, wanted[meant.key], json_output)


def _looked(url: str) -> tuple[list[StuckObject], dict[str, Value]]:
    """Return what is stuck and what it should hold, having looked back as far as it has been."""
    from coagent.runtime.watch import NothingYet, Watch

    reach: int | None = 0
    while True:
        try:
            found = Watch(url, tail=reach)
        except NothingYet:
            return [], {}
        try:
            for _ in found.events():
                pass
            stuck = found.stuck()
            if not found.first or reach is None or all(one.since is not None for one in stuck):
                return stuck, {one.key: found.kernel.live_value(one.key) for one in stuck}
            reach = max(reach * _FURTHER, _REACH_MIN)
            reach = reach if reach < found.last else None
        finally:
            found.close()


def _list(stuck: list[StuckObject], json_output: bool) -> None:
    if json_output:
        print_json({"stuck": [asdict(one) for one in stuck]})
        return
    if not stuck:
        console().print("Nothing is stuck.")
        return
    for one in stuck:
        print_lines(_described(one))
    print_lines(["", *_ways("KEY")])


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


def _show(found: Configured, meant: StuckObject, wanted: Value, json_output: bool) -> None:
    import anyio

    from coagent.protocol.values import UNLOADED
    from coagent.runtime.changes import change_of

    there = anyio.run(_there, found, meant)
    change = None
    if there is not UNLOADED:
        change = change_of(MASK, meant.key, wanted, there)
    if json_output:
        print_json({**asdict(meant), "difference": change})
        return
    print_lines(_described(meant))
    if change is None:
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
    found: Configured, meant: StuckObject, how: Literal["retry", "accept"], json_output: bool
) -> None:
    import anyio

    left = anyio.run(_resolved, found, meant, how)
    if json_output:
        print_json({"key": meant.key, "how": how, "stuck": left is not None, "error": left})
    elif left is not None:
        print_lines([f"{shown(meant.key)} is still stuck: {left}"])
    else:
        done = "was put again" if how == "retry" else "is taken as it is there"
        print_lines([f"{shown(meant.key)} {done}"])
    if left is not None:
        raise typer.Exit(1)


async def _resolved(found: Configured, meant: StuckObject, how: Literal["retry", "accept"]) -> str | None:
    """Decide about an object; returns why it is stuck all the same."""
    async with found.domain as domain:
        if meant.key in domain.kernel.stuck:
            await domain.resolve(meant.key, how)
            await domain.settle()
        return domain.kernel.stuck.get(meant.key)
