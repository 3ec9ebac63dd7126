"""What commands print, and where: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Return a console that uses colour on a terminal only, and not where NO_COLOR is set (no-color.org)."""
    from rich.console import Console

    if os.environ.get("NO_COLOR"):
        return Console(stderr=stderr, color_system=None, highlight=False)
    return Console(stderr=stderr, highlight=False)


def print_json(data: Any) -> None:
    """Print a result as JSON, alone on standard output."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, default=repr) + "\n")


def print_error(cause: str, cure: str = "") -> None:
    """Print what went wrong and, on a line of its own, what to do about it."""
    out = console(stderr=True)
    out.print("error: ", style="bold red", end="")
    out.print(cause, markup=False, soft_wrap=True)
    if cure:
        out.print(f"       {cure}", markup=False, soft_wrap=True)
