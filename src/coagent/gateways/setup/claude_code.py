"""The hooks of Claude Code, in its settings: put in beside those that are there, and taken out again.

Source: Claude Code documentation, "Hooks reference" and "Settings".
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from coagent.gateways.claude import hook
from coagent.gateways.setup.entries import list_in, table_in
from coagent.gateways.setup.shell_script import PREFIX, SCRIPT

MARK = "coagent/gateways/claude/hook.py"
"""What tells our hooks from others'."""
# As a module it need not be compiled each time.
_RUN = f"import sys; sys.path.append(sys.argv[1][:-{len('/hook.py')}]); import hook; hook.main()"
_TOOLS_BEFORE = "Read|Edit|Write|NotebookEdit|Bash"
_TOOLS_AFTER = "Read|Edit|Write|NotebookEdit|Glob|Grep|Bash"
_HOOK_S_MAX = 150
_STOP_MARGIN_S = 30
_GONE = (
    '{"systemMessage":"CoAgent is not installed here any more, and does not govern this session: '
    'take its hooks out of the settings, or run coagent init again."}'
)


def command(python: str = sys.executable) -> str:
    """Return the shell command of all hooks; where CoAgent is gone it says so, and lets the session go on."""
    script = str(Path(hook.__file__).resolve())
    ours = f"{shlex.quote(python)} -IS -c {shlex.quote(_RUN)} {shlex.quote(script)}"
    there = f"[ -x {shlex.quote(python)} ] && [ -f {shlex.quote(script)} ]"
    return f"if {there}; then exec {ours}; fi; echo {shlex.quote(_GONE)}"


def with_hooks(settings: dict[str, Any], wait_s: float, run: str | None = None) -> dict[str, Any]:
    """Return settings with our hooks.

    Args:
        settings: What is there.
        wait_s: How long a session that has ended its turn may wait for others.
        run: The shell command of the hooks.

    Raises:
        WrongEntry: What is there is not what Claude Code expects.
    """
    run = run or command()
    settings = without_hooks(settings)
    hooks = table_in(settings, "hooks")
    for event, matcher, timeout_s in (
        ("SessionStart", None, _HOOK_S_MAX),
        ("UserPromptSubmit", None, _HOOK_S_MAX),
        ("PreToolUse", _TOOLS_BEFORE, _HOOK_S_MAX),
        ("PostToolUse", _TOOLS_AFTER, _HOOK_S_MAX),
        ("PostToolUseFailure", _TOOLS_AFTER, _HOOK_S_MAX),
        ("PostToolBatch", None, _HOOK_S_MAX),
        ("SubagentStart", None, _HOOK_S_MAX),
        ("SubagentStop", None, _HOOK_S_MAX),
        ("Stop", None, int(wait_s) + _STOP_MARGIN_S),
        ("SessionEnd", None, _HOOK_S_MAX),
    ):
        group: dict[str, Any] = {} if matcher is None else {"matcher": matcher}
        group["hooks"] = [{"type": "command", "command": run, "timeout": timeout_s}]
        list_in(hooks, event).append(group)
    return settings


def without_hooks(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without our hooks; what else is there stays."""
    hooks = settings.get("hooks")
    if not isinstance(hooks, dict):
        return settings
    for event in list(hooks):
        groups = hooks[event]
        if not isinstance(groups, list) or not any(_is_ours(group) for group in groups):
            continue
        hooks[event] = [left for left in (_without_ours(group) for group in groups) if left is not None]
        if not hooks[event]:
            del hooks[event]
            if not hooks:
                del settings["hooks"]
    return settings


def with_prefix(settings: dict[str, Any], script: Path) -> dict[str, Any]:
    """Return settings by which Bash commands are run by our script.

    Args:
        settings: What is there.
        script: The script.
    """
    table_in(settings, "env")[PREFIX] = str(script)
    return settings


def without_prefix(settings: dict[str, Any], chained: str) -> dict[str, Any]:
    """Return settings without our script; what else is there stays.

    Args:
        settings: What is there.
        chained: The prefix that was there before; none where that is empty.
    """
    env = settings.get("env")
    if not isinstance(env, dict) or not is_our_prefix(str(env.get(PREFIX, ""))):
        return settings
    if chained:
        env[PREFIX] = chained
        return settings
    del env[PREFIX]
    if not env:
        del settings["env"]
    return settings


def is_our_prefix(value: str) -> bool:
    """Tell whether a shell prefix is our script."""
    return value.rpartition("/")[2] == SCRIPT


def _is_ours(group: Any) -> bool:
    entries = group.get("hooks", []) if isinstance(group, dict) else []
    return any(_is_our_hook(entry) for entry in entries)


def _without_ours(group: Any) -> Any:
    """Return a group without our hook; None where nothing is left."""
    if not _is_ours(group):
        return group
    left = [hook for hook in group["hooks"] if not _is_our_hook(hook)]
    return {**group, "hooks": left} if left else None


def _is_our_hook(entry: Any) -> bool:
    return isinstance(entry, dict) and MARK in str(entry.get("command", ""))
