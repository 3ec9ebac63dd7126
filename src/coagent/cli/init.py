"""`coagent init`: wire up the agents that people run in a workspace already, or take it all out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coagent.cli.output import console, print_json
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.gateways.setup.install import Outcome


def init(
    folder: Annotated[Path, typer.Argument(help="The workspace.")] = Path(),
    client: Annotated[
        list[str] | None,
        typer.Option(
            "--client",
            help="claude-code (the default), codex, cursor, gemini, opencode, vscode, or all; repeatable. "
            "claude-plugin: Claude Code with its hooks in the plug-in that --plugin makes.",
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take everything out again.")] = False,
    shared: Annotated[
        bool, typer.Option("--shared", help="Use .claude/settings.json, which a team shares.")
    ] = False,
    opencode: Annotated[
        bool, typer.Option("--opencode", help="Like --client claude-code --client opencode.")
    ] = False,
    plugin: Annotated[
        Path | None, typer.Option(help="Make a Claude Code plugin in this folder, and wire up nothing.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Wire up a workspace: every session of its clients becomes an agent of one shared order.

    It writes a .coagent folder, and into the settings of each client beside what is there: hooks and a
    shell prefix for Claude Code, an MCP server for the others. Git ignores the files that it makes. With
    --remove, all files are put back to the byte they were, and .coagent goes; with --client too, only that
    client is taken out.
    """
    from coagent.gateways.setup.clients.table import CLAUDE_CODE, CLAUDE_PLUGIN
    from coagent.gateways.setup.install import chosen, install, uninstall

    root = folder.resolve()
    if not root.is_dir():
        raise ConfigurationError(f"there is no folder {str(folder)!r}", "Name the workspace.")
    names = chosen([*(client or ()), *([CLAUDE_CODE, "opencode"] if opencode else [])])
    if plugin is not None:
        if remove or names:
            raise ConfigurationError(
                "--plugin makes a folder, and nothing else", "To be rid of it, remove that folder."
            )
        _plugin(plugin, json_output=json_output)
        return
    wired = names or [CLAUDE_CODE]
    outcome = uninstall(root, names) if remove else install(root, wired, shared=shared)
    if json_output:
        more = {"shell": outcome.shell, "kept": outcome.kept, "then": outcome.then}
        said = {name: value for name, value in more.items() if value}
        print_json({"workspace": str(root), "removed": remove, "files": outcome.files, **said})
    else:
        _tell(outcome, remove=remove, governed=bool({CLAUDE_CODE, CLAUDE_PLUGIN} & set(wired)))


def _tell(outcome: Outcome, *, remove: bool, governed: bool) -> None:
    out = console()
    for path in outcome.files:
        out.print(f"{'took out of' if remove else 'wrote'} {path}", markup=False)
    if outcome.kept:
        out.print(f"kept in .coagent, since it is yours: {', '.join(outcome.kept)}", markup=False)
    if outcome.shell:
        out.print(outcome.shell, markup=False)
    if not outcome.files:
        out.print("Nothing was to be done." if not remove else "There was nothing of CoAgent's.")
    elif not remove:
        for title, then in outcome.then.items():
            out.print(f"{title}: {then}", markup=False, soft_wrap=True)
        out.print(
            "\nEvery Claude Code session that starts in this folder is governed from now on."
            if governed
            else "\nWhat these clients do by CoAgent's tools is governed from now on.",
            "\n  coagent status           who is at work, and who waits for whom\n"
            "  coagent log --follow     what they do\n"
            "  coagent init --remove    takes everything out again",
            markup=False,
            sep="",
        )


def _plugin(folder: Path, *, json_output: bool) -> None:
    from coagent.gateways.setup.claude_plugin import make_plugin

    files = make_plugin(folder)
    if json_output:
        print_json({"plugin": str(folder), "files": files})
        return
    out = console()
    for path in files:
        out.print(f"wrote {folder / path}", markup=False)
    out.print(
        f"\n  claude --plugin-dir {folder}    starts a session with it\n"
        "It governs sessions in workspaces that are made ready: coagent init --client claude-plugin",
        markup=False,
    )
