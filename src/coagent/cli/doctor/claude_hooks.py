"""Claude Code: whether it is there, and whether its hooks lead to this installation."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.other_version import version_beside
from coagent.cli.doctor.place import Place
from coagent.cli.doctor.programs import said_version
from coagent.cli.doctor.settings import Unreadable, claude_settings
from coagent.gateways.claude.elsewhere import sessions_elsewhere
from coagent.gateways.claude.kept import known_processes

_ABOUT = "hooks"
_INIT = "coagent init"


def installed_client(place: Place) -> Iterator[Finding]:
    """Yield the version of Claude Code, where it is installed."""
    found = said_version(["claude", "--version"])
    if found:
        yield Finding("claude code", "ok", f"version {found}")
    elif place.is_workspace:
        yield Finding("claude code", "note", "the command `claude` is not found on this PATH")


def hooks(place: Place) -> Iterator[Finding]:
    """Yield where the hooks stand, whether they are complete, and whether what they run is there."""
    if not place.is_workspace:
        return
    with_ours: list[Path] = []
    for path, settings in claude_settings(place.root, place.home).items():
        if isinstance(settings, Unreadable):
            yield Finding(_ABOUT, "problem", f"{settings}: Claude Code leaves it out", "Correct it.")
            continue
        if settings.get("disableAllHooks") is True:
            text = f"{path} has disableAllHooks: no session here is governed"
            yield Finding(_ABOUT, "problem", text, "Take it out of there.")
        commands = _our_commands(settings)
        if commands:
            with_ours.append(path)
            yield from _in_one(place, path, settings, commands)
    if not with_ours:
        text = "no settings file of Claude Code has CoAgent's: its sessions here are not governed"
        yield Finding(_ABOUT, "note", text, _INIT)
    elif len(with_ours) > 1:
        named = " and ".join(str(path) for path in with_ours)
        text = f"they stand in {named}: each event of a session is handled twice"
        yield Finding(_ABOUT, "problem", text, f"{_INIT} --remove, then {_INIT}")


def ungoverned(place: Place) -> Iterator[Finding]:
    """Yield the sessions at work here of which no hook tells."""
    if not place.is_workspace:
        return
    for session in sessions_elsewhere(str(place.root), known_processes(place.root)):
        text = (
            f"a session of Claude Code (process {session.pid}) works in {session.folder} and is not governed"
        )
        yield Finding(
            "claude code",
            "warning",
            text,
            f"End it, and start it again in {place.root}; or put the plug-in in: docs/clients.md.",
        )


def _in_one(place: Place, path: Path, settings: dict[str, Any], commands: set[str]) -> Iterator[Finding]:
    wrong = [finding for command in sorted(commands) for finding in _command(path, command)]
    yield from wrong
    lacking = _lacking(place, settings)
    if lacking:
        text = f"{path} is of another version, or was changed since: {', '.join(lacking)}"
        yield Finding(_ABOUT, "warning", text, _INIT)
    elif not wrong:
        yield Finding(_ABOUT, "ok", f"in {path}, complete and of this installation")


def _our_commands(settings: dict[str, Any]) -> set[str]:
    return {str(hook["command"]) for _, _, hook in _entries(settings)}


def _entries(settings: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield event, matcher and entry of each hook of ours."""
    from coagent.gateways.setup.claude_code import MARK

    events = settings.get("hooks")
    for event, groups in (events if isinstance(events, dict) else {}).items():
        for group in groups if isinstance(groups, list) else []:
            entries = group.get("hooks") if isinstance(group, dict) else None
            for hook in entries if isinstance(entries, list) else []:
                if isinstance(hook, dict) and MARK in str(hook.get("command", "")):
                    yield str(event), str(group.get("matcher", "")), hook


def _command(path: Path, command: str) -> Iterator[Finding]:
    """Yield what is wrong with what the hooks run."""
    from coagent.gateways.claude import hook

    python, script = _parts(command)
    if not script:
        yield Finding(_ABOUT, "problem", f"{path} has hooks that this version does not know", _INIT)
        return
    for program, right in ((python, os.X_OK), (script, os.R_OK)):
        if not os.path.isfile(program) or not os.access(program, right):
            text = f"{path} runs {program}, which is not there: sessions are not governed"
            yield Finding(_ABOUT, "problem", text, _INIT)
            return
    ours = Path(hook.__file__).resolve()
    if Path(script).resolve() == ours:
        return
    same = Path(script).read_bytes() == ours.read_bytes()
    version = version_beside(python)
    of = f"of another installation ({version or 'of a version that it does not tell'}, {python})"
    state = f"{path} runs hooks {of}"
    if same:
        yield Finding(_ABOUT, "note", f"{state}, which are as those of this one", f"{_INIT} takes this one")
    else:
        yield Finding(_ABOUT, "warning", f"{state}, which differ from those of this one", _INIT)


def _parts(command: str) -> tuple[str, str]:
    """Return the interpreter and the script of a hook's command; empty where it is not as we write it."""
    from coagent.gateways.setup.claude_code import MARK

    try:
        words = shlex.split(command)
    except ValueError:
        return "", ""
    run = words[words.index("exec") + 1 :] if "exec" in words else []
    scripts = [word.rstrip(";") for word in run if word.rstrip(";").endswith(MARK)]
    return (run[0], scripts[0]) if scripts else ("", "")


def _lacking(place: Place, settings: dict[str, Any]) -> list[str]:
    """Return in what hooks that are there differ from those that `coagent init` would write."""
    from coagent.gateways.setup.claude_code import with_hooks

    if place.domain is None:
        return []

    def as_set(held: dict[str, Any]) -> dict[tuple[str, str], Any]:
        return {(event, matcher): hook.get("timeout") for event, matcher, hook in _entries(held)}

    wanted = as_set(with_hooks({}, place.domain.claude.wait_s))
    there = as_set(settings)
    said = [f"{event} lacks" for event, _ in wanted.keys() - there.keys()]
    said += [f"{event} is not ours to handle" for event, _ in there.keys() - wanted.keys()]
    for event, matcher in wanted.keys() & there.keys():
        needed, given = wanted[event, matcher], there[event, matcher]
        if isinstance(given, int | float) and given < needed:
            said.append(f"{event} is given {given:g} s of {needed:g}")
    return sorted(said)
