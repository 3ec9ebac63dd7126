"""What a process leaves in temporary folders when it is killed: the next one removes it, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import SOURCES, give_away, ordinary_python

from coagent import scratch
from coagent.scratch import ScratchFolder
from coagent.systems.shell.views import copied
from coagent.systems.shell.views.overlay import available

_END_S_MAX = 30
_NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

_SHELL = """
import sys; sys.path[:0] = sys.argv[4:]
import anyio, json, os, pathlib, threading
removing = set()  # the threads that have removed something in what was left
def audit(event, given):
    if event == "shutil.rmtree" and given[1] is not None: removing.add(threading.current_thread().name)
sys.addaudithook(audit)
from conftest_sandbox import shells
async def main():
    async with shells(pathlib.Path(sys.argv[1]), view=sys.argv[2], writable=[sys.argv[3]]) as domain:
        a = await domain.join("A")
        for line in iter(sys.stdin.readline, ""):
            outcome = await a.call("bash", command=json.loads(line))
            for thread in threading.enumerate():
                if thread.name == "coagent-sweeping":
                    thread.join()
            print(json.dumps([outcome.value["output"], sorted(removing)]), flush=True)
anyio.run(main)
"""


class _Shell:
    """A process with a governed shell, in which commands run.

    Args:
        root: The workspace.
        place: A folder that commands may write to, too.
        view: The kind of views.
        ordinary: Whether the process is one of an ordinary user.
    """

    def __init__(self, root: Path, place: Path, view: str, *, ordinary: bool) -> None:
        self._place = place
        self.process = subprocess.Popen(
            [ordinary_python() if ordinary else sys.executable, "-c", _SHELL, root, view, place, *SOURCES],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": str(place)},
            **(_NOBODY if ordinary else {}),
        )  # fmt: skip
        self._root = root

    def begin(self, command: str) -> None:
        assert self.process.stdin is not None
        print(json.dumps(command), file=self.process.stdin, flush=True)

    def said(self, command: str) -> str:
        assert self.process.stdout is not None
        self.begin(command)
        output, self.removing = json.loads(self.process.stdout.readline())
        return str(output)

    def folders(self) -> list[Path]:
        places = (self._place, Path("/var/tmp"), self._root / ".coagent/snapshots")
        found = [list(place.glob(f"coagent-*-{self.process.pid}-*")) for place in places]
        assert all(found), found
        return [one for folders in found for one in folders]

    def descendants(self) -> list[int]:
        """Return descriptors of all processes that it has begun, and those have begun."""
        found, waiting = [], [self.process.pid]
        while waiting:
            tasks = Path(f"/proc/{waiting.pop()}/task").iterdir()
            children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
            found += [os.pidfd_open(one) for one in children]
            waiting += children
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files, to which others may come."""
    with tempfile.TemporaryDirectory(prefix="scratch-test-") as name:
        yield Path(name)


@pytest.fixture
def begun() -> Iterator[Callable[..., _Shell]]:
    """Begins processes with a governed shell."""
    with contextlib.ExitStack() as stack:

        def begin(*arguments: Any, **options: Any) -> _Shell:
            shell = _Shell(*arguments, **options)
            stack.enter_context(shell.process)
            stack.callback(shell.process.kill)
            return shell

        yield begin


def _mounted(folders: list[Path]) -> list[str]:
    """Return where any process has something mounted from or in some folders."""
    found = []
    for one in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            text = one.read_text()
            found += [f"{one}: {folder}" for folder in folders if folder.name in text]
    return found


@pytest.mark.parametrize(
    ("view", "ordinary"),
    [
        pytest.param("overlay", False, id="overlay"),
        pytest.param("copy", True, id="copy-ordinary", marks=only_root),
        pytest.param("overlay", True, id="overlay-ordinary", marks=[only_root, pytest.mark.long]),
        pytest.param("copy", False, id="copy", marks=pytest.mark.long),
    ],
)
def test_a_process_that_is_killed_in_a_command_leaves_what_the_next_removes_and_no_process_and_no_mount(
    workspace: Path, place: Path, begun: Callable[..., _Shell], view: str, ordinary: bool
) -> None:
    if why_not := available() if view == "overlay" else copied.available():
        pytest.skip(why_not)
    os.mkfifo(place / "pipe")
    if ordinary:
        workspace = shutil.copytree(workspace, place / "work")
        give_away(place)
    one, living = (begun(workspace, place, view, ordinary=ordinary) for _ in range(2))
    for shell in (one, living):
        shell.said("mkdir -p $TMPDIR/d; echo kept > $TMPDIR/d/f; git status")
        assert shell.said("cat $TMPDIR/d/f") == "kept\n"
    folders = one.folders()
    one.begin(
        "for i in shut $TMPDIR/shut; do mkdir -p $i/in; touch $i/in/f; chmod 0 $i/in $i; done;"
        f"echo > {place}/pipe; while true; do echo > $TMPDIR/$RANDOM; done"
    )
    (place / "pipe").read_text()
    began = one.descendants()
    assert len(began) > 3
    assert bool(_mounted(folders)) == (view == "overlay")
    one.kill()
    for process in began:
        assert select.select([process], [], [], _END_S_MAX)[0], "a process outlives its own"
        os.close(process)
    assert _mounted(folders) == []
    following = begun(workspace, place, view, ordinary=ordinary)
    assert following.said("cat a.txt") == "one\n"
    assert [one for one in folders if one.exists()] == []
    assert following.removing == ["coagent-sweeping"]
    assert all(one.is_dir() for one in living.folders())
    assert living.said("cat $TMPDIR/d/f") == "kept\n"
    for shell in (living, following):
        folders = shell.folders()
        shell.process.communicate()
        assert [one for one in folders if one.exists()] == []


_HOLDER = """
import sys; sys.path[:0] = sys.argv[3:]
import os, pathlib
from coagent.scratch import ScratchFolder
made = [ScratchFolder("test", pathlib.Path(sys.argv[1])) for _ in range(int(sys.argv[2]))]
for one in made:
    (one.path / "shut/in").mkdir(parents=True)
    (one.path / "shut/in/f").touch()
    for name in ("shut/in", "shut"):
        (one.path / name).chmod(0)
print(*(one.path for one in made), sep=":", flush=True)
sys.stdin.readline()
"""
_FORKING = """
import sys; sys.path[:0] = sys.argv[3:]
import os, pathlib, signal
from coagent.scratch import ScratchFolder
made = ScratchFolder("test", pathlib.Path(sys.argv[1]))
child = os.fork()
if not child:
    print(made.path, flush=True)
    sys.stdin.readline()
    print("forked", flush=True)
    sys.exit()
if sys.argv[2] == "pause":
    signal.pause()
os.waitpid(child, 0)
print(made.path.is_dir(), flush=True)
"""
_SWEEPER = """
import sys; sys.path[:0] = sys.argv[2:]
import pathlib, threading
from coagent.scratch import ScratchFolder
sys.stdin.readline()
made = ScratchFolder("test", pathlib.Path(sys.argv[1]))
[one.join() for one in threading.enumerate() if one.name == "coagent-sweeping"]
assert made.path.is_dir()
"""


class _Holder:
    """A process that has some scratch folders.

    Args:
        place: In which they are.
        count: How many.
        who: As whom it runs.
    """

    def __init__(self, place: Path, count: int = 1, **who: Any) -> None:
        self.process = _program(_HOLDER, place, str(count), **who)
        assert self.process.stdout is not None
        self.folders = [Path(one) for one in self.process.stdout.readline().strip().split(":")]

    def left(self) -> list[Path]:
        """Kill it, and return its folders."""
        self.process.kill()
        self.process.communicate()
        assert all(one.is_dir() for one in self.folders)
        return self.folders


def _program(text: str, *arguments: Path | str, **who: Any) -> subprocess.Popen[str]:
    argv = [ordinary_python() if who else sys.executable, "-c", text, *arguments, *SOURCES]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", **who)


def _swept(place: Path, **who: Any) -> None:
    process = _program(_SWEEPER, place, **who)
    process.communicate("\n")
    assert process.returncode == 0


@pytest.mark.parametrize("who", [{}, pytest.param(_NOBODY, marks=only_root)], ids=["", "ordinary"])
def test_several_that_sweep_at_once_remove_all_that_is_left_and_nothing_of_the_living(
    place: Path, who: dict[str, Any]
) -> None:
    if who:
        give_away(place)
    living = _Holder(place, **who)
    left = _Holder(place, 50, **who).left()
    sweepers = [_program(_SWEEPER, place, **who) for _ in range(4)]
    for one in sweepers:
        assert one.stdin is not None
        print(file=one.stdin, flush=True)
    for one in sweepers:
        one.communicate()
        assert one.returncode == 0
    assert [one for one in left if one.exists()] == []
    assert living.folders[0].is_dir()
    living.process.communicate("end\n")
    assert not living.folders[0].exists()


@only_root
def test_what_others_own_is_left_alone(place: Path) -> None:
    place.chmod(0o1777)
    give_away(place)
    theirs = _Holder(place, **_NOBODY).left()[0]
    mine = _Holder(place).left()[0]
    _swept(place)
    assert (theirs / "shut/in/f").exists()
    assert not mine.exists()


def test_what_was_not_made_by_a_process_for_itself_is_left_alone(place: Path) -> None:
    apart = place / "apart"
    apart.mkdir()
    linked, opened, unlocked, left = _Holder(place, 4).left()
    opened.chmod(0o770)
    (unlocked / ".coagent-lock").unlink()
    linked = linked.rename(apart / linked.name)
    (place / linked.name).symlink_to(linked)
    (place / "coagent-file").touch()
    (place / "coagent-folder/in").mkdir(parents=True)
    before = sorted(place.rglob("*"))
    _swept(place)
    assert sorted(place.rglob("*")) == [one for one in before if not one.is_relative_to(left)]
    assert not left.exists()


@pytest.mark.parametrize("who", [{}, pytest.param(_NOBODY, marks=only_root)], ids=["", "ordinary"])
def test_links_out_of_what_is_left_are_removed_and_what_they_lead_to_is_as_before(
    place: Path, who: dict[str, Any]
) -> None:
    outside = place / "outside"
    (outside / "shut").mkdir(parents=True)
    (outside / "shut/file").write_text("x")
    (outside / "shut/file").chmod(0o400)
    if who:
        give_away(place)
    left = _Holder(place, **who).left()[0]
    (left / "folder").symlink_to(outside)
    for folder in (left / "shut", left / "shut/in"):  # as long as something is put there
        folder.chmod(0o700)
    (left / "shut/in/folder").symlink_to(outside / "shut")
    (left / "shut/in/file").hardlink_to(outside / "shut/file")
    for folder in (left / "shut/in", left / "shut"):
        folder.chmod(0)
    (outside / "shut").chmod(0o500)
    _swept(place, **who)
    assert not left.exists()
    assert (outside / "shut").stat().st_mode & 0o777 == 0o500
    assert (outside / "shut/file").stat().st_mode & 0o777 == 0o400
    assert (outside / "shut/file").read_text() == "x"


def test_a_process_that_was_forked_keeps_no_lock(place: Path) -> None:
    process = _program(_FORKING, place, "pause")
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    process.kill()
    process.wait()
    assert left.is_dir()
    _swept(place)
    assert not left.exists()
    assert process.communicate("end\n")[0] == "forked\n"  # it was there meanwhile


def test_a_process_that_was_forked_takes_nothing_away(place: Path) -> None:
    process = _program(_FORKING, place, "wait")
    output, _ = process.communicate("end\n")
    path, *more = output.split()
    assert more == ["forked", "True"]
    assert not Path(path).exists()


def test_what_is_left_to_another_process_after_its_end_closes_nothing(tmp_path: Path) -> None:
    made = ScratchFolder("test", tmp_path)
    made.close()
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(4)]  # they have the numbers of what it held
    made.leave()
    for one in others:
        os.close(one)


def test_a_folder_that_somebody_has_cleared_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first = scratch.process_folder()
    assert scratch.new_folder("one").parent == first == scratch.process_folder()
    shutil.rmtree(first)
    again = scratch.new_folder("two")
    assert again.parent == scratch.process_folder() != first
    assert again.is_dir()


def test_where_there_are_no_locks_a_folder_is_made_and_nobody_takes_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(held: int, _: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))  # as NFS without its lock manager: flock(2)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        made = ScratchFolder("test", tmp_path)
    _swept(tmp_path)
    assert made.path.is_dir()
    made.close()
    assert not made.path.exists()


def test_a_folder_is_never_taken_away_while_it_is_made(tmp_path: Path) -> None:
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            scratch._sweep(tmp_path)

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        for _ in range(300):
            made = ScratchFolder("test", tmp_path)
            (made.path / "f").touch()
            made.close()
            assert not made.path.exists()
    finally:
        done.set()
        thread.join()
