"""A command that runs beside its agent's other work: a server, a build that watches files, a long test.

It has a view of its own, as every command, but one that is kept up to date: what its agent, and whoever comes
before, writes later is put into it by the mount that the command itself sees, so that programs which watch
files hear of it. And what it writes is taken over from time to time, since its end may never come.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeAlias

from coagent.content import Content, above, content_at, put_content
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.scratch import remove_tree
from coagent.systems.shell.command_run import Command, CommandRun
from coagent.systems.shell.tree_values import contents
from coagent.systems.shell.views.confined import Confined
from coagent.systems.shell.views.launch_server import LaunchServer

Written: TypeAlias = dict[str, tuple[Content | None, Content | None]]
"""Relative paths to what the agent knows to be there, and what a command has made of it."""
_Look: TypeAlias = list[tuple[str, int, int, int]]


class Beside:
    """One such command; its methods take turns, in whatever threads.

    Args:
        command: As it runs for its client.
        server: Begins it.
        left_out: Tells of a relative path whether it is no part of the workspace.
    """

    def __init__(self, command: Command, server: LaunchServer, left_out: Callable[[str], bool]) -> None:
        self.command = command
        self.run: CommandRun | None = None
        """Its run, once its view has been given to it."""
        self.taken = 0
        """The generation of the snapshot of the tree that its view is up to."""
        self._server = server
        self._left_out = left_out
        self._known: dict[str, Content | None] = {}  # what is in the view, where it is not as it began
        self._written: dict[Key, Value] | None = None
        self._late: set[str] = set()  # what could not be shown yet
        self._quiet: _Look | None = None
        self._held = -1
        self._lock = threading.Lock()

    @property
    def begun(self) -> CommandRun:
        """Its run, which has been given its view."""
        assert self.run is not None
        return self.run

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return bool(self.begun.answer)

    def interrupt(self) -> None:
        """End it, since its client has gone."""
        if self.run is not None:
            self.run.interrupt(self._server)

    def written(self, *, quickly: bool = False) -> Written:
        """Return what it has written that has not been taken over.

        Args:
            quickly: Whether to read no file where none seems to have changed since there was nothing.

        Raises:
            OSError: Something cannot be read, is too large, or has gone while it was read.
        """
        view = self.begun.view
        if view is None:
            return {}
        with self._lock:
            look = _look(view.scratch / "upper")
            if quickly and look == self._quiet:
                return {}
            now = view.changes()
            found: Written = {}
            for path in (*now, *(self._known.keys() - now.keys())):
                begun = view.before(path)
                known, content = self._known.get(path, begun), now.get(path, begun)
                if known != content:
                    found[path] = known, content
            self._quiet = None if found else look
            return found

    def taken_over(self, written: Written) -> None:
        """Say that its agent has heard of what it has written."""
        with self._lock:
            self._known |= {path: content for path, (_, content) in written.items()}
            self._late |= written.keys()  # what of it does not stand is to be shown otherwise

    def stamps(self, paths: Collection[str]) -> dict[str, int]:
        """Return when files of its view were changed, in nanoseconds since the epoch."""
        view = self.begun.view
        return {} if view is None else {path: view.changed_ns(path) for path in paths}

    def is_behind(self, generation: int, written: Mapping[Key, Value]) -> bool:
        """Tell whether its view may have to be brought up to date."""
        behind = generation != self.taken or bool(self._late) or written != self._written
        return behind and self.begun.view is not None

    def show(
        self,
        root: Path,
        lower: Path,
        generation: int,
        changed: Collection[str] | None,
        written: dict[Key, Value],
    ) -> None:
        """Bring its view up to date.

        Args:
            root: The workspace.
            lower: A snapshot of it.
            generation: That of the snapshot.
            changed: What has changed in the workspace since the last one; None where that is not known.
            written: What agents have written, as it is at its agent's place.
        """
        view = self.begun.view
        assert view is not None
        with self._lock:
            place = self._place(root)
            if place is None:
                return  # its view is yet to be mounted, or it has ended

            def there(path: str) -> Content | None:
                return view.content_below(lower, path)

            before = self.begun.context.written if self._written is None else self._written
            paths = {key.partition(":")[2] for key in before} | self._late
            paths |= _all(lower) if changed is None else set(changed)
            shown = {path: there(path) for path in paths} | contents(written, there)[0]
            differing = {
                path: content
                for path, content in shown.items()
                if content != self._known.get(path, view.before(path))
            }
            self._late.clear()
            for path in sorted(differing, key=lambda path: (differing[path] is not None, path)):
                # What the command has written just now is taken over first.
                name = None if view.large is None else view.large.name
                now = content_at(place / path, view.file_bytes_max, name)
                if now == self._plain(path) and _put(place, path, differing[path], view):
                    self._known[path] = differing[path]
                else:
                    self._late.add(path)
            if differing:
                self._know_folders(differing)
            self.taken, self._written = generation, written

    def _plain(self, path: str) -> Content | None:
        view = self.begun.view
        assert view is not None
        known = self._known.get(path, view.before(path))
        return None if known is None or known.kind == "folder" else known

    def _know_folders(self, paths: Collection[str]) -> None:
        """Note which folders are empty by now, or no more: not the command has made them so."""
        view = self.begun.view
        assert view is not None
        with contextlib.suppress(OSError):
            now = view.changes()
            for path in {folder for changed in paths for folder in above(changed)}:
                begun = view.before(path)
                if path in self._known or now.get(path, begun) != begun:
                    self._known[path] = now.get(path, begun)

    def _place(self, root: Path) -> Path | None:
        """Return where its view can be written, as it sees it itself; None where that is not mounted."""
        if self._held < 0:
            view = self.begun.view
            process = None if view is None else self._server.process(view.scratch)
            if process is None:
                return None
            with contextlib.suppress(OSError):
                held = os.open(f"/proc/{process}/root{root}", os.O_PATH | os.O_DIRECTORY)
                if os.fstat(held).st_dev == os.stat(root).st_dev:  # this is the workspace itself
                    os.close(held)
                else:
                    self._held = held
        return None if self._held < 0 else Path(f"/proc/self/fd/{self._held}")

    def close(self) -> None:
        """Let go of its view."""
        with self._lock:
            if self._held >= 0:
                os.close(self._held)
            self._held = -1


def _put(place: Path, path: str, content: Content | None, view: Confined) -> bool:
    """Have a path of a view hold something; returns whether it does."""
    if any((place / folder).is_symlink() for folder in above(path)):
        return content is None  # it is reached by a link: it has another name
    there = place / path
    try:
        if there.is_dir() and not there.is_symlink() and (content is None or content.kind != "folder"):
            if content is None:
                with contextlib.suppress(OSError):  # something else is in it
                    there.rmdir()
                return True
            remove_tree(there)
        if content is not None:
            if content.kind == "folder" or there.is_symlink():
                there.unlink(missing_ok=True) if not there.is_dir() or there.is_symlink() else None
            put_content(there, content, view.put_large)
            return True
        there.unlink(missing_ok=True)
        for folder in reversed(above(path)):
            (place / folder).rmdir()
    except OSError:
        return not os.path.lexists(there) if content is None else False
    return True


def _look(folder: Path) -> _Look:
    """Return what tells whether something in a folder has changed, without a look into files."""
    found: _Look = []
    for at, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):
                status = os.lstat(f"{at}/{name}")
                found.append((f"{at}/{name}", status.st_ino, status.st_ctime_ns, status.st_size))
    return found


def _all(folder: Path) -> set[str]:
    """Return the relative paths of all files and links in a folder."""
    return {
        os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names
    }
