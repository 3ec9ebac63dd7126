"""Groups of commands that are imported when they are called, so that `coagent --help` stays quick."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from coagent.cli.registered import loaded, not_installed, registered

GROUP = "coagent.commands"
"""The entry points by which installed packages bring commands; each is a `typer.Typer`."""


class Lazy(NamedTuple):
    """A command that is not imported yet.

    Args:
        target: `module:attribute`, a function with typer's annotations or a whole `typer.Typer`.
        help: One sentence, shown in the list of commands.
        examples: Lines to be typed, shown below the command's help; a `typer.Typer` brings its own.
    """

    target: str
    help: str
    examples: tuple[str, ...] = ()


def epilog(*examples: str) -> str:
    """Return examples as a command's epilog; the marker keeps the formatter from joining the lines."""
    return "\n".join(("\b", "Examples:", *(f"  {example}" for example in examples)))


def plain_typer(**settings: Any) -> typer.Typer:
    """Return a typer app with help and errors in plain text, and `-h`."""
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


class Registered(NamedTuple):
    """A command that another package brings, under its name in the entry points `coagent.commands`.

    Args:
        help: One sentence, shown in the list of commands, also where that package is not installed.
    """

    help: str


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name, each imported when it is first looked up."""

    def __init__(self, table: Mapping[str, Lazy | Registered], others: Mapping[str, Any]) -> None:
        self.table = table
        self._loaded: dict[str, Any] = dict(others)

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _loaded(name, self.table[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self.table, *self._loaded)))

    def __len__(self) -> int:
        return len(set(self.table) | set(self._loaded))


class LazyGroup(TyperGroup):
    """A group whose commands stand in `table`; pass a subclass as `plain_typer(cls=...)`."""

    table: ClassVar[Mapping[str, Lazy | Registered]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands(self.table, self.commands)
        self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names; going through the items would import the commands."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; while help is written, one with nothing but its name and its sentence."""
        if self._listing and cmd_name in self.table:
            return TyperCommand(cmd_name, help=self.table[cmd_name].help)
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without importing the commands."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is meant, or name the nearest one."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            nearest = difflib.get_close_matches(args[0], self.commands, 1)
            known = f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(self.commands)}."
            ctx.fail(f"There is no command {args[0]!r}. {known}")
        return super().resolve_command(ctx, args)


def _loaded(name: str, lazy: Lazy | Registered) -> Any:
    if isinstance(lazy, Registered):
        return _whole(name, _registered(name))
    module, _, attribute = lazy.target.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return _whole(name, found)
    app = plain_typer(add_completion=False)
    app.command(name, epilog=epilog(*lazy.examples) if lazy.examples else None)(found)
    return get_command(app)


def _registered(name: str) -> typer.Typer:
    entry = registered(GROUP).get(name)
    if entry is None:
        raise not_installed(f"`coagent {name}`")
    app: typer.Typer = loaded(entry)
    return app


def _whole(name: str, app: typer.Typer) -> Any:
    command = get_command(app)
    command.name = name
    return command
