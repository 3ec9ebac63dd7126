"""What lies over the real git folder is made once for what it holds, and a command shows what it changed."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from conftest_sandbox import git

from coagent.overlay_layers import put_over
from coagent.systems.git.calls import GitCalls, RepositoryState, RepositoryView
from coagent.systems.git.layer import is_untouched
from coagent.systems.git.references import PREFIX
from coagent.systems.git.seeded_layers import SeededLayers
from coagent.systems.shell.views.confined import Confined, Frame
from coagent.systems.shell.views.snapshot import Snapshots

_ME = "gitdir:A"


class _Calls:
    """Begins commands of one agent in a repository, and ends them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.snapshots = Snapshots(str(root), root / ".coagent/snapshots", lambda path: path[:1] == ".")
        self.lower = self.snapshots.take()
        self.git = GitCalls(str(root), self.snapshots, lambda path: path[:1] == ".")
        self._views = 0

    def begin(self, looks: str = "", **shared: object) -> tuple[Confined, RepositoryView]:
        self._views += 1
        view = Confined(Frame(str(self.root)), self.lower, self.root.parent / f"view{self._views}")
        known = {f"{PREFIX}{name.replace('__', '/')}": value for name, value in shared.items()}
        state = RepositoryState(_ME, known, frozenset(), time.time())
        return view, self.git.begin(state, view, {}, True, looks)


def test_a_folder_is_made_anew_only_for_what_is_otherwise(workspace: Path) -> None:
    calls = _Calls(workspace)
    commit = git(workspace, "rev-parse", "HEAD").strip()
    folders = [calls.begin()[1].seeded.folder, calls.begin()[1].seeded.folder]
    assert folders[0] == folders[1]
    folders.append(calls.begin(refs__heads__other=commit)[1].seeded.folder)
    git(workspace, "tag", "v1")
    folders.append(calls.begin()[1].seeded.folder)
    git(workspace, "config", "color.ui", "false")
    folders.append(calls.begin()[1].seeded.folder)
    (workspace / ".git/refs/stash").write_text(f"{commit}\n")  # a person's: no agent is to see it
    folders.append(calls.begin()[1].seeded.folder)
    assert len(set(folders)) == 5
    assert stat.S_ISCHR((folders[-1] / "refs/stash").lstat().st_mode)
    assert calls.git.seeded.made == 5
    calls.snapshots.close()


def test_what_a_command_has_changed_is_found_over_what_was_laid(workspace: Path) -> None:
    calls = _Calls(workspace)
    view, git_view = calls.begin()
    view.git_layer.mkdir(parents=True)
    (view.git_layer / "refs").mkdir()
    assert view.git_changes() is None
    assert calls.git.end(view, git_view) == ({}, [])
    (view.git_layer / "refs/heads").mkdir()
    (view.git_layer / "refs/heads/new").write_text(f"{git_view.refs['refs/heads/main']}\n")
    os.mknod(view.git_layer / "ORIG_HEAD", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    writes, _ = calls.git.end(view, git_view)
    assert writes[f"{PREFIX}refs/heads/new"] == git_view.refs["refs/heads/main"]
    assert (git_view.seeded.folder / "HEAD").read_text() == "ref: refs/heads/main\n"
    calls.snapshots.close()


def test_a_folder_in_use_is_kept_and_the_oldest_others_are_not(tmp_path: Path) -> None:
    folders = SeededLayers()

    def make(place: Path) -> dict[str, None]:
        place.mkdir()
        return {}

    first = folders.take(0, make)
    for key in range(1, 40):
        folders.release(folders.take(key, make))
    assert first.folder.is_dir()
    assert len(list(folders.folder.iterdir())) == 17
    folders.release(first)
    assert not first.folder.exists()
    assert folders.take(39, make).folder.is_dir()
    assert folders.made == 40


@pytest.mark.parametrize("name", ["file", "folder", "link", "whiteout"])
def test_what_lies_above_hides_what_lies_below(tmp_path: Path, name: str) -> None:
    below, above, both = tmp_path / "below", tmp_path / "above", tmp_path / "both"
    for place in (below, above, both):
        place.mkdir()
    (below / "x").mkdir()
    (below / "x/old").write_text("old")
    (below / "kept").write_text("kept")
    match name:
        case "file":
            (above / "x").write_text("new")
        case "folder":
            (above / "x").mkdir()
            (above / "x/new").write_text("new")
        case "link":
            (above / "x").symlink_to("kept")
        case _:
            os.mknod(above / "x", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    put_over(below, both)
    put_over(above, both)
    assert (both / "kept").read_text() == "kept"
    assert stat.S_IFMT((both / "x").lstat().st_mode) == stat.S_IFMT((above / "x").lstat().st_mode)
    assert (both / "x/old").exists() == (name == "folder")
    assert (below / "x/old").read_text() == "old"
    assert not is_untouched(above)


def test_an_emptied_folder_is_a_change_and_one_that_was_only_looked_at_is_none(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    assert is_untouched(upper)
    (upper / "refs").mkdir(parents=True)
    assert is_untouched(upper)
    os.setxattr(upper / "refs", "user.overlay.opaque", b"y")
    assert not is_untouched(upper)
