"""`coagent accept`: take what is there for right where no record says who left it so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, print_json, print_lines
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.oversight.accepting import Unexplained

_NOTHING = "Everything is as the log says: there is nothing to accept."
_NAMED_MAX = 10


def accept(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="The objects; without any, what there is.")
    ] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All that there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; by default it is only shown.")] = False,
    domain: Annotated[
        str | None, typer.Option(help="A domain file or a folder; the nearest .coagent by default.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Accept what somebody has changed while no agent was at work on it, so that `coagent check` agrees.

    Without KEY, the objects are listed that are otherwise than the log says; with KEY, or --all, what was
    changed. --yes puts it on record, under your name: the next agents build on it, and what was there before
    can be brought back (`coagent restore`). Nothing is written to the objects.
    """
    import anyio

    from coagent.cli.check import progress, value_shown
    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured
    from coagent.log.base import NothingYet
    from coagent.oversight.accepting import accept as take
    from coagent.oversight.accepting import unexplained

    if keys and all_of_them:
        raise ConfigurationError("KEY and --all exclude each other", "Choose one.")
    if yes and not keys and not all_of_them:
        raise ConfigurationError("there is nothing to accept", "Name it: coagent accept KEY --yes, or --all.")
    path = domain_file(domain)
    try:
        with progress() as say:
            found = unexplained(configured(path).domain, value_shown, say)
    except NothingYet:
        found = []
    chosen = _chosen(found, keys or [])
    if yes and chosen:
        anyio.run(take, configured(path).domain, chosen)
    if json_output:
        print_json({"objects": [_data(change) for change in chosen], "accepted": yes and bool(chosen)})
    elif not chosen:
        print_lines([_NOTHING])
    elif keys or all_of_them:
        _show(chosen, yes)
    else:
        _list(chosen)


def _chosen(found: list[Unexplained], keys: list[str]) -> list[Unexplained]:
    if not keys:
        return found
    by_key: dict[str, Unexplained] = {change.key: change for change in found}
    for key in keys:
        if key not in by_key:
            others = ", ".join(list(by_key)[:_NAMED_MAX])
            raise ConfigurationError(
                f"{key!r} is as the log says, or not in it: there is nothing to accept",
                f"There are: {others}." if others else "Nothing else is otherwise, either.",
            )
    return [by_key[key] for key in dict.fromkeys(keys)]


def _difference(one: Unexplained) -> str:
    from coagent.runtime.changes import change_of

    return change_of(MASK, one.key, one.due, one.there)


def _data(one: Unexplained) -> dict[str, Any]:
    return {"key": one.key, "difference": _difference(one)}


def _list(found: list[Unexplained]) -> None:
    from coagent.wording.quoting import one_line

    for change in found:
        act = "made" if change.due is None else "removed" if change.there is None else "changed"
        print_lines([f"{one_line(change.key)}  {act}, and no record says by whom"])
    print_lines(
        [
            "",
            "coagent accept KEY    shows what was changed; with --yes it counts from then on",
            "coagent restore KEY   brings back what it was",
        ]
    )


def _show(chosen: list[Unexplained], yes: bool) -> None:
    from coagent.wording.quoting import one_line

    for change in chosen:
        lines = [line for line in _difference(change).splitlines() if line not in ("--- before", "+++ after")]
        print_lines([f"{one_line(change.key)}, from what the log says to what is there:"])
        print_lines(f"  {line}" for line in lines)
    if yes:
        print_lines(["", *(f"{one_line(change.key)} is accepted as it is there." for change in chosen)])
    else:
        print_lines(["", "Nothing was recorded. --yes accepts it."])
