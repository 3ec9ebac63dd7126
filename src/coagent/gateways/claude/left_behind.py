"""What commands had done whose daemon was killed: it lies in their views, and is taken over by the next one.

A note of each command that runs is kept beside the log. The command itself ends with its daemon.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from coagent.errors import CoAgentError
from coagent.gateways.claude.in_tree import COMMAND_SHOWN_MAX
from coagent.private import private_folder, write_private
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent.scratch import keep_when_left, remove_left
from coagent.systems.files.changes import file_change, record_changes
from coagent.systems.shell.commands import CommandRunner
from coagent.systems.shell.tree_values import SCHEMES, values
from coagent.systems.shell.views.confined import Confined
from coagent.wording.notices import listed

_END_S_MAX = 10.0
"""How long a command may take to end after its daemon has."""
_POLL_S = 0.02
_KILLED = 137


class Notes:
    """Notes of the commands that run.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)

    def begun(self, run: str, command: str, agent: str, view: Confined) -> None:
        """Note that a command begins; where there is no room for that, it goes on without.

        Args:
            run: Names its run.
            command: The command.
            agent: The name of its agent.
            view: Its view.
        """
        note = {
            "command": command,
            "agent": agent,
            "scratch": str(view.scratch),
            "shown": view.prepared_state(),
        }
        with contextlib.suppress(OSError):
            keep_when_left()
            write_private(self._place(run), json.dumps(note))

    def over(self, run: str) -> None:
        """Note that a command has ended, and that what it did is on record."""
        self._place(run).unlink(missing_ok=True)

    def left(self) -> dict[str, dict[str, Any]]:
        """Return the notes by the names of their runs."""
        found = {}
        for place in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                found[place.stem] = json.loads(place.read_text())
        return found

    def _place(self, run: str) -> Path:
        return self._folder / f"{run}.json"


async def taken_over(
    notes: Notes,
    domain: Domain,
    runner: CommandRunner,
    agent_of: Callable[[str], Awaitable[AgentSession]],
    is_known: Callable[[str], bool],
) -> dict[str, dict[str, Any]]:
    """Take over what the commands of a daemon that has died had done.

    Args:
        notes: Of them.
        domain: The domain.
        runner: Of its commands.
        agent_of: Returns the agent that a name stands for by now.
        is_known: Tells of a run whether what it did is on record.

    Returns:
        What the clients are to be told, by run.
    """
    found: dict[str, dict[str, Any]] = {}
    folders = set()
    for run, note in notes.left().items():
        scratch = Path(note["scratch"])
        if not is_known(run):
            agent = await agent_of(note["agent"])
            found[run] = await _one(domain, runner, agent, scratch, note)
        notes.over(run)
        folders.add(scratch.parent)
    for folder in folders:
        await anyio.to_thread.run_sync(remove_left, folder)
    return found


async def _one(
    domain: Domain, runner: CommandRunner, agent: AgentSession, scratch: Path, note: dict[str, Any]
) -> dict[str, Any]:
    what = f"Bash {note['command'][:COMMAND_SHOWN_MAX]!r}"
    try:
        code = await anyio.to_thread.run_sync(_code, scratch)
        written = {
            key: value
            for scheme in SCHEMES
            for key, value in domain.kernel.written_under(f"{scheme}:", agent.position)
        }
        changes = await anyio.to_thread.run_sync(_changes, runner, scratch, written, note["shown"])
        if changes:
            await agent.call(record_changes.name, what=what, changes=changes)
    except (CoAgentError, OSError) as failure:
        return {
            "exit_code": 1,
            "says": f"{_DIED}. What it had changed in the workspace could not be kept ({failure}): look at "
            "what is there, and run it again.",
        }
    names = listed(sorted({str(change["key"]).partition(":")[2] for change in changes}))
    kept = f"What it had changed is kept: {names}." if names else "It had changed nothing in the workspace."
    end = "which had ended by itself" if code is not None else "and the command with it"
    return {
        "exit_code": _KILLED if code is None else code,
        "says": f"{_DIED}, {end}. {kept} What it did in git is not: look at what is there before you go on.",
    }


_DIED = "coagent: the daemon of this workspace died while this command ran"


def _code(scratch: Path) -> int | None:
    """Wait until a command has ended with its daemon; return its exit code where it had one."""
    until = time.monotonic() + _END_S_MAX
    if not (scratch / "trace").exists() and scratch.is_dir():
        return None  # it had not begun
    with open(scratch / "trace", "rb") as report:
        while True:
            try:
                fcntl.flock(report, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(_POLL_S)
        text = report.read()
    return int(json.loads(text)["code"]) if text else None


def _changes(
    runner: CommandRunner, scratch: Path, written: dict[Any, Any], shown: dict[str, list[int]]
) -> list[dict[str, Any]]:
    view, _ = runner.left_view(scratch, written)
    found: list[dict[str, Any]] = []
    for path, content in view.changes().items():
        if path in shown and list(view.identity(path)) == shown[path]:
            continue  # it was shown so, and others have changed it since
        before = view.before(path)
        known = dict(values(path, None, before))
        found += [file_change(key, known.get(key), value) for key, value in values(path, before, content)]
    return found
