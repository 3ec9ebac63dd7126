"""The `coagent` command: what it can do stands in `COMMANDS`; each command has a file of its own.

Exit codes: 0 done, 1 the work failed, 2 bad usage, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, ClassVar

import typer
from typer.main import get_command

from coagent.cli.group import Lazy, LazyGroup, Registered, epilog, plain_typer
from coagent.cli.output import print_error, print_lines
from coagent.errors import CoAgentError, ConfigurationError

FAILED, BAD_USAGE, INTERRUPTED = 1, 2, 130
_DEBUG = "--debug"

COMMANDS: dict[str, Lazy | Registered] = {
    "demo": Lazy(
        "coagent.cli.demo:demo",
        "See what goes wrong without CoAgent, and right with it.",
        ("coagent demo", "coagent demo repo", "coagent demo repo --keep", "coagent demo canary --json"),
    ),
    "run": Lazy(
        "coagent.cli.run:run",
        "Run several agents on one live state, and judge its end.",
        ("coagent run agents.toml", "coagent run agents.toml --dry-run", "coagent run agents.toml --json"),
    ),
    "init": Lazy(
        "coagent.cli.init:init",
        "Wire up the agents in a workspace, or take it all out.",
        ("coagent init", "coagent init --client codex --client gemini", "coagent init --remove"),
    ),
    "doctor": Lazy(
        "coagent.cli.doctor.command:doctor",
        "Say what is installed, governed and reachable, and what to do.",
        ("coagent doctor", "coagent doctor ~/project", "coagent doctor domain.toml --json"),
    ),
    "serve": Lazy(
        "coagent.cli.serve:serve",
        "Offer the tools of a domain to MCP clients.",
        ("coagent serve", "coagent serve --http --port 8765", "coagent serve domain.toml --name reviewer"),
    ),
    "status": Lazy(
        "coagent.cli.status:status",
        "Show who is at work in a domain, and who waits for whom.",
        ("coagent status", "coagent status --watch", "coagent status --domain domain.toml --json"),
    ),
    "statusline": Lazy(
        "coagent.cli.statusline:statusline",
        "Print one line for the status line of Claude Code.",
        (
            "coagent statusline < session.json",
            """coagent statusline <<< '{"session_id": "4f2c", "cwd": "."}'""",
        ),
    ),
    "log": Lazy(
        "coagent.cli.log:log",
        "Tell what has happened in a domain.",
        (
            "coagent log --follow",
            "coagent log --agent A --tail 20",
            "coagent log --key 'file:src/*'",
            "coagent log --perfetto run.json",
        ),
    ),
    "blame": Lazy(
        "coagent.cli.blame:blame",
        "Say who has written each line of a file.",
        ("coagent blame src/app.py", "coagent blame src/app.py --why", "coagent blame --agent-trace"),
    ),
    "watch": Lazy(
        "coagent.cli.watch:watch",
        "Watch what agents do, at a glance in the terminal.",
        ("coagent watch", "coagent watch domain.toml", "coagent watch sqlite:run.log --ascii"),
    ),
    "ui": Lazy(
        "coagent.cli.ui:ui",
        "Look at what agents do, in a browser.",
        (
            "coagent ui",
            "coagent ui sqlite:run.log --export run.html",
            "coagent ui sqlite:a.log --compare sqlite:b.log",
        ),
    ),
    "check": Lazy(
        "coagent.cli.check:check",
        "Audit a log: is the state the serial one?",
        ("coagent check", "coagent check sqlite:old.db", "coagent check domain.toml --no-live --json"),
    ),
    "undo": Lazy(
        "coagent.cli.undo:undo",
        "Take back what an agent has done.",
        ("coagent undo A.3", "coagent undo A", "coagent undo A --abort --yes"),
    ),
    "resolve": Lazy(
        "coagent.cli.resolve:resolve",
        "Show what is stuck, or decide about it.",
        ("coagent resolve", "coagent resolve file:a.txt --retry", "coagent resolve file:a.txt --accept"),
    ),
    "restore": Lazy(
        "coagent.cli.restore:restore",
        "Bring back what a person or an agent had written.",
        ("coagent restore", "coagent restore file:a.txt", "coagent restore file:a.txt --to 17 --yes"),
    ),
    "accept": Lazy(
        "coagent.cli.accept:accept",
        "Accept what was changed while no agent was at work on it.",
        ("coagent accept", "coagent accept file:a.txt", "coagent accept --all --yes"),
    ),
    "tools": Lazy("coagent.cli.tools:app", "Look after the tools of a domain."),
    "bench": Registered("Measure what CoAgent costs."),
}


class Commands(LazyGroup):
    """The commands, and what becomes of the errors that they end with."""

    table: ClassVar = COMMANDS

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is asked for."""
        with _errors_told(debug=bool(ctx.params.get("debug"))):
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


app = plain_typer(
    cls=Commands,
    no_args_is_help=True,
    epilog=epilog(
        "coagent demo repo",
        "coagent run agents.toml",
        "coagent init",
        "coagent demo --help",
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            found = version("coagent-mtpo")
        except PackageNotFoundError:
            found = "(run from its source)"
        print_lines([f"coagent {found}"])
        raise typer.Exit


@app.callback()
def coagent(
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show where an error comes from.")] = False,
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Let several LLM agents work on one live state, ending where they would have ended one after another."""


@contextlib.contextmanager
def _errors_told(*, debug: bool) -> Iterator[None]:
    """Tell errors on standard error and end with the exit code that belongs to them."""
    try:
        yield
    except KeyboardInterrupt:
        print_error("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output has gone; what is still in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from None  # as rich has it, which is often first to notice
    except Exception as error:
        if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "format_message"):
            raise  # typer's own, which it tells itself
        if debug:
            print_lines(traceback.format_exc().splitlines(), stderr=True)
        raise typer.Exit(_tell(_only_cause(error), debug)) from None


def _tell(error: BaseException, debug: bool) -> int:
    if isinstance(error, CoAgentError):
        print_error(error.cause, error.cure)
        return BAD_USAGE if isinstance(error, ConfigurationError) else FAILED
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    print_error(told, "" if debug else f"It was not foreseen: {_DEBUG} shows where it comes from.")
    return FAILED


def _only_cause(error: BaseException) -> BaseException:
    """Return what a group of errors was made for: its first error of ours, or its first one."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_only_cause(part) for part in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, CoAgentError)), leaves[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: Without the program's name; those of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if _DEBUG in given:  # people add it last, when something has gone wrong
        given = [_DEBUG, *(argument for argument in given if argument != _DEBUG)]
    try:
        get_command(app).main(given, prog_name="coagent")
    except KeyboardInterrupt:  # before a command had begun
        print_error("interrupted")
        sys.exit(INTERRUPTED)
