"""Claude Code in a workspace: its hooks, its shell prefix, and the script that this one names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coagent.errors import ConfigurationError
from coagent.gateways.setup import claude_code, shell_prefix, shell_script
from coagent.gateways.setup.forms import PLAIN_JSON
from coagent.gateways.setup.settings_file import Planned, SettingsFile
from coagent.private import private_folder, write_private

FOLDER = ".claude"
LOCAL, SHARED = "settings.local.json", "settings.json"
_HAD_FOLDER = "had-claude-folder"
_CHAINED = "chained-prefix"


@dataclass(frozen=True)
class ClaudeCode:
    """Claude Code in a workspace.

    Args:
        root: The workspace.
        memory: Where is kept what was there before.
    """

    root: Path
    memory: Path

    @property
    def made(self) -> list[str]:
        """What is of this machine alone, relative to the workspace, where we have made it."""
        if not self._script.exists() and not self._file(LOCAL, 0.0, hooks=False, prefix=False).known:
            return []
        return [f"{FOLDER}/{LOCAL}", f"{FOLDER}/{shell_script.SCRIPT}"]

    def put_in(self, wait_s: float, *, hooks: bool = True, shared: bool = False) -> tuple[list[Planned], str]:
        """Check that our hooks and our prefix can be put in.

        Args:
            wait_s: How long a session that has ended its turn may wait for others.
            hooks: Whether the hooks go into settings; else a plug-in has them.
            shared: Whether they go into the settings that a team shares.

        Returns:
            The changes that do so, and what a person is told, if anything.

        Raises:
            ConfigurationError: A settings file is wrong, or cannot be written; nothing is changed.
        """
        choice = shell_prefix.choose(self.root)
        files = []
        local = hooks and not shared
        if choice.ours or local:
            files.append(self._file(LOCAL, wait_s, hooks=local, prefix=choice.ours))
        if hooks and shared:
            files.append(self._file(SHARED, wait_s, hooks=True, prefix=False))
        planned = [change for change in (file.put_in() for file in files) if change is not None]
        if choice.ours:
            planned.insert(0, Planned(self._script, lambda: self._write_script(choice)))
        return planned, choice.said

    def take_out(self) -> list[Planned]:
        """Check that all that we have put in can be taken out.

        Returns:
            The changes that do so.

        Raises:
            ConfigurationError: A settings file is wrong, or cannot be written; nothing is changed.
        """
        files = [self._file(name, 0.0, hooks=True, prefix=False) for name in (LOCAL, SHARED)]
        planned = [change for change in (file.take_out() for file in files) if change is not None]
        if self._script.is_file():
            planned.append(Planned(self._script, self._remove_script))
        return planned

    def note_folder(self) -> None:
        """Keep in mind whether the folder of Claude Code's settings is there without us."""
        if (self.root / FOLDER).is_dir() and not self.made:
            write_private(private_folder(self.memory) / _HAD_FOLDER, "")

    def remove_folder(self) -> None:
        """Remove that folder, if we have made it and nothing is left in it."""
        folder = self.root / FOLDER
        if folder.is_dir() and not any(folder.iterdir()) and not (self.memory / _HAD_FOLDER).exists():
            folder.rmdir()

    @property
    def _script(self) -> Path:
        return self.root / FOLDER / shell_script.SCRIPT

    def _file(self, name: str, wait_s: float, *, hooks: bool, prefix: bool) -> SettingsFile:
        def with_ours(settings: dict[str, Any]) -> dict[str, Any]:
            settings = claude_code.with_prefix(settings, self._script) if prefix else settings
            return claude_code.with_hooks(settings, wait_s) if hooks else claude_code.without_hooks(settings)

        def without_ours(settings: dict[str, Any]) -> dict[str, Any]:
            return claude_code.without_hooks(claude_code.without_prefix(settings, self._chained()))

        return SettingsFile(self.root / FOLDER / name, self.memory, PLAIN_JSON, with_ours, without_ours)

    def _chained(self) -> str:
        known = self.memory / _CHAINED  # on a second run, ours has taken its place
        return known.read_text(encoding="utf-8") if known.is_file() else ""

    def _write_script(self, choice: shell_prefix.Choice) -> bool:
        if choice.chained and choice.local:
            write_private(private_folder(self.memory) / _CHAINED, choice.chained)
        return shell_script.write(
            self._script, shell_script.text(self.root, choice.chained or self._chained())
        )

    def _remove_script(self) -> bool:
        try:
            self._script.unlink()
        except OSError as error:
            raise ConfigurationError(f"{str(self._script)!r} cannot be removed: {error.strerror}") from None
        return True
