"""What there is to know of a client, to wire it up and to leave it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coagent.gateways.setup import server_entry
from coagent.gateways.setup.forms import JSON
from coagent.gateways.setup.settings_file import Form, SettingsFile

Settings = dict[str, Any]


def _as_it_is(settings: Settings) -> Settings:
    return settings


@dataclass(frozen=True)
class McpClient:
    """A client that is wired up by an entry among the MCP servers in a settings file of a workspace.

    Args:
        name: What it is called on the command line.
        title: What people call it.
        files: Its settings file, relative to the workspace; of several, the first one that is there.
        table: Where it has its servers in there.
        entry: Makes an entry of a command.
        then: What a person has to know or to do next.
        form: How the file is written.
        begun: Puts in what a new file has beside our entry.
        ended: Takes that out, where nothing else is left.
    """

    name: str
    title: str
    files: tuple[str, ...]
    table: str = "mcpServers"
    entry: Callable[[list[str]], Settings] = server_entry.split
    then: str = ""
    form: Form = JSON
    begun: Callable[[Settings], Settings] = _as_it_is
    ended: Callable[[Settings], Settings] = _as_it_is

    def settings_files(self, root: Path, memory: Path, domain_file: Path) -> list[SettingsFile]:
        """Return the settings files of a workspace, the one to put our entry into first.

        Args:
            root: The workspace.
            memory: Where is kept what they were before.
            domain_file: What our server serves.
        """
        words = server_entry.command(domain_file)

        def with_ours(settings: Settings) -> Settings:
            return server_entry.with_server(self.begun(settings), self.table, words, self.entry)

        def without_ours(settings: Settings) -> Settings:
            return self.ended(server_entry.without_server(settings, self.table))

        files = sorted(self.files, key=lambda file: not (root / file).exists())
        return [SettingsFile(root / file, memory, self.form, with_ours, without_ours) for file in files]
