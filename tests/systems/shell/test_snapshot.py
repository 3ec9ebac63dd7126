"""Snapshots hold the tree as it was when they were taken, whatever was done to it since the last one."""

from __future__ import annotations

import os
import random
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coagent.errors import TargetError
from coagent.folder_watch import FolderWatch
from coagent.systems.shell.views.snapshot import Snapshots

_NAMES = ("a", "b", "c", "left")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="events come from inotify(7)")


def _left_out(path: str) -> bool:
    return "left" in path.split("/")


def _snapshots(root: Path) -> Snapshots:
    return Snapshots(str(root), root.parent / "snapshots", _left_out)


def _is(tree: Path) -> dict[str, object]:
    """Return all that is in a tree and not left out: kinds, modes, contents."""
    found: dict[str, object] = {}
    for at, folders, names in os.walk(tree):
        for name in (*folders, *names):
            place = Path(at) / name
            path = place.relative_to(tree).as_posix()
            mode = place.lstat().st_mode
            if _left_out(path):
                continue
            if stat.S_ISLNK(mode):
                found[path] = ("link", os.readlink(place))
            elif stat.S_ISDIR(mode):
                found[path] = ("folder", stat.S_IMODE(mode))
            else:
                found[path] = ("file", stat.S_IMODE(mode), place.read_bytes())
        folders[:] = [name for name in folders if name != "left"]
    return found


def _some_place(root: Path, chance: random.Random) -> Path:
    return root.joinpath(*(chance.choice(_NAMES) for _ in range(chance.randint(1, 3))))


def _gone(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _change(root: Path, chance: random.Random, number: int) -> None:
    """Do one of the things that programs do to trees."""
    place, other = _some_place(root, chance), _some_place(root, chance)
    what = chance.choice(("write", "write", "folder", "link", "remove", "move", "rights", "again", "copy"))
    if any(not one.parent.is_dir() or one.parent.resolve() != one.parent for one in (place, other)):
        return  # nothing to do it in, or only by way of a link
    free = not os.path.lexists(other) and not f"{other}/".startswith(f"{place}/")
    if what == "write" and (not os.path.lexists(place) or place.is_file()):
        fresh = root.parent / "fresh"
        fresh.write_text(f"{number}")
        fresh.replace(place)
    elif what == "folder" and not os.path.lexists(place):
        place.mkdir()
    elif what == "link" and not os.path.lexists(place):
        place.symlink_to(chance.choice(_NAMES))
    elif what == "remove":
        _gone(place)
    elif what == "move" and os.path.lexists(place):
        if not f"{other}/".startswith(f"{place}/") and not f"{place}/".startswith(f"{other}/"):
            _gone(other)
            place.rename(other)
    elif what == "rights" and os.path.lexists(place) and not place.is_symlink():
        mode = chance.choice((0o755, 0o700))
        if place.is_dir():
            place.chmod(mode)
        else:  # as CoAgent does, since a snapshot has the same file
            fresh = root.parent / "fresh"
            shutil.copy2(place, fresh)
            fresh.chmod(mode)
            fresh.replace(place)
    elif what == "again" and place.is_dir() and not place.is_symlink():  # another one of the same name
        shutil.rmtree(place)
        place.mkdir()
        (place / "a").write_text(f"again {number}")
    elif what == "copy" and place.is_dir() and not place.is_symlink() and free:
        shutil.copytree(place, other, symlinks=True)


@pytest.mark.parametrize("watched", [pytest.param(True, marks=on_linux), False])
@pytest.mark.parametrize("seed", range(25))
def test_a_snapshot_is_the_tree_after_any_changes(
    tmp_path: Path, seed: int, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not watched:
        monkeypatch.setattr(FolderWatch, "begin", FolderWatch.close)
    root, chance = tmp_path / "tree", random.Random(seed)
    root.mkdir()
    snapshots = _snapshots(root)
    held: list[tuple[Path, dict[str, object]]] = []
    for number in range(60):
        moment, before = snapshots.generation, _is(root)
        for _ in range(chance.randint(0, 5)):
            _change(root, chance, number)
        snapshot, now = snapshots.take_unchanged() or snapshots.take(), _is(root)
        assert _is(snapshot) == now
        changed = snapshots.changed_since(moment)
        if number and changed is not None:
            files = {
                path
                for path in before.keys() | now.keys()
                if before.get(path) != now.get(path)
                and any(one is not None and one[0] != "folder" for one in (before.get(path), now.get(path)))  # type: ignore[index]
            }
            assert files <= changed
        held.append((snapshot, now))
        while held and chance.random() < 0.7:
            snapshots.release(held.pop(chance.randrange(len(held)))[0])
        for one, then in held:
            assert _is(one) == then, "one that is held stays as it was"
    snapshots.close()


def _reads(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with each folder of a tree that is looked at."""
    read: list[str] = []
    scan: Callable[..., object] = os.scandir

    def noted(place: object = ".") -> object:
        if str(place).startswith(str(root)):  # other threads look at other things
            read.append(str(place))
        return scan(place)

    monkeypatch.setattr("coagent.systems.shell.views.snapshot.os.scandir", noted)
    return read


@on_linux
def test_only_folders_with_changes_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tree"
    for number in range(10):
        (root / f"part{number}").mkdir(parents=True)
        (root / f"part{number}/file").write_text("one")
    snapshots = _snapshots(root)
    snapshots.release(snapshots.take())
    read = _reads(root, monkeypatch)
    snapshots.release(snapshots.take())
    assert read == []
    (root / "part3/file").write_text("two")
    snapshot = snapshots.take()
    assert [Path(one).name for one in read] == ["part3"]
    assert (snapshot / "part3/file").read_text() == "two"
    snapshots.close()


@on_linux
def test_when_too_much_has_happened_all_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tree"
    (root / "a").mkdir(parents=True)
    snapshots = _snapshots(root)
    snapshots.release(snapshots.take())
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(most // 2 + 10):  # each makes two events, in turns so that none is merged
        (root / f"{number % 2}").write_text("")
        (root / f"{number % 2}").unlink()
    (root / "a/late").write_text("late")  # no event tells of this one
    read = _reads(root, monkeypatch)
    assert (snapshots.take() / "a/late").read_text() == "late"
    assert len(read) == 2
    snapshots.close()


@on_linux
def test_on_a_file_system_that_others_write_to_all_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.folder_watch._file_system", lambda _: "nfs4")
    watch = FolderWatch(str(tmp_path))
    watch.begin()
    watch.add("")
    assert watch.changed() is None
    monkeypatch.undo()
    watch.begin()
    watch.add("")
    assert watch.changed() == set()
    watch.close()


@on_linux
def test_a_tree_of_very_many_folders_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tree"
    for number in range(5):
        (root / f"{number}").mkdir(parents=True)
    monkeypatch.setattr("coagent.folder_watch._FOLDERS_MAX", 4)
    snapshots = _snapshots(root)
    snapshots.release(snapshots.take())
    (root / "4/new").write_text("new")
    read = _reads(root, monkeypatch)
    assert (snapshots.take() / "4/new").read_text() == "new"
    assert len(read) == 6


@on_linux
def test_without_events_left_for_this_user_all_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    root = tmp_path / "tree"
    (root / "a").mkdir(parents=True)
    monkeypatch.setattr("inotify_simple.INotify.add_watch", none_left)
    snapshots = _snapshots(root)
    snapshots.release(snapshots.take())
    (root / "a/new").write_text("new")
    assert (snapshots.take() / "a/new").read_text() == "new"


def test_after_one_that_failed_the_next_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tree"
    (root / "a").mkdir(parents=True)
    (root / "a/one").write_text("one")
    snapshots = _snapshots(root)
    snapshots.release(snapshots.take())
    (root / "a/two").write_text("two")
    (root / "b").mkdir()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("coagent.systems.shell.views.snapshot.os.link", full)
        patch.setattr("coagent.systems.shell.views.snapshot.shutil.copy2", full)
        with pytest.raises(TargetError, match="No space left"):
            snapshots.take()
    assert snapshots.changed_since(1) is None
    assert _is(snapshots.take()) == _is(root)
    snapshots.close()


def test_one_that_is_interrupted_leaves_nothing_and_the_next_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("one", "two"):
        (root / name).write_text(name)
    snapshots, link = _snapshots(root), os.link

    def linked(*given: Any, **options: Any) -> None:
        link(*given, **options)
        snapshots.interrupt()

    with monkeypatch.context() as patch:
        patch.setattr("coagent.systems.shell.views.snapshot.os.link", linked)
        with pytest.raises(TargetError, match="interrupted"):
            snapshots.take()
    snapshots.close()
    assert list((tmp_path / "snapshots").glob("*/*")) == []
    assert _is(snapshots.take()) == _is(root)
    snapshots.close()


def test_while_the_last_one_is_in_use_one_of_before_is_brought_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for number in range(50):
        (root / f"{number}").write_text("one")
    snapshots = _snapshots(root)
    held = [snapshots.take()]
    linked: list[str] = []
    link: Callable[..., None] = os.link

    def noted(source: str, place: Path, **options: Any) -> None:
        linked.append(source)
        link(source, place, **options)

    monkeypatch.setattr("coagent.systems.shell.views.snapshot.os.link", noted)
    for number in range(4):
        fresh = tmp_path / "fresh"
        fresh.write_text(f"{number}")
        fresh.replace(root / "7")
        held.append(snapshots.take())
        assert _is(held[1]) == _is(root)
        snapshots.release(held.pop(0))
    assert len(linked) < 60, "one whole tree, and one file for each change"
    snapshots.close()
