"""`coagent watch`: what agents do, at a glance in the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer

from coagent.cli.output import MASK, shown
from coagent.errors import ConfigurationError

_INSTEAD = "Use `coagent log --follow` or `coagent status --watch`."


def watch(
    domain: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|FOLDER|LOG]",
            help="A domain file, a folder or a log; the nearest .coagent by default.",
        ),
    ] = None,
    ascii_only: Annotated[
        bool, typer.Option("--ascii", help="Draw with ASCII alone; so it does where the locale is no UTF-8.")
    ] = False,
) -> None:
    """Watch what agents do, live: who is at what, who was told what, and what a person has to decide.

    It only looks, and no agent waits for it. Press ? for what the signs and keys mean, q to quit.
    """
    from coagent.cli.where import domain_log
    from coagent.log.base import NothingYet
    from coagent.log.open import open_reader

    url = domain_log(domain)
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise ConfigurationError("this needs a terminal for its input and output", _INSTEAD)
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        raise ConfigurationError("this terminal cannot place text (TERM)", _INSTEAD)
    try:
        import textual  # noqa: F401 - so that its absence is told before anything is shown
    except ImportError as error:
        raise ConfigurationError(
            f"this needs Textual: {error}", "Install it: pip install 'coagent-mtpo[watch]'."
        ) from None
    with contextlib.suppress(NothingYet):  # it waits for somebody to join; what is no log is told here
        open_reader(url).close()
    from coagent.terminal.app import run
    from coagent.terminal.drawing import Look
    from coagent.terminal.following import Following

    run(Following(url, MASK), Look(shown, ascii=ascii_only or not _shows_unicode()))


def _shows_unicode() -> bool:
    """Tell whether the terminal shows more than ASCII, by its locale."""
    names = (os.environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((name for name in names if name), "")
    return not locale or "utf" in locale.lower()
