"""The files target on real files: exact bytes, modes, folders, atomic writes, several processes."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coagent.errors import TargetError, TargetUnavailable
from coagent.systems.files.temporaries import TEMPORARY
from coagent.targets import Files, GuardFailed

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def put(target: Files, key: str, value: Any, *expected: Any) -> None:
    async def main() -> None:
        await target.put(key, value, expected=expected or [await target.get(key)])

    anyio.run(main)


def got(target: Files, key: str) -> Any:
    return anyio.run(target.get, key)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return what is on disk to the last byte and bit, folders included."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b"",
        )
        for path in sorted(root.rglob("*"))
    }


# ---- contents ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text\n",
        b"no final newline",
        b"\r\ndos\r\nmixed\n\rold mac\r",
        b"\xef\xbb\xbfwith a byte order mark\n",
        "zürich 東京 \U0001f600 e\u0301\u2028\x0c\x00\n".encode(),
        b"\xff\xfe\x00binary",
        bytes(range(256)) * 2000,
        b"long\n" * 100_000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_contents_are_kept_to_the_last_byte(root: Path, content: bytes) -> None:
    target = Files(root)
    (root / "old").write_bytes(content)
    value = got(target, "file:old")
    assert value == content or value == content.decode()
    put(target, "file:new", value)
    assert (root / "new").read_bytes() == content
    put(target, "file:new", "else", value)
    put(target, "file:new", value, "else")
    assert (root / "new").read_bytes() == content


def test_bytes_that_are_text_are_one_content(root: Path) -> None:
    target = Files(root)
    assert anyio.run(target.admit, "file:a", b"text") == "text"
    put(target, "file:a", b"text", None)
    put(target, "file:a", b"text", "nothing else")
    assert got(target, "file:a") == "text"
    put(target, "file:a", b"new", b"text")
    assert (root / "a").read_bytes() == b"new"


@pytest.mark.parametrize("value", [{"a": 1}, 5, "\udcff", "\ud800x", True])
def test_what_no_file_can_hold_is_refused(root: Path, value: Any) -> None:
    target = Files(root)
    with pytest.raises(TargetError, match="cannot hold"):
        put(target, "file:new/a", value, None)
    with pytest.raises(TargetError, match="cannot hold"):
        anyio.run(target.admit, "file:new/a", value)
    assert tree(root) == {}


def test_a_large_file_is_named_and_not_read(root: Path) -> None:
    target = Files(root)
    with open(root / "huge", "wb") as file:
        file.truncate(100 * 1024 * 1024)
    (root / "small").write_text("x")
    assert anyio.run(target.get_many, ["file:huge", "file:small"]) == {"file:small": "x"}
    assert got(target, "file:huge")["large_file"].startswith("104857600-")
    started = time.perf_counter()
    got(target, "file:huge")  # it need not be read again
    assert time.perf_counter() - started < 0.5
    assert set(anyio.run(target.list, "file:")) == {"file:huge", "file:small"}


def test_nothing_is_written_that_would_not_be_read(root: Path) -> None:
    target = Files(root, max_bytes=10)
    with pytest.raises(TargetError, match="no more than 10 are read"):
        put(target, "file:a", "x" * 11, None)
    put(target, "file:a", "x" * 10, None)
    assert tree(root).keys() == {"a"}


# ---- modes, owners, folders --------------------------------------------------------------------------------


def test_the_executable_bit_is_an_object(root: Path) -> None:
    target = Files(root)
    put(target, "file:run", "#!/bin/sh\n", None)
    assert got(target, "mode:run") is None
    put(target, "mode:run", "executable", None)
    assert os.access(root / "run", os.X_OK)
    assert anyio.run(target.list, "mode:") == {"mode:run": "executable"}
    put(target, "file:run", "#!/bin/sh\ntrue\n")
    assert got(target, "mode:run") == "executable"
    with pytest.raises(GuardFailed) as caught:
        put(target, "mode:run", None, None)
    assert caught.value.found == "executable"
    put(target, "mode:run", None, "executable")
    assert stat.S_IMODE((root / "run").stat().st_mode) & 0o111 == 0
    assert anyio.run(target.list, "mode:") == {}


def test_the_mode_of_a_file_that_cannot_be_read_is_set_too(root: Path) -> None:
    (root / "run").touch(0o200)
    target = Files(root)
    put(target, "mode:run", "executable", "0200")
    assert got(target, "mode:run") == "executable"


def test_a_mode_needs_a_file_and_a_right_value(root: Path) -> None:
    target = Files(root)
    (root / "folder").mkdir()
    assert got(target, "mode:folder") is None
    put(target, "mode:gone", None, "executable")
    with pytest.raises(TargetError, match="Write the file first"):
        put(target, "mode:gone", "executable", None)
    (root / "there").touch()
    for wrong in ("755", "4755", "0888", True, 0o755):
        with pytest.raises(TargetError, match="four octal digits"):
            anyio.run(target.admit, "mode:gone", wrong)
        with pytest.raises(TargetError, match="four octal digits"):
            put(target, "mode:there", wrong, None)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o744, 0o711, 0o604, 0o000])
def test_rights_that_are_not_the_usual_ones_are_kept(root: Path, mode: int) -> None:
    target = Files(root)
    put(target, "file:secret", "s\n", None)
    put(target, "mode:secret", f"{mode:04o}", None)
    assert stat.S_IMODE((root / "secret").stat().st_mode) == mode
    assert got(target, "mode:secret") == f"{mode:04o}"
    assert anyio.run(target.list, "mode:") == {"mode:secret": f"{mode:04o}"}
    put(target, "mode:secret", None, f"{mode:04o}")
    assert got(target, "mode:secret") is None
    assert stat.S_IMODE((root / "secret").stat().st_mode) & 0o111 == 0


def test_links_are_objects_of_their_own(root: Path) -> None:
    target = Files(root)
    (root / "a").write_text("a\n")
    put(target, "link:sub/alias", "../a", None)
    assert os.readlink(root / "sub/alias") == "../a"
    assert target.canonical("link:sub/alias") == "link:sub/alias"
    assert target.canonical("file:sub/alias") == "file:a"
    assert got(target, "file:sub/alias") is None  # what it leads to has a name of its own
    put(target, "link:sub/alias", "nowhere", "../a")
    assert anyio.run(target.list, "link:") == {"link:sub/alias": "nowhere"}
    with pytest.raises(GuardFailed):
        put(target, "link:sub/alias", "b", "../a")
    put(target, "link:sub/alias", None, "nowhere")
    assert not (root / "sub").exists()
    for wrong in ("", "a\0b", "x" * 5000, b"a", True):
        with pytest.raises(TargetError, match="leads to a path"):
            put(target, "link:other", wrong, None)


def test_empty_folders_are_objects(root: Path) -> None:
    target = Files(root)
    put(target, "folder:a/b", "folder", None)
    assert (root / "a/b").is_dir()
    assert anyio.run(target.list, "folder:") == {"folder:a/b": "folder"}
    put(target, "file:a/b/c", "c\n", None)
    assert got(target, "folder:a/b") is None
    put(target, "folder:a/b", "folder", None)  # it is there, with something in it
    assert (root / "a/b/c").read_text() == "c\n"
    put(target, "folder:a/b", None, "folder")
    assert (root / "a/b/c").exists()
    put(target, "file:a/b/c", None, "c\n")
    assert not (root / "a").exists()
    put(target, "folder:a/b", "folder", None)
    put(target, "folder:a/b", None, "folder")
    assert not (root / "a").exists()
    with pytest.raises(TargetError, match="'folder', or None"):
        put(target, "folder:a", True, None)


def test_a_new_file_has_the_permissions_that_others_would_give_it(root: Path) -> None:
    old = os.umask(0o027)
    try:
        put(Files(root), "file:a", "x", None)
    finally:
        os.umask(old)
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o640


def test_permissions_and_owner_survive_a_write(root: Path) -> None:
    (root / "a").write_text("old")
    os.chmod(root / "a", 0o2750)
    if os.geteuid() == 0:
        os.chown(root / "a", 12345, 23456)
        os.chmod(root / "a", 0o2750)
    before = (root / "a").stat()
    put(Files(root), "file:a", "new", "old")
    after = (root / "a").stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_folders_come_and_go_with_their_files(root: Path) -> None:
    target = Files(root)
    put(target, "file:a/b/c", "x", None)
    put(target, "file:a/d", "y", None)
    put(target, "file:a/b/c", None, "x")
    assert tree(root).keys() == {"a", "a/d"}
    put(target, "file:a/d", None, "y")
    assert tree(root) == {}
    assert root.is_dir()


def test_a_file_may_take_the_place_of_a_folder_and_back(root: Path) -> None:
    target = Files(root)
    put(target, "file:a/b", "x", None)
    assert got(target, "file:a") is None
    with pytest.raises(TargetError, match="A folder is in the way"):
        put(target, "file:a", "y", None)
    put(target, "file:a/b", None, "x")
    put(target, "file:a", "y", None)
    assert got(target, "file:a/b") is None
    with pytest.raises(TargetError, match="A file is in the way"):
        put(target, "file:a/b/c", "z", None)
    put(target, "file:a/b", None, "x")
    assert tree(root).keys() == {"a"}


# ---- failures ----------------------------------------------------------------------------------------------


def test_names_too_long_leave_no_folder(root: Path) -> None:
    target = Files(root)
    with pytest.raises(TargetError, match="Choose a shorter name"):
        got(target, f"file:{'n' * 300}")
    with pytest.raises(TargetError, match="Choose a shorter name"):
        put(target, f"file:new/sub/{'n' * 300}/a", "x", None)
    assert tree(root) == {}


def test_a_write_that_fails_keeps_the_old_content(root: Path) -> None:
    (root / "a").write_text("old")
    script = """
import anyio, resource, signal, sys
from coagent.errors import TargetError, TargetUnavailable
from coagent.targets import Files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
target = Files(sys.argv[1])
for key, old in (("file:a", "old"), ("file:new/sub/b", None)):
    async def put():
        await target.put(key, "x" * 5000, expected=[old])
    try:
        anyio.run(put)
    except TargetError as error:
        assert error.cure, error
    else:
        sys.exit("it did not fail")
"""
    subprocess.run([sys.executable, "-c", script, str(root)], check=True, timeout=60, env=ENVIRONMENT)
    assert tree(root).keys() == {"a"}
    assert (root / "a").read_text() == "old"


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    options = "size=64k,nr_inodes=30"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(root)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr.decode().strip()}")
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True)


def test_a_full_disk_keeps_the_old_content(small_disk: Path) -> None:
    target = Files(small_disk)
    put(target, "file:a", "old", None)
    before = tree(small_disk)
    for key, old in (("file:a", "old"), ("file:new/b", None)):
        with pytest.raises(TargetUnavailable, match="Free some disk space"):
            put(target, key, "x" * 200_000, old)
        assert tree(small_disk) == before


def test_a_read_only_file_system_is_named(small_disk: Path) -> None:
    target = Files(small_disk)
    put(target, "file:a", "old", None)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for key, value in (("file:a", "new"), ("file:a", None), ("file:b/c", "new"), ("mode:a", "executable")):
        with pytest.raises(TargetUnavailable, match="mount it writable"):
            put(target, key, value)
    assert got(target, "file:a") == "old"


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder of a user who is bound by permissions, as whom the test runs."""
    with tempfile.TemporaryDirectory() as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def test_a_folder_without_permissions_is_named(nobodys: Path) -> None:
    target = Files(nobodys)
    put(target, "file:a/b", "x", None)
    os.chmod(nobodys / "a", 0o500)
    for value in ("y", None):
        with pytest.raises(TargetError, match="Check the permissions") as caught:
            put(target, "file:a/b", value)
        assert not isinstance(caught.value, TargetUnavailable)
    os.chmod(nobodys / "a", 0)
    with pytest.raises(TargetError, match="Check its permissions"):
        anyio.run(target.list, "file:")
    for key in ("file:a/b", "mode:a/b"):
        with pytest.raises(TargetError, match="Check the permissions"):
            got(target, key)
    os.chmod(nobodys / "a", 0o700)
    assert tree(nobodys).keys() == {"a", "a/b"}


def test_a_folder_that_cannot_be_listed_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    target = Files(root)
    monkeypatch.setattr("coagent.systems.files.workspace.os.scandir", refuse)
    with pytest.raises(TargetError, match=r"'\.' cannot be listed: Permission denied"):
        anyio.run(target.list, "file:")


def test_pipes_sockets_and_devices_are_no_files(root: Path) -> None:
    os.mkfifo(root / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    old = Path.cwd()
    os.chdir(root)
    listening.bind("socket")
    os.chdir(old)
    target = Files(root)
    assert anyio.run(target.list, "file:") == {}
    for name in ("pipe", "socket"):
        for scheme in ("file", "mode"):
            with pytest.raises(TargetError, match="not a regular file"):
                got(target, f"{scheme}:{name}")
        with pytest.raises(TargetError, match="not a regular file"):
            put(target, f"file:{name}", "x", None)
    listening.close()
    assert tree(root).keys() == {"pipe", "socket"}


# ---- others at work ----------------------------------------------------------------------------------------

_APPEND = """
import anyio, sys
from coagent.targets import Files, GuardFailed
target = Files(sys.argv[1])
async def main():
    for number in range(100):
        while True:
            now = await target.get("file:deep/log")
            try:
                await target.put("file:deep/log", f"{now or ''}{sys.argv[2]} {number}\\n", expected=[now])
                break
            except GuardFailed as failure:
                assert failure.found != now
anyio.run(main)
"""


def test_processes_in_contention_lose_no_update(root: Path) -> None:
    running = []
    for name in "abc":  # what is locked must not depend on where temporary files go
        (root.parent / name).mkdir()
        environment = {**ENVIRONMENT, "TMPDIR": str(root.parent / name)}
        command = [sys.executable, "-c", _APPEND, str(root), name]
        running.append(subprocess.Popen(command, env=environment))
    assert [one.wait(timeout=120) for one in running] == [0, 0, 0]
    lines = (root / "deep/log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {number}" for name in "abc" for number in range(100))
    assert tree(root).keys() == {"deep", "deep/log"}


def test_half_written_files_are_not_listed(root: Path) -> None:
    (root / f"{TEMPORARY}123").write_text("half")
    target = Files(root)
    assert anyio.run(target.list, "file:") == {}
    with pytest.raises(TargetError, match="excluded"):
        target.canonical(f"file:{TEMPORARY}123")


def test_no_descriptor_is_left_open(root: Path) -> None:
    target = Files(root)
    before = len(os.listdir("/proc/self/fd"))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for number in range(min(soft, 200)):
        put(target, "file:a", str(number))
        with pytest.raises(GuardFailed):
            put(target, "file:a", "x", "no")
    assert len(os.listdir("/proc/self/fd")) <= before + 1


# ---- at random ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "a/b", "a/c", "a/b/c", "d/e f", "d/ü"])
VALUES = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5), st.binary(max_size=5))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(NAMES, st.one_of(VALUES, st.booleans())),
        max_size=15,
    )
)
def test_any_changes_leave_what_a_dict_would_hold(changes: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Files(folder)
        model: dict[str, Any] = {}
        for name, change in changes:
            mode = type(change) is bool
            key = f"mode:{name}" if mode else f"file:{name}"
            value = ("executable" if change else None) if mode else change
            in_the_way = any(
                other[5:].startswith(f"{name}/") or name.startswith(f"{other[5:]}/") for other in model
            )
            absent = f"file:{name}" not in model
            if value is not None and (in_the_way or (mode and absent)):
                with pytest.raises(TargetError):
                    put(target, key, value)
                continue
            put(target, key, value)
            if value is not None:
                model[key] = _text_if_it_is(value)
            else:
                model.pop(key, None)
                if not mode:
                    model.pop(f"mode:{name}", None)
        assert target.snapshot() == model
        folders = {str(parent) for key in model for parent in Path(key[5:]).parents if str(parent) != "."}
        assert {name for name, (mode, _) in tree(Path(folder)).items() if stat.S_ISDIR(mode)} == folders


def _text_if_it_is(value: Any) -> Any:
    try:
        return value.decode() if type(value) is bytes else value
    except UnicodeDecodeError:
        return value
