"""A workspace opened for Claude Code sessions, over the tree that they write by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from coagent.config.domain_file import FOLDER, NAME, DomainFile, log_url, order_of, read_domain_file
from coagent.config.explain import at
from coagent.config.targets import make_target
from coagent.config.tools import make_tools
from coagent.errors import ConfigurationError
from coagent.gateways.claude.native import SharedTree
from coagent.runtime.domain import Domain, open_domain
from coagent.systems.files.changes import CHANGE_TOOLS
from coagent.systems.files.system import FilesTarget
from coagent.systems.shell.commands import CommandRunner
from coagent.systems.shell.live import LiveShell
from coagent.systems.shell.views.overlay import available
from coagent.targets.base import Target

# Claude Code writes a file by way of one beside it, FILE.tmp.PID.HEX with 8 or 12 digits: nobody's work.
_BESIDE_AN_EDIT = tuple(f"**/*.tmp.[0-9]*.{'[0-9a-f]' * digits}" for digits in (8, 12))


class Opened(NamedTuple):
    """A workspace.

    Args:
        domain: Its domain, to be entered.
        tree: Its files.
        file: How it is configured.
        shell: In which its sessions' commands run; None where views cannot be had here.
    """

    domain: Domain
    tree: SharedTree
    file: DomainFile
    shell: LiveShell | None


def open_workspace(root: Path) -> Opened:
    """Open a workspace.

    Args:
        root: The folder that has `.coagent/config.toml`.

    Raises:
        ConfigurationError: The domain file cannot be used, or does not govern the workspace's files.
    """
    path = root / FOLDER / NAME
    file = read_domain_file(path)
    text, folder = path.read_text(encoding="utf-8"), path.parent.resolve()
    targets: list[Target] = []
    tree: SharedTree | None = None
    for index, table in enumerate(file.targets):
        if isinstance(table, FilesTarget) and tree is None:
            options = {**table.options, "exclude": (*table.options["exclude"], *_BESIDE_AN_EDIT)}
            tree = SharedTree(str(folder / table.root), **options)
            targets.append(tree)
        else:
            targets.append(make_target(table, folder, at(path, text, ("targets", index))))
    if tree is None:
        raise ConfigurationError(
            f"{path}: no target is a folder of files", 'Add [[targets]] with kind = "files" and root = "..".'
        )
    tools = make_tools(file.tools, file.targets, targets, folder, at(path, text, ("tools", "builtin")))
    if CHANGE_TOOLS not in tools:
        tools.append(CHANGE_TOOLS)
    shell = None
    if not available():
        bash = file.tools.settings("bash")
        shell = LiveShell(CommandRunner(tree.workspace, trace=bash.trace, view="overlay"))
        tools.extend(shell.tools)
    url = log_url(file.log, folder)
    # Sessions outlive the daemon: the next one takes them up, and ends those that have died.
    domain = open_domain(
        url,
        targets=targets,
        tools=tools,
        protocol=file.protocol,
        order=order_of(file, url),
        on_death="keep",
    )
    domain.keeps_words = file.words
    return Opened(domain, tree, file, shell)
