"""The hooks of Claude Code as a plug-in of it, for people who would rather not have them in settings.

There is no MCP server in it: by that, a session whose own tools are governed would be a second agent, and
wait for itself. The shell prefix cannot be in it, since plug-ins set no environment: `coagent init --client
claude-plugin` sets it, and makes the folder without which the hooks do nothing. Nor do they do anything where
the settings of a workspace have ours too: Claude Code would run both.

Source: Claude Code documentation, "Plugins reference".
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from coagent.config.domain_file import ClaudeTable
from coagent.errors import ConfigurationError
from coagent.gateways.setup import claude_code

NAME = "coagent"
_UNLESS_IN_SETTINGS = (
    f'grep -qs {claude_code.MARK} "$CLAUDE_PROJECT_DIR/.claude/settings.json" '
    '"$CLAUDE_PROJECT_DIR/.claude/settings.local.json" && exit 0; '
)
_MANIFEST, _HOOKS = ".claude-plugin/plugin.json", "hooks/hooks.json"


def make_plugin(folder: Path) -> list[str]:
    """Make the plug-in; it names the CoAgent of this machine.

    Args:
        folder: Where; it is made where it is not there, and may hold an earlier plug-in of ours.

    Returns:
        The files, relative to the folder.

    Raises:
        ConfigurationError: Something else is in the folder, or it cannot be written.
    """
    run = f"{_UNLESS_IN_SETTINGS}{claude_code.command()}"
    files = {_MANIFEST: _manifest(), _HOOKS: claude_code.with_hooks({}, ClaudeTable().wait_s, run)}
    try:
        _require_ours(folder)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{str(folder)!r} cannot be written: {error.strerror}") from None
    return list(files)


def _manifest() -> dict[str, Any]:
    try:
        ours = version("coagent-mtpo")
    except PackageNotFoundError:
        ours = "0"
    return {
        "name": NAME,
        "version": ours,
        "description": "Concurrency control for several agents at work on one tree.",
        "license": "Apache-2.0",
    }


def _require_ours(folder: Path) -> None:
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        if json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["name"] == NAME:
            return
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    raise ConfigurationError(f"{str(folder)!r} holds something else", "Name a folder that is empty, or new.")
