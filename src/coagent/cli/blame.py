"""`coagent blame`: who has written each line of a file or object, by which call, and what that rested on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json, print_lines
from coagent.errors import ConfigurationError, TargetError

if TYPE_CHECKING:
    from coagent.protocol.keys import Key
    from coagent.story.blame import Author, Blame, Line

_WHO = {"outside": "(somebody outside)", "before": "(before)", "unlogged": "(in no record)"}
_WHO_MAX = 28
_KEYS_SHOWN_MAX = 8


def blame(
    what: Annotated[
        str | None, typer.Argument(metavar="[FILE|KEY]", help="A file, or an object such as sql:orders/42.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="A domain file, a folder or a log; the nearest .coagent by default.")
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Say also what each call, and its agent before it, had read.")
    ] = False,
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
    from coagent.cli.where import domain_log, named_log
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
        alone = named_log(domain) is not None
        if agent_trace:
            only = None if what is None else _key(what, domain, alone)
            _print_record(known, only, story.header["name"], domain, alone=alone)
            return
        assert what is not None
        key = _key(what, domain, alone)
        if key not in known.keys:
            raise ConfigurationError(
                f"no agent has read or written {key!r}",
                f"See what was: coagent log --key '{key.partition(':')[0]}:*'",
            )
        lines = known.lines(key, None if alone else _text_there(key, domain))
    finally:
        story.close()
    if json_output:
        print_json({"key": key, "lines": [_data(number, line) for number, line in enumerate(lines, 1)]})
    else:
        print_lines(_shown(lines, why))


def _key(what: str, domain: str | None, alone: bool) -> Key:
    from coagent.protocol.keys import Key

    scheme, colon, _ = what.partition(":")
    if alone or (colon and scheme.isalnum() and not os.path.exists(what)):
        return Key(what if colon else f"file:{what}")
    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured

    targets = configured(domain_file(domain)).domain.targets
    return targets.of("file:").canonical(f"file:{os.path.abspath(what)}")


def _text_there(key: Key, domain: str | None) -> str | None:
    """Return the text that is there now; None where there is none, or it cannot be looked at."""
    found = _there([key], domain)[key]
    if isinstance(found, TargetError):
        _tell(f"what is there now was not looked at: {found.cause}")
    elif found is None:
        _tell(f"{key!r} is not there any more")
        return ""
    elif isinstance(found, bytes):
        _tell(f"{key!r} is no text now; these are the lines that the log knows")
    return found if isinstance(found, str) else None


def _there(keys: list[Key], domain: str | None) -> dict[str, Any]:
    import anyio

    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured
    from coagent.oversight.restoring import all_there

    return anyio.run(all_there, configured(domain_file(domain)).domain, keys)


def _tell(text: str) -> None:
    print_lines([f"coagent: {text}"], stderr=True)


def _shown(lines: list[Line], why: bool) -> list[str]:
    names = [_who(line.author) for line in lines]
    width = min(max(map(len, names), default=0), _WHO_MAX)
    digits = len(str(len(lines)))
    shown, last = [], None
    for number, (name, line) in enumerate(zip(names, lines, strict=True), 1):
        when = _when(line.author)
        shown.append(f"{name:<{width}}  {when:<16}  {number:>{digits}}) {line.text}")
        if why and line.author != last:
            margin = f"{'':{width}}  {'':16}  {'':{digits}}  "
            shown += [f"{margin}^ {told}" for told in _rests_on(line.author)]
        last = line.author
    return shown


def _rests_on(author: Author) -> Iterator[str]:
    for words, keys in (("had read", author.rested_on), ("before it, its agent had read", author.had_read)):
        if keys:
            more = f" and {len(keys) - _KEYS_SHOWN_MAX} more" if len(keys) > _KEYS_SHOWN_MAX else ""
            yield f"{words} {', '.join(keys[:_KEYS_SHOWN_MAX])}{more}"


def _who(author: Author) -> str:
    if author.kind != "agent":
        return _WHO[author.kind]
    return f"{author.call} {author.tool}" + ("" if author.committed else " *")


def _when(author: Author) -> str:
    if author.at_ms is None:
        return "" if author.number is None else f"record {author.number}"
    from coagent.wording.times import day_and_time

    return day_and_time(author.at_ms)


def _data(number: int, line: Line) -> dict[str, Any]:
    return {"line": number, "text": line.text, **line.author.__dict__}


def _print_record(known: Blame, only: str | None, name: str, domain: str | None, *, alone: bool) -> None:
    """Print the record of the lines that are there now; of a log alone, of those that it knows."""
    from uuid import uuid4

    from coagent.story.agent_trace import record

    keys = [key for key in known.keys if key.startswith("file:") and only in (None, key)]
    files = {key.removeprefix("file:"): known.lines(key) for key in keys} if alone else {}
    prefix, revision = "", None
    if not alone:
        for key, content in _there(keys, domain).items():
            text = "" if content is None else content
            if isinstance(text, str):
                files[key.removeprefix("file:")] = known.lines(key, text)
        prefix, revision = _checked_out(_root(domain), list(files))
    try:
        ours = version("coagent-mtpo")
    except PackageNotFoundError:
        ours = "0"
    print_json(
        record(
            {f"{prefix}{path}": lines for path, lines in files.items()},
            identity=uuid4(),
            now=datetime.now(UTC),
            tool_version=ours,
            revision=revision,
            domain=name,
            secret=lambda path, text: MASK.value(text, f"file:{path}") != text,
        )
    )


def _root(domain: str | None) -> str:
    from coagent.cli.where import domain_file
    from coagent.config.domain_file import configured
    from coagent.targets import Files

    target = configured(domain_file(domain)).domain.targets.of("file:")
    return target.workspace.root if isinstance(target, Files) else ""


def _checked_out(root: str, paths: list[str]) -> tuple[str, str | None]:
    """Return where a folder lies in its git repository, and the commit there if that has these files so.

    Args:
        root: The folder.
        paths: The files, from there.
    """

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "--literal-pathspecs", "-C", root, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        prefix = git("rev-parse", "--show-prefix").stdout.strip("\n") if root else ""
        head = git("rev-parse", "--verify", "HEAD") if root and paths else None
        if head is None or head.returncode != 0:
            return prefix, None
        if git("status", "--porcelain", "--ignored", "--", *paths).stdout:
            return prefix, None
    except OSError:
        return "", None
    return prefix, head.stdout.strip()
