"""What a command has looked up in its view, as reads of its call.

Every path that it has asked for is read, what it has not found among them. That a folder is there depends on
what is in it, so one thing in it is read, by its name; and where a path was not there because a folder above
it was not, that folder is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from coagent.content import EMPTY_FOLDER, Content, above
from coagent.systems.shell.tree_values import SCHEMES, scheme_of
from coagent.systems.shell.views.confined import Confined, ReadSet
from coagent.tools.state import State

_PREFIXES_MAX = 500
_OTHER_PREFIXES_MAX = 25
"""Modes, links and empty folders change rarely: what was seen of them is told in larger pieces."""


def record(
    state: State,
    seen: ReadSet | None,
    view: Confined,
    changes: Mapping[str, Content | None],
    left_out: Callable[[str], bool],
) -> None:
    """Make what a command has seen the reads of its call.

    Args:
        state: Of the call.
        seen: What it has looked up; None where that is not known: then it has read everything.
        view: In which it ran.
        changes: What it has changed there.
        left_out: Tells of a relative path whether it is no part of the workspace.
    """
    if seen is None:
        for scheme in SCHEMES:
            state.trace(f"{scheme}:")
        return
    reads = _Reads(view)
    for path in seen.looked_up | seen.opened:
        if not left_out(path):
            reads.add(path, opened=path in seen.opened)
    emptied = {path for path in seen.emptied if not left_out(path)}
    reads.missing_in |= {path.rpartition("/")[0] for path in emptied}
    reads.others |= emptied  # whatever the file held: it was no link, and no folder
    reads.contents |= {f"{path}/" for path in view.folders_gone() if not left_out(path)}
    reads.add_folders_above()
    reads.add_folders_left(changes)
    for prefix in reads.listed | _few({f"{path}/" for path in emptied}, _PREFIXES_MAX):
        state.trace(f"{scheme_of(prefix)}:{prefix}", "name")
    for prefix in _few(reads.contents, _PREFIXES_MAX):
        state.trace(f"{scheme_of(prefix)}:{prefix}")
    for prefix in _few(reads.contents | reads.others, _OTHER_PREFIXES_MAX):
        for scheme in ("mode", "link", "folder"):
            state.trace(f"{scheme}:{prefix}")


@dataclass
class _Reads:
    """Prefixes of what was read.

    Args:
        view: As it was when the command began.
        contents: Files with their contents, or paths where nothing is.
        listed: Of these, only which files there are.
        others: What was seen of folders and links, beside `contents`.
        missing_in: Folders in which something was looked up that is not there, or made.
    """

    view: Confined
    contents: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    missing_in: set[str] = field(default_factory=set)

    def add(self, path: str, *, opened: bool) -> None:
        kind = self.view.kind_before(path)
        if kind != "folder":
            self.contents.add(path)
            if kind == "nothing":
                self.missing_in.add(path.rpartition("/")[0])
            return
        if opened:
            prefix = f"{path}/" if path else ""
            self.listed.add(prefix)
            self.others.add(prefix)
        self._add_folder(path, opened=opened)

    def _add_folder(self, path: str, *, opened: bool = False) -> None:
        """Take for read that a folder is there.

        Folders are no objects of their own: src is there since src/a.py is. So `test -d src` has read that
        src/a.py exists. An earlier agent that deletes it, and with it the folder, changes that; one that
        adds src/b.py, or edits src/a.py, does not.
        """
        if not path:
            return
        inside = self.view.one_below(path)
        if inside is None:
            self.others.add(path)
        elif inside[1] != "file":
            self.others.add(inside[0])
        elif not opened:
            self.listed.add(inside[0])

    def add_folders_above(self) -> None:
        """Take for read whether the folders are there in which something was missing."""
        done: set[str] = set()
        for folder in self.missing_in:
            while folder and folder not in done:
                done.add(folder)
                kind = self.view.kind_before(folder)
                if kind == "folder":
                    self._add_folder(folder)
                    break
                self.contents.add(folder)
                folder = folder.rpartition("/")[0]

    def add_folders_left(self, changes: Mapping[str, Content | None]) -> None:
        """Take for read why folders are empty now, or still are not, that something was taken out of."""
        done: set[str] = set()
        for path in (path for path, after in changes.items() if after is None):
            for folder in reversed(above(path)):
                if folder in done:
                    break
                done.add(folder)
                if changes.get(folder) == EMPTY_FOLDER:
                    self.listed.add(f"{folder}/")
                    self.others.add(f"{folder}/")
                    break
                kept = next(self.view.below_before(folder, without=changes), None)
                if kept is not None:
                    (self.listed if kept[1] == "file" else self.others).add(kept[0])
                    break


def _few(paths: Iterable[str], most: int) -> set[str]:
    """Return prefixes that cover the paths, a bounded number of them: folders where there are many."""
    found = set(paths)
    depth = max((path.count("/") for path in found), default=0)
    while len(found) > most:
        found = {
            f"{'/'.join(path.split('/')[:depth])}/" if path.count("/") >= depth else path for path in found
        }
        if depth == 0:
            return {""}
        depth -= 1
    return found
