"""The reference of the command line: what each command says of itself, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import typer

from coagent.cli.main import app

_WIDTH = 80


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command as it is typed, and what it says of itself."""
    root = typer.main.get_command(app)
    yield from _from(root, click.Context(root, info_name="coagent", **root.context_settings))


def _from(command: Any, context: click.Context) -> Iterator[tuple[str, str]]:
    context.max_content_width = context.terminal_width = _WIDTH
    yield context.command_path, command.get_help(context).rstrip()
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            yield from _from(found, click.Context(found, parent=context, info_name=name))


def page_text() -> str:
    """Return the sections of all commands."""
    return "\n\n".join(f"## {name}\n\n```\n{_trimmed(text)}\n```" for name, text in commands())


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())
