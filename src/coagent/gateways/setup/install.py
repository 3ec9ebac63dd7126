"""Clients wired up in a workspace, and left again: all files are checked before the first one is written."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coagent.config.domain_file import FOLDER, NAME, ClaudeTable, read_domain_file
from coagent.errors import ConfigurationError
from coagent.gateways.claude.stop import stop_daemon
from coagent.gateways.setup import git_exclude, workspace
from coagent.gateways.setup.claude_install import ClaudeCode
from coagent.gateways.setup.clients.table import CLAUDE_CODE, CLAUDE_PLUGIN, CLIENTS, MCP_CLIENTS
from coagent.gateways.setup.settings_file import Planned, SettingsFile

_EXCLUDE = ".git/info/exclude"


@dataclass
class Outcome:
    """What was done.

    Args:
        files: The files that were changed, relative to the workspace.
        kept: What was left in our folder, since it is a person's own.
        shell: What a person is told about the shell of Claude Code, if anything.
        then: What a person does next, by client.
    """

    files: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    shell: str = ""
    then: dict[str, str] = field(default_factory=dict)


def chosen(names: Iterable[str]) -> list[str]:
    """Return the clients of some names, each once.

    Raises:
        ConfigurationError: There is no client of some name.
    """
    found: list[str] = []
    for name in names:
        if name not in ("all", CLAUDE_PLUGIN, *CLIENTS):
            there = ", ".join((*CLIENTS, CLAUDE_PLUGIN, "all"))
            raise ConfigurationError(f"there is no client {name!r}", f"There are: {there}.")
        found += CLIENTS if name == "all" else [name]
    return list(dict.fromkeys(found))


def install(root: Path, clients: Sequence[str], *, shared: bool = False) -> Outcome:
    """Wire up clients in a workspace.

    Args:
        root: The workspace.
        clients: Their names.
        shared: Whether the hooks of Claude Code go into the settings that a team shares.

    Raises:
        ConfigurationError: Something is wrong, or cannot be written. What was wrong before the first write
            has changed nothing.
    """
    outcome, path = Outcome(), root / FOLDER / NAME
    new = not path.exists()
    claude = ClaudeCode(root, root / FOLDER / workspace.SETUP)
    planned: list[Planned] = []
    if CLAUDE_CODE in clients or CLAUDE_PLUGIN in clients:
        wait_s = (ClaudeTable() if new else read_domain_file(path).claude).wait_s
        planned, outcome.shell = claude.put_in(wait_s, hooks=CLAUDE_CODE in clients, shared=shared)
    for client in (MCP_CLIENTS[name] for name in clients if name in MCP_CLIENTS):
        _require_server()
        planned += _some(_settings_files(root, client.name)[0].put_in())
        outcome.then |= {client.title: client.then} if client.then else {}
    workspace.make(root)
    outcome.files += [f"{FOLDER}/{NAME}"] if new else []
    claude.note_folder()
    outcome.files += _made(root, planned)
    outcome.files += _excluded(root, claude)
    return outcome


def uninstall(root: Path, clients: Sequence[str] = ()) -> Outcome:
    """Take clients out of a workspace again.

    Args:
        root: The workspace.
        clients: Their names; none for all, and for our folder too.

    Raises:
        ConfigurationError: A settings file that has something of ours is wrong, or something cannot be
            written. What was wrong before the first write has changed nothing.
    """
    outcome, everything = Outcome(), not clients
    claude = ClaudeCode(root, root / FOLDER / workspace.SETUP)
    planned: list[Planned] = []
    for name in clients or CLIENTS:
        if name not in MCP_CLIENTS:
            planned += claude.take_out()
        else:
            for file in _settings_files(root, name):
                planned += _some(file.take_out())
    outcome.files += _made(root, planned)
    if planned:
        claude.remove_folder()
    outcome.files += _excluded(root, claude)
    if everything and (root / FOLDER).is_dir():
        stop_daemon(root)
        outcome.kept = workspace.remove(root)
        outcome.files.append(FOLDER)
    return outcome


def _excluded(root: Path, claude: ClaudeCode) -> list[str]:
    """Have git ignore what we have made and no more; return the file that says so, if it is another now."""
    files = [file for name in MCP_CLIENTS for file in _settings_files(root, name) if file.created]
    made = [*claude.made, *(_in(root, file.path) for file in files)]
    done = git_exclude.put_in(root, made) if made else git_exclude.take_out(root)
    return [_EXCLUDE] if done else []


def _settings_files(root: Path, name: str) -> list[SettingsFile]:
    return MCP_CLIENTS[name].settings_files(root, root / FOLDER / workspace.SETUP, root / FOLDER / NAME)


def _some(change: Planned | None) -> list[Planned]:
    return [] if change is None else [change]


def _made(root: Path, planned: Iterable[Planned]) -> list[str]:
    """Make the changes; return the files that are another now."""
    return [_in(root, change.path) for change in planned if change.make()]


def _in(root: Path, path: Path) -> str:
    return str(path.relative_to(root))


def _require_server() -> None:
    if importlib.util.find_spec("mcp") is None:
        raise ConfigurationError(
            "these clients start `coagent serve`, which needs the mcp library",
            "Install it: pip install 'coagent-mtpo[mcp]'.",
        )
