"""Throw-away trials: a command runs in a private view, and what it did is looked at and dropped.

The view is over a snapshot, has no network, and nothing else can be written in it; so looking at a target by
any command whatever changes nothing there. One trial can begin where another ended.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from coagent.content import Content
from coagent.errors import TargetError
from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.views.confined import Confined, Frame, ReadSet
from coagent.systems.shell.views.launch_server import LaunchServer
from coagent.systems.shell.views.overlay import tree_content
from coagent.systems.shell.views.snapshot import Snapshots

OUTPUT_LENGTH_MAX = 30_000
_PRIVATE = (".git", ".coagent")


class Trial(NamedTuple):
    """What a command did.

    Args:
        exit_code: Its exit code; None where it had not ended in time.
        output: What it printed, cut to size.
        changes: The files that are something else than in the workspace, by relative paths; None where they
            are gone.
        unkept: What it made that is no regular file and so could not be undone, and what it changed in the
            git repository of the workspace, which a tool cannot declare.
        seen: What it looked up; None where that is not known.
    """

    exit_code: int | None
    output: str
    changes: dict[str, Content | None]
    unkept: list[str]
    seen: ReadSet | None

    @property
    def effect(self) -> tuple[int | None, str, dict[str, Content | None]]:
        """What makes two runs equal; git's index tells when files were written, and differs always."""
        changes = {path: change for path, change in self.changes.items() if not path.endswith(".git/index")}
        return self.exit_code, self.output.rstrip("\n"), changes


class Trials:
    """Trials over one moment of a workspace; use it as a context manager.

    Args:
        workspace: The workspace.
        timeout_s: How long a command may take, in seconds.
    """

    def __init__(self, workspace: Workspace, *, timeout_s: float = 20.0) -> None:
        self._workspace = workspace
        self._timeout_s = timeout_s
        self._server = LaunchServer()
        self._snapshots = Snapshots(
            workspace.root, Path(workspace.root) / ".coagent" / "snapshots", self._left_out
        )
        self._lower: Path | None = None

    def __enter__(self) -> Self:
        self._lower = self._snapshots.take()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lower is not None:
            self._snapshots.release(self._lower)
        self._lower = None
        self._server.close()
        self._snapshots.close()

    def _left_out(self, path: str) -> bool:
        return path.partition("/")[0] in _PRIVATE or self._workspace.excluded(path)

    def content(self, path: str) -> Content | None:
        """Return what is at a path of the workspace; None where there is nothing, or a folder with files."""
        assert self._lower is not None, "trials are run inside `with`"
        return tree_content(self._lower, path, self._left_out)

    def files(self, under: str = "") -> list[str]:
        """Return the files of the workspace below a folder, as relative paths."""
        assert self._lower is not None, "trials are run inside `with`"
        found = []
        for at, folders, names in os.walk(self._lower / under):
            folders.sort()
            here = os.path.relpath(at, self._lower)
            found += [os.path.normpath(os.path.join(here, name)) for name in sorted(names)]
        return found

    def run(
        self,
        command: str,
        environment: Mapping[str, str] | None = None,
        begin: Mapping[str, Content | None] | None = None,
        *,
        alter: Callable[[Path], None] | None = None,
    ) -> Trial:
        """Run a command and drop all that it did.

        Args:
            command: For bash.
            environment: Variables beside those that every command has.
            begin: Files that are something else than in the workspace when it begins.
            alter: Called with the folder of the trial before it runs.

        Raises:
            TargetError: No view can be made.
        """
        assert self._lower is not None, "trials are run inside `with`"
        root = self._workspace.root
        frame = Frame(root)
        view = Confined(frame, self._lower, self._server.scratch(frame), left_out=self._left_out)
        try:
            view.prepare(dict(begin or {}))
            dates = {"GIT_AUTHOR_DATE": _DATE, "GIT_COMMITTER_DATE": _DATE}  # so that two runs are equal
            variables = {**plain_environment(), **dates, **(environment or {})}
            view.spec(["bash", "-c", command], root, variables)
            exit_code: int | None = None
            with tempfile.TemporaryFile() as output:
                try:
                    exit_code = self._server.run(view, output, self._timeout_s)
                except TimeoutError:
                    return Trial(None, "", {}, [], None)
                output.seek(0)
                text = output.read(OUTPUT_LENGTH_MAX).decode("utf-8", "replace")
            begun, seen = view.outcome()
            if not begun:
                raise TargetError(f"no view of the workspace could be made: {text.strip()}")
            changes = {**(begin or {}), **view.changes()}
            changes = {path: change for path, change in changes.items() if change != self.content(path)}
            return Trial(exit_code, text, changes, [*view.lost(), *_moved(view.git_layer)], seen)
        finally:
            view.remove()


def _moved(layer: Path) -> list[str]:
    """Return what a command has changed in the git folder, but for what questions to git leave there too.

    Args:
        layer: What lies over the git folder.
    """
    found = [
        os.path.relpath(os.path.join(at, name), layer) for at, _, names in os.walk(layer) for name in names
    ]
    objects = any(path.startswith("objects/") for path in found)  # else the index was only refreshed
    return sorted(
        f".git/{path}" for path in found if not path.startswith("objects/") and (objects or path != "index")
    )


_DATE = "2000-01-01T00:00:00Z"
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")


def plain_environment() -> dict[str, str]:
    """Return what of our environment a grown tool gets: nothing that may be secret or change what it does."""
    return {name: value for name, value in os.environ.items() if name in _KEPT}
