"""How a model looks at a workspace: commands in throw-away views that see neither keys nor network."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread

from coagent.content import Content
from coagent.systems.files.workspace import Workspace
from coagent.toolsmith import isolated
from coagent.toolsmith.trial import Trial, Trials

SHOWN_MAX = 4000
"""How much of an output or file a model is shown at once, in characters."""
_LISTED_MAX = 200
_CREDENTIALS = re.compile(r"://[^/\s@]+@")


class IsolatedTrials(Trials):
    """Trials whose commands can read nothing but the workspace and the system's programs."""

    def __init__(self, workspace: Workspace, *, timeout_s: float = 5.0) -> None:
        super().__init__(workspace, timeout_s=min(timeout_s, 5.0))
        self._root = workspace.root

    def run(
        self,
        command: str,
        environment: Mapping[str, str] | None = None,
        begin: Mapping[str, Content | None] | None = None,
        *,
        alter: Callable[[Path], None] | None = None,
    ) -> Trial:
        bash = shutil.which("bash") or "/bin/bash"
        script = shlex.join([sys.executable, "-IS", isolated.__file__, bash, self._root, command])
        return super().run(f"exec {script}", environment, begin, alter=alter)


class Look:
    """Looks at one moment of a workspace for a model, and changes nothing.

    Args:
        workspace: The workspace.
        trials: Entered already.
    """

    def __init__(self, workspace: Workspace, trials: Trials) -> None:
        self._workspace = workspace
        self._trials = trials
        self._one = anyio.Lock()

    async def run_command(self, command: str) -> str:
        """Run a bash command in a throw-away copy of the workspace, without network.

        Args:
            command: The command.
        """
        async with self._one:
            trial = await anyio.to_thread.run_sync(self._trials.run, command)
        end = "it did not end in time" if trial.exit_code is None else f"exit code {trial.exit_code}"
        changed = ", ".join(sorted(trial.changes)[:20])
        return f"{end}\nwould change: {show_text(changed) or 'nothing'}\noutput:\n{show_text(trial.output)}"

    async def files(self) -> list[str]:
        """Return all files of the workspace, as relative paths."""
        return await anyio.to_thread.run_sync(self._trials.files, "")

    async def first_lines(self, file: str, lines: int, length: int) -> str:
        """Return how a file begins; nothing where it is no text or cannot be read.

        Args:
            file: Relative to the workspace.
            lines: How many at most.
            length: How much of it at most, in bytes.
        """
        command = f"head -n {lines} -- {shlex.quote(file)} | head -c {length}"
        async with self._one:
            trial = await anyio.to_thread.run_sync(self._trials.run, command)
        return "" if trial.exit_code or "\0" in trial.output else show_text(trial.output)

    async def list_files(self, folder: str = "") -> str:
        """List the files below a folder of the workspace.

        Args:
            folder: Relative to the workspace; all of it by default.
        """
        place = os.path.normpath(folder or ".")
        if os.path.isabs(place) or place.split("/")[0] == "..":
            return "that is not in the workspace"
        found = await anyio.to_thread.run_sync(self._trials.files, "" if place == "." else place)
        more = f"\n… and {len(found) - _LISTED_MAX} more" if len(found) > _LISTED_MAX else ""
        return show_text("\n".join(found[:_LISTED_MAX])) + more

    async def read_file(self, file: str, offset: int = 0) -> str:
        """Read a part of a file of the workspace.

        Args:
            file: Relative to the workspace.
            offset: Where to begin, in characters.
        """
        return await self.run_command(
            f"tail -c +{max(offset, 0) + 1} -- {shlex.quote(file)} | head -c {SHOWN_MAX}"
        )


def show_text(text: str) -> str:
    """Return a text as a model is shown it: cut to size, without what addresses have before their `@`."""
    plain = _CREDENTIALS.sub("://…@", text)
    return plain if len(plain) <= SHOWN_MAX else f"{plain[:SHOWN_MAX]}\n… cut"
