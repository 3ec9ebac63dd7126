"""What commands print, and where: results to standard output, progress and errors to standard error.

Everything goes through here, so that nothing is printed that holds a secret or steers a terminal: names and
values come from agents, files and servers.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coagent.errors import ConfigurationError
from coagent.masking.mask import Mask
from coagent.private import write_private
from coagent.wording.quoting import printable

if TYPE_CHECKING:
    from rich.console import Console

MASK = Mask()
"""Of all that this process prints."""
MASK.learn_environment(os.environ)


def console(*, stderr: bool = False) -> Console:
    """Return a console that uses colour on a terminal only, and not where NO_COLOR is set (no-color.org)."""
    from coagent.cli.safe_console import SafeConsole

    if os.environ.get("NO_COLOR"):
        return SafeConsole(shown, stderr=stderr, color_system=None, highlight=False)
    return SafeConsole(shown, stderr=stderr, highlight=False)


def shown(text: str) -> str:
    """Return a text as it may be printed."""
    return printable(MASK.text(text))


def print_lines(lines: Iterable[str], *, stderr: bool = False) -> None:
    """Print lines of text."""
    text = "".join(f"{shown(line)}\n" for line in lines)
    out = sys.stderr if stderr else sys.stdout
    out.write(text)
    out.flush()


def print_entrance(address: str, *, as_json: bool) -> None:
    """Print an address whose token this process has just made, for whoever started it: it is not masked."""
    sys.stdout.write(json.dumps({"url": address}) + "\n" if as_json else f"{printable(address)}\n")
    sys.stdout.flush()


def json_text(data: Any, indent: int | None = 2) -> str:
    """Return a result as JSON text; what does not show as itself is escaped in it."""
    text = json.dumps(MASK.value(data), indent=indent, ensure_ascii=False)
    if text.isascii():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in text
    )


def print_json(data: Any, indent: int | None = 2) -> None:
    """Print a result as JSON, alone on standard output."""
    sys.stdout.write(json_text(data, indent) + "\n")


def write_report(path: Path, data: Any, what: str = "report") -> None:
    """Write a report, or something else, as JSON into a file that only its owner can read.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        write_private(path, json_text(data) + "\n")
    except OSError as error:
        raise ConfigurationError(
            f"the {what} {str(path)!r} cannot be written: {error.strerror}", "Name a file in your own folder."
        ) from None


def write_page(path: Path, text: str) -> None:
    """Write a page that is to be shown around.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the page {str(path)!r} cannot be written: {error.strerror}") from None


def check_place(page: Path) -> None:
    """See, before the work for a page is done, that there is a folder for it.

    Raises:
        ConfigurationError: There is none.
    """
    if not page.parent.is_dir():
        raise ConfigurationError(f"the page {str(page)!r} cannot be written: {os.strerror(errno.ENOENT)}")


def print_error(cause: str, cure: str = "") -> None:
    """Print what went wrong and, on a line of its own, what to do about it."""
    out = console(stderr=True)
    out.print("error: ", style="bold red", end="")
    out.print(cause, markup=False, soft_wrap=True)
    if cure:
        out.print(f"       {cure}", markup=False, soft_wrap=True)
