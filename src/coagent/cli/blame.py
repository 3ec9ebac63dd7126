"""`coagent blame`: who has written each line of a file or object, by which call, and what that rested on."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json, print_lines
from coagent.errors import ConfigurationError, TargetError

if TYPE_CHECKING:
    from coagent.story.blame import Author, Blame, Line

_WHO = {"outside": "(somebody outside)", "before": "(before)", "unlogged": "(in no record)"}
_WHO_MAX = 28


def blame(
    what: Annotated[
        str | None, typer.Argument(metavar="[FILE|KEY]", help="A file, or an object such as sql:orders/42.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="A domain file, a folder or a log; the nearest .coagent by default.")
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Say also what each call had read before.")] = False,
    agent_trace: Annotated[
        bool, typer.Option("--agent-trace", help="Print a record of Agent Trace, of all files by default.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say of each line of a file which agent has written it last, by which call.

    The order is the serialization order: what a later agent made of a line comes after what an earlier one
    wrote, whatever came first. What no record has is marked so. Lines of objects that are no texts are those
    of their JSON.
    """
    from coagent.cli.where import LOGS, domain_log
    from coagent.story.blame import Blame
    from coagent.story.steps import Story

    if what is None and not agent_trace:
        raise ConfigurationError("there is no file to look at", "Name one: coagent blame src/app.py")
    url = domain_log(domain)
    story = Story(url, MASK)
    try:
        progress = console(stderr=True)
        if progress.is_terminal:
            with progress.status("reading the log"):
                story.advance()
        else:
            story.advance()
        known = Blame(story)
        named_log = domain is not None and domain.startswith(LOGS)
        if agent_trace:
            _print_record(
                known, None if what is None else _key(what, domain, named_log), story.header["name"]
            )
            return
        assert what is not None
        key = _key(what, domain, named_log)
        if key not in known.keys:
            raise ConfigurationError(
                f"no agent has read or written {key!r}", "See what was: coagent log --key 'file:*'"
            )
        lines = known.lines(key, None if named_log else _there(key, domain))
    finally:
        story.close()
    if json_output:
        print_json({"key": key, "lines": [_data(number, line) for number, line in enumerate(lines, 1)]})
    else:
        print_lines(_shown(lines, why))


def _key(what: str, domain: str | None, named_log: bool) -> str:
    scheme, colon, _ = what.partition(":")
    if named_log or (colon and scheme.isalnum() and not os.path.exists(what)):
        return what if colon else f"file:{what}"
    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured

    targets = configured(domain_file(domain)).domain.targets
    return targets.of("file:").canonical(f"file:{os.path.abspath(what)}")


def _there(key: str, domain: str | None) -> str | None:
    """Return the text that is there now; None where it is no text, or cannot be looked at."""
    import anyio

    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured
    from coagent.oversight.restoring import there

    try:
        found = anyio.run(there, configured(domain_file(domain)).domain, key)
    except TargetError as error:
        print_lines([f"coagent: what is there now was not looked at: {error.cause}"], stderr=True)
        return None
    if found is None:
        return ""
    return found if isinstance(found, str) else None


def _shown(lines: list[Line], why: bool) -> list[str]:
    names = [_who(line.author) for line in lines]
    width = min(max(map(len, names), default=0), _WHO_MAX)
    digits = len(str(len(lines)))
    shown, last = [], None
    for number, (name, line) in enumerate(zip(names, lines, strict=True), 1):
        when = _when(line.author)
        shown.append(f"{name:<{width}}  {when:<16}  {number:>{digits}}) {line.text}")
        if why and line.author != last and line.author.rested_on:
            shown.append(
                f"{'':{width}}  {'':16}  {'':{digits}}  ^ had read {', '.join(line.author.rested_on)}"
            )
        last = line.author
    return shown


def _who(author: Author) -> str:
    if author.kind != "agent":
        return _WHO[author.kind]
    return f"{author.call} {author.tool}" + ("" if author.committed else " *")


def _when(author: Author) -> str:
    if author.at_ms is None:
        return "" if author.number is None else f"record {author.number}"
    return datetime.fromtimestamp(author.at_ms / 1000).strftime("%Y-%m-%d %H:%M")


def _data(number: int, line: Line) -> dict[str, Any]:
    return {"line": number, "text": line.text, **line.author.__dict__}


def _print_record(known: Blame, only: str | None, name: str) -> None:
    from uuid import uuid4

    from coagent.story.agent_trace import record

    keys = [key for key in known.keys if key.startswith("file:") and only in (None, key)]
    files = {key.removeprefix("file:"): known.lines(key) for key in keys}
    try:
        ours = version("coagent-mtpo")
    except PackageNotFoundError:
        ours = "0"
    print_json(
        record(
            files,
            identity=uuid4(),
            now=datetime.now(UTC),
            tool_version=ours,
            revision=_revision(list(files)),
            domain=name,
        )
    )


def _revision(paths: list[str]) -> str | None:
    """Return the commit that is checked out here, where there is one and it has these files as they are."""

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)

    try:
        head = git("rev-parse", "--verify", "HEAD")
        if head.returncode != 0 or not paths or git("status", "--porcelain", "--", *paths).stdout:
            return None
    except OSError:
        return None
    return head.stdout.strip()
