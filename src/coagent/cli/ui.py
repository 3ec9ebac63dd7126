"""`coagent ui`: the page that shows what agents do, live or of a finished run, or as one file."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coagent.cli.output import MASK, console, print_entrance, print_json, print_lines
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.story.steps import Story

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WAIT_S = 0.5
_TAIL = 50_000
"""Some fifteen seconds of reading; the checkpoint from which it begins may lie farther back."""


def ui(
    domain: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|FOLDER|LOG]",
            help="A domain file, a folder or a log; the nearest .coagent by default.",
        ),
    ] = None,
    compare: Annotated[str | None, typer.Option(metavar="LOG", help="Another run, to be compared.")] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write it all into one file instead of serving it.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any.")] = 0,
    host: Annotated[
        str, typer.Option(help="Where it is served; by default for this host alone.")
    ] = "127.0.0.1",
    look_only: Annotated[
        bool, typer.Option("--look-only", help="Offer nothing that changes anything.")
    ] = False,
    tail: Annotated[
        int, typer.Option(min=0, help="How many of the last records to show, about; 0: all.")
    ] = _TAIL,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = True,
    json_output: Annotated[bool, typer.Option("--json", help="Print the address as JSON.")] = False,
) -> None:
    """Look at what agents do: who did what, who was told what, and why something is as it is.

    It is a page for your browser, served on this host alone; its address holds a token. Looking changes
    nothing, and no agent waits for it. From the page you can undo, abort, restore and resolve, with a look at
    what would change first, where a domain file or folder is named and no log.
    """
    from coagent.cli.where import domain_file, domain_log, named_log
    from coagent.log.open import open_reader

    url, other = domain_log(domain), None if compare is None else domain_log(compare)
    if other is not None:
        open_reader(other).close()  # what is compared is there: nobody waits for a name that was mistyped
    stories = [_story(address, tail, export is None) for address in (url, other) if address is not None]
    if export is not None:
        _export(stories, export, json_output)
        return
    try:
        import uvicorn  # noqa: F401 - so that its absence is told before anything is shown
        from starlette import applications  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"the page needs a web server: {error}", "Install it: pip install 'coagent-mtpo[ui]'."
        ) from None
    path = None if look_only or named_log(domain) is not None else domain_file(domain)
    _serve(stories, path, host, port, browser, json_output)


def _story(url: str, tail: int, wait: bool) -> Story:
    import time

    from coagent.log.base import NothingYet
    from coagent.story.steps import Story

    waiting = False
    while True:
        try:
            return Story(url, MASK, tail=tail or None)
        except NothingYet as nothing:
            if not wait:
                raise
            if not waiting:
                print_lines([f"{nothing.cause}; waiting for somebody (Ctrl+C ends it)"], stderr=True)
            waiting = True
            time.sleep(_WAIT_S)


def _export(stories: list[Story], path: Path, json_output: bool) -> None:
    from coagent.private import write_private
    from coagent.ui.page import exported

    progress = console(stderr=True)
    for story in stories:
        if progress.is_terminal and not json_output:
            with progress.status("reading the log") as status:
                while story.advance(2_000):
                    status.update(f"reading the log: {story.watch.number:,} of {story.watch.last:,} records")
        else:
            story.advance()
    text = exported(stories)
    try:
        write_private(path, text)
    except OSError as error:
        raise ConfigurationError(
            f"the page {str(path)!r} cannot be written: {error.strerror}", "Name a file in a folder of yours."
        ) from None
    if json_output:
        print_json(
            {"file": str(path), "bytes": len(text.encode()), "steps": [len(story) for story in stories]}
        )
    else:
        print_lines([f"{path}: {sum(map(len, stories)):,} steps. It holds what agents read and wrote."])
    for story in stories:
        story.close()


def _serve(
    stories: list[Story], path: Path | None, host: str, port: int, browser: bool, json_output: bool
) -> None:
    import anyio

    from coagent.ui.acts import Acts
    from coagent.ui.serving import serve
    from coagent.ui.stories import Stories

    token = secrets.token_urlsafe(24)

    def ready(address: str) -> None:
        print_entrance(address, as_json=json_output)
        if not json_output:
            print_lines(["", "Ctrl+C ends it. Whoever has this address may look, and act."])
        if browser and not json_output and sys.stdout.isatty():
            import webbrowser

            webbrowser.open(address)

    if host not in _LOOPBACK:
        print_lines([f"coagent: {host} may be reached by others; what is sent is not encrypted"], stderr=True)
    acts = None if path is None else Acts(path, MASK)
    anyio.run(serve, Stories(stories), token, host, port, acts, ready)
