"""Files are known to stand without being read, and what happens in scanned folders is heard of."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest

from coagent.errors import TargetUnavailable
from coagent.protocol.values import UNLOADED
from coagent.systems.files import ranges as file_ranges
from coagent.targets import Files, stamps
from coagent.targets.stamps import ReadCache, settled

_S_MAX = 20.0
KEY = "file:src/a.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/src").mkdir(parents=True)
    (tmp_path / "root/src/a.txt").write_text("old\n")
    return tmp_path / "root"


@pytest.fixture
def target(root: Path) -> Iterator[Files]:
    target = Files(root)
    yield target
    anyio.run(target.close)


def read_until_sure(target: Files, *keys: str) -> None:
    deadline = monotonic() + _S_MAX
    for key in keys:
        while not target.unchanged(key):
            assert monotonic() < deadline
            anyio.run(target.get, key)


def changed(target: Files, *prefixes: str, keys: Collection[str] = ()) -> set[str]:
    return set(anyio.run(target.changed, keys, prefixes))


# ---- reads -------------------------------------------------------------------------------------------------


def test_a_file_that_stands_is_not_read_again(target: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    read_until_sure(target, KEY)
    value = anyio.run(target.get, KEY)
    monkeypatch.setattr("coagent.systems.files.reading.read_content", lambda *_: pytest.fail("it was read"))
    assert anyio.run(target.get, KEY) is value
    assert anyio.run(target.get_many, [KEY])[KEY] is value


def test_equal_content_is_the_same_data(target: Files, root: Path) -> None:
    value = anyio.run(target.get, KEY)
    (root / "src/b").write_text("old\n")
    os.replace(root / "src/b", root / "src/a.txt")
    assert not target.unchanged(KEY)
    assert anyio.run(target.get, KEY) is value


@pytest.mark.parametrize("act", ["time", "mode", "link", "owner"])
def test_whatever_touches_a_file_has_it_read_again(target: Files, root: Path, act: str) -> None:
    path = root / "src/a.txt"
    read_until_sure(target, KEY)
    if act == "time":  # the time of modification is anybody's to set
        status = path.stat()
        path.write_text("new\n")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif act == "mode":
        path.chmod(0o600)
    elif act == "link":
        os.link(path, root / "src/b")
    else:
        os.chown(path, os.getuid(), os.getgid())
    assert not target.unchanged(KEY)
    assert anyio.run(target.get, KEY) == ("new\n" if act == "time" else "old\n")


def test_a_folder_that_becomes_a_link_to_itself_is_noticed(target: Files, root: Path) -> None:
    read_until_sure(target, KEY)
    os.rename(root / "src", root / "real")
    (root / "src").symlink_to("real")
    assert not target.unchanged(KEY)
    assert changed(target, keys=[KEY]) == {KEY}
    assert anyio.run(target.get, KEY) is None


@pytest.mark.parametrize(
    ("key", "act"),
    [
        ("mode:src/a.txt", lambda root: (root / "src/a.txt").chmod(0o755)),
        ("link:src/l", lambda root: (root / "src/l").symlink_to("a.txt")),
        ("folder:src/new", lambda root: (root / "src/new").mkdir()),
        ("folder:empty", lambda root: (root / "empty/file").touch()),
        ("file:src/none", lambda root: (root / "src/none").touch()),
    ],
)
def test_modes_links_and_folders_are_told_as_files_are(target: Files, root: Path, key: str, act: Any) -> None:
    (root / "empty").mkdir()
    read_until_sure(target, key)
    before = anyio.run(target.get, key)
    assert changed(target, keys=[key]) == set()
    act(root)
    assert not target.unchanged(key)
    assert changed(target, keys=[key]) == {key}
    assert anyio.run(target.get, key) != before


def test_a_peek_is_no_read(target: Files, root: Path) -> None:
    read_until_sure(target, KEY)
    (root / "src/a.txt").write_text("new\n")
    assert anyio.run(target.peek, KEY) == "new\n"
    assert not target.unchanged(KEY)


def test_where_others_write_too_nothing_is_sure(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coagent.systems.files.reading.is_local", lambda _: False)
    target = Files(root)
    os.utime(root / "src/a.txt", (0, 0))
    for _ in range(3):
        anyio.run(target.get, KEY)
        assert not target.unchanged(KEY)
    assert changed(target, keys=[KEY]) == {KEY}


SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("changed_ns", "now_ns", "sure"),
    [
        (5 * SECOND + 123_456_789, 5 * SECOND + 123_456_789, False),
        (5 * SECOND + 123_456_789, 5 * SECOND + 123_456_790, True),
        (5 * SECOND, 5 * SECOND + 900_000_000, False),  # it may have been rounded to the second, or to two
        (5 * SECOND, 6 * SECOND + 900_000_000, False),
        (5 * SECOND, 7 * SECOND, True),
        (5 * SECOND + 10_000_000, 5 * SECOND + 19_000_000, False),
        (5 * SECOND + 10_000_000, 5 * SECOND + 20_000_000, True),
    ],
)
def test_within_the_grain_of_its_time_a_file_may_change_unseen(
    changed_ns: int, now_ns: int, sure: bool
) -> None:
    assert settled((1, 1, 1, 0, changed_ns, 0), now_ns) is sure


def test_the_cache_is_bounded_in_number_and_size() -> None:
    cache = ReadCache(count_max=3, bytes_max=100)
    for number in range(5):
        cache.note(f"k:{number}", number, "x" * 10, sure=True)
    assert [cache.find(f"k:{number}") is not None for number in range(5)] == [False, False, True, True, True]
    cache.note("k:large", 9, "x" * 50, sure=True)
    large = cache.find("k:large")
    assert large is not None
    assert large.value is UNLOADED
    for number in range(3):
        cache.note(f"k:{number}", 7, "y" * 25, sure=True)
    cache.note("k:0", 8, "z" * 25, sure=True)
    found = [cache.find(f"k:{number}") for number in range(3)]
    assert [entry.stamp if entry else None for entry in found] == [8, 7, 7]
    assert cache._bytes <= 100
    for number in range(3):
        cache.forget(f"k:{number}")
    assert cache._bytes == 0


# ---- ranges ------------------------------------------------------------------------------------------------


def test_a_new_folder_is_heard_of_with_all_that_is_in_it(target: Files, root: Path) -> None:
    changed(target)
    anyio.run(target.list, "file:")
    (root / "src/deep/deeper").mkdir(parents=True)
    (root / "src/deep/deeper/b").write_text("b\n")
    (root / "src/deep/empty").mkdir()
    assert {"file:src/deep/deeper/b"} <= changed(target, "file:src/")
    (root / "src/deep/deeper/c").write_text("c\n")
    assert "file:src/deep/deeper/c" in changed(target, "file:src/")
    assert changed(target, "file:src/") == set()


def test_a_folder_that_is_moved_is_heard_of_under_its_new_name(target: Files, root: Path) -> None:
    (root / "lib").mkdir()
    changed(target)
    anyio.run(target.list, "file:")
    os.rename(root / "src", root / "lib/src")
    assert "file:lib/src/a.txt" in changed(target, "file:")
    (root / "lib/src/a.txt").write_text("new\n")
    assert "file:lib/src/a.txt" in changed(target, "file:")
    shutil.rmtree(root / "lib/src")
    assert "file:lib/src/a.txt" in changed(target, "file:")
    (root / "lib/src").mkdir()
    (root / "lib/src/b").touch()
    assert "file:lib/src/b" in changed(target, "file:")


@pytest.mark.parametrize(
    ("prefix", "act", "key"),
    [
        ("mode:", lambda root: (root / "src/a.txt").chmod(0o755), "mode:src/a.txt"),
        ("link:src/", lambda root: (root / "src/l").symlink_to("x"), "link:src/l"),
        ("folder:", lambda root: (root / "new").mkdir(), "folder:new"),
        ("folder:", lambda root: (root / "empty/f").touch(), "folder:empty"),
    ],
)
def test_scans_of_modes_links_and_folders_hear_of_theirs(
    target: Files, root: Path, prefix: str, act: Any, key: str
) -> None:
    (root / "empty").mkdir()
    changed(target)
    anyio.run(target.list, prefix)
    act(root)
    assert key in changed(target, prefix)


def test_what_is_excluded_is_not_heard_of(target: Files, root: Path) -> None:
    (root / ".git").mkdir()
    (root / "node_modules/x").mkdir(parents=True)
    changed(target)
    anyio.run(target.list, "file:")
    for path in (".git/index", "node_modules/x/y", "src/__pycache__/z", "src/.coagent-tmp-1"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).touch()
    assert changed(target, "file:") == set()


def test_own_writes_are_not_named_once_they_are_settled(target: Files) -> None:
    async def main() -> None:
        await target.changed((), ())
        await target.list("file:")
        await target.put(KEY, "new\n", expected=["old\n"])
        while not target.unchanged(KEY):
            await target.get(KEY)
        assert not await target.changed((), ["file:"])

    anyio.run(main)


@pytest.mark.parametrize("value", ["new\n", None])
def test_with_own_writes_nothing_is_heard_of_rights_and_links(target: Files, value: str | None) -> None:
    async def main() -> None:
        await target.changed((), ())
        for prefix in ("file:", "mode:", "link:"):
            await target.list(prefix)
        await target.put(KEY, value, expected=["old\n"])
        assert {
            key for key in await target.changed((), ["mode:", "link:"]) if not key.startswith("file:")
        } == set()

    anyio.run(main)


def test_folders_are_watched_up_to_a_limit_and_no_longer_than_asked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_ranges, "FOLDERS_MAX", 5)
    for number in range(20):
        (root / f"src/{number:02}").mkdir()
    target = Files(root)
    changed(target)
    anyio.run(target.list, "file:")
    assert len(target._ranges._watch.folders) == 5
    (root / "src/new").touch()
    assert "file:src/new" in changed(target, "file:")
    for _ in range(file_ranges.ROUNDS_KEPT + 2):
        changed(target)
    assert target._ranges._watch.folders == []
    anyio.run(target.close)


def test_too_many_events_are_no_disaster(target: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(target)
    anyio.run(target.list, "file:")
    monkeypatch.setattr(target._ranges._watch, "events", lambda: None)
    assert changed(target, "file:") == set()
    monkeypatch.undo()
    (root / "src/b").touch()
    assert "file:src/b" in changed(target, "file:")


def test_without_events_ranges_are_not_told_of(
    target: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.folder_watch.is_local", lambda _: False)
    changed(target)
    anyio.run(target.list, "file:")
    (root / "src/b").touch()
    assert changed(target, "file:") == set()
    read_until_sure(target, KEY)
    (root / "src/a.txt").write_text("new\n")
    assert changed(target, "file:", keys=[KEY]) == {KEY}


def test_no_watch_is_begun_before_anybody_asks(target: Files) -> None:
    before = len(os.listdir("/proc/self/fd"))
    anyio.run(target.list, "file:")
    assert len(os.listdir("/proc/self/fd")) <= before
    changed(target)
    anyio.run(target.close)
    assert len(os.listdir("/proc/self/fd")) <= before


# ---- the workspace goes ------------------------------------------------------------------------------------


def test_an_unmounted_workspace_is_not_one_in_which_all_was_deleted(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr.decode().strip()}")
    (tmp_path / "a.txt").write_text("old\n")
    target = Files(tmp_path)
    assert anyio.run(target.get, "file:a.txt") == "old\n"
    assert anyio.run(target.get, "file:none") is None
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)

    async def main() -> None:
        for key in ("file:a.txt", "file:none"):
            assert not target.unchanged(key)
            with pytest.raises(TargetUnavailable, match="is gone"):
                await target.get(key)
            with pytest.raises(TargetUnavailable, match="is gone"):
                await target.put(key, "new\n", expected=["old\n", None])
        for prefix in ("file:", "file:src/"):
            with pytest.raises(TargetUnavailable, match="is gone"):
                await target.list(prefix)
        with pytest.raises(TargetUnavailable, match="is gone"):
            await target.changed((), ())

    anyio.run(main)
    assert list(tmp_path.iterdir()) == []


def test_a_moved_workspace_is_known_by_half_of_its_identity(root: Path, tmp_path: Path) -> None:
    before = Files(root).identity
    os.rename(root, tmp_path / "moved")
    moved = Files(tmp_path / "moved").identity
    root.mkdir()
    replaced = Files(root).identity
    path, _, place = before.rpartition("#")
    assert moved.rpartition("#")[2] == place
    assert moved.rpartition("#")[0] != path
    assert replaced.rpartition("#")[0] == path
    assert replaced.rpartition("#")[2] != place


def test_the_clock_that_stamps_files_never_lags_behind_them(tmp_path: Path) -> None:
    for number in range(50):
        before = stamps.tick_ns()
        (tmp_path / str(number)).touch()
        assert (tmp_path / str(number)).stat().st_ctime_ns >= before
