"""`coagent restore`: what an object has been, and how it is brought back."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json, print_lines
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.config.domain_file import Configured
    from coagent.protocol.keys import Key
    from coagent.protocol.values import Value
    from coagent.runtime.versions import Version

_BRIEF_LENGTH_MAX = 60
_HOW = {"wrote": "wrote it", "outside": "wrote it", "found": "found it"}


def restore(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="The object; without it, what to choose from.")
    ] = None,
    to: Annotated[int | None, typer.Option(min=1, help="The version: a number of the list.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write it; by default it is only shown.")] = False,
    domain: Annotated[
        str | None, typer.Option(help="A domain file or a folder; the nearest .coagent by default.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show the versions of an object that the log and its archive hold, and bring one back.

    Nothing that a person wrote is lost when agents write over it or merge it: it is here. Without KEY, the
    objects are listed that somebody outside has changed; with KEY, its versions; with --to, what would
    change. --yes writes it as if you had with an editor, under your name: agents at work that have touched
    the object are told. What is there is recorded first if it is in no record yet, so that it comes back too.
    """
    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured, log_url, read_domain_file

    if to is None and yes:
        raise ConfigurationError(
            "there is no version to write", "Choose one: coagent restore KEY --to NUMBER"
        )
    path = domain_file(domain)
    url = log_url(read_domain_file(path).log, path.resolve().parent)
    if key is None:
        _list_objects(configured(path), url, json_output)
        return
    versions = _known(url, key)
    if to is None:
        _list_versions(configured(path), key, versions, json_output)
        return
    chosen = next((version for version in versions if version.number == to), None)
    if chosen is None:
        known = ", ".join(str(version.number) for version in versions)
        raise ConfigurationError(f"{key!r} has no version {to}", f"There are: {known}.")
    _restore(configured(path), key, versions, chosen, yes, json_output)


def _known(url: str, key: str) -> list[Version]:
    """Return the versions of an object, or say which one may have been meant."""
    from coagent.protocol.keys import Key
    from coagent.runtime.versions import versions_of, written_outside

    versions = versions_of(url, Key(key))
    if not versions:
        nearest = difflib.get_close_matches(key, list(written_outside(url)), 1)
        raise ConfigurationError(
            f"the log holds no version of {key!r}",
            f"Did you mean {nearest[0]!r}?" if nearest else "Name an object, as in file:src/app.py.",
        )
    return versions


def _list_objects(configured: Configured, url: str, json_output: bool) -> None:
    from coagent.runtime.versions import written_outside
    from coagent.wording.quoting import one_line

    found = written_outside(url)
    unrecorded, not_looked = _unrecorded(configured)
    if json_output:
        keys = sorted({*found, *unrecorded})
        data = [{"key": key, **_times(found.get(key)), "unrecorded": key in unrecorded} for key in keys]
        print_json({"objects": data})
    elif not found and not unrecorded:
        console().print("Nobody outside has changed what agents had read or written.")
    else:
        width = min(max(len(key) for key in [*found, *unrecorded]), _BRIEF_LENGTH_MAX)
        for key, (times, last) in found.items():
            often = "once" if times == 1 else f"{times} times"
            print_lines([f"{one_line(key):<{width}}  changed outside {often}, last in record {last}"])
        for key in unrecorded:
            print_lines([f"{one_line(key):<{width}}  changed outside, and in no record yet"])
        print_lines(["", "coagent restore KEY   shows its versions, those of agents too"])
    if not_looked:
        print_lines([f"coagent: what no record holds was not looked for: {not_looked}"], stderr=True)


def _times(found: tuple[int, int] | None) -> dict[str, int | None]:
    return {"times": 0, "last": None} if found is None else {"times": found[0], "last": found[1]}


def _unrecorded(configured: Configured) -> tuple[list[Key], str]:
    """Return the objects that are otherwise than any record says; or why that is not known."""
    from coagent.cli.check import progress, value_shown
    from coagent.errors import CoAgentError
    from coagent.log.base import NothingYet
    from coagent.oversight.accepting import unexplained

    try:
        with progress() as say:
            return [change.key for change in unexplained(configured.domain, value_shown, say)], ""
    except NothingYet:
        return [], ""
    except CoAgentError as error:
        return [], error.cause


def _list_versions(found: Configured, key: str, versions: list[Version], json_output: bool) -> None:
    import anyio

    from coagent.oversight.restoring import there as there_now
    from coagent.protocol.values import same

    there = anyio.run(there_now, found.domain, key)
    newest = next((version for version in reversed(versions) if same(version.value, there)), None)
    rows = [(version, version is newest) for version in versions]
    if json_output:
        print_json({"key": key, "versions": [_data(version, key) | {"there": now} for version, now in rows]})
        return
    for version, now in rows:
        mark = "   <- is there now" if now else ""
        who = f"{version.agent or version.person or 'somebody outside'} {_HOW[version.how]}"
        print_lines([f"{version.number:>6}  {who:<28} {_brief(version.value, key)}{mark}"])
    if not any(now for _, now in rows):
        print_lines(["What is there now is none of these: it is in no record (see coagent accept)."])
    print_lines(["", "coagent restore KEY --to NUMBER   shows what would change; with --yes it is written"])


def _data(one: Version, key: str) -> dict[str, Any]:
    value = MASK.value(one.value, key)
    return {"number": one.number, "how": one.how, "agent": one.agent, "person": one.person, "value": value}


def _brief(value: Value, key: str) -> str:
    if value is None:
        return "(absent)"
    if isinstance(value, str) and "\n" in value:
        MASK.learn(value, key)
        lines = value.splitlines()
        first = next((line for line in lines if line.strip()), "")
        return (
            f"{len(lines)} {'line' if len(lines) == 1 else 'lines'}: {MASK.brief(first, _BRIEF_LENGTH_MAX)}"
        )
    return MASK.brief(value, _BRIEF_LENGTH_MAX, key)


def _restore(
    found: Configured, key: str, versions: list[Version], chosen: Version, yes: bool, json_output: bool
) -> None:
    import anyio

    from coagent.oversight.restoring import there as there_now
    from coagent.protocol.keys import Key
    from coagent.protocol.values import same
    from coagent.runtime.changes import change_of

    there = (
        anyio.run(_written, found, key, versions, chosen) if yes else anyio.run(there_now, found.domain, key)
    )
    change = "" if same(there, chosen.value) else change_of(MASK, Key(key), there, chosen.value)
    if json_output:
        print_json(
            {"key": key, "number": chosen.number, "difference": change, "written": yes and bool(change)}
        )
        return
    print_lines(line for line in change.splitlines() if line not in ("--- before", "+++ after"))
    if not change:
        print_lines([f"{key} is as it was in record {chosen.number}: there is nothing to do."])
    elif yes:
        print_lines([f"{key} was written as it was in record {chosen.number}."])
    else:
        print_lines(["", "Nothing was written. --yes makes this change."])


async def _written(found: Configured, key: str, versions: list[Version], chosen: Version) -> Value:
    from coagent.oversight.restoring import put_back

    async with found.domain as domain:
        return await put_back(domain, key, versions, chosen)
