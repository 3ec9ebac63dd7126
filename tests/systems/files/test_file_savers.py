"""People save files at the very moment in which an agent's write lands: no save is lost without a trace."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from coagent.errors import TargetError, TargetUnavailable
from coagent.systems.files import swap
from coagent.targets import Documents, Files, GuardFailed, Target

_S_MAX = 60.0
KEY = "file:src/a.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/src").mkdir(parents=True)
    (tmp_path / "root/src/a.txt").write_text("old\n")
    return tmp_path / "root"


def put(target: Target, key: str, value: Any, *expected: Any) -> None:
    async def main() -> None:
        await target.put(key, value, expected=expected)

    anyio.run(main)


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())


# ---- at random, from another thread ------------------------------------------------------------------------


def in_place(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def beside(path: Path, text: str) -> None:
    other = path.with_name(".coagent-tmp-of-an-editor")
    other.write_text(text)
    os.replace(other, path)


def appended(path: Path, text: str) -> None:
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            break
        except FileNotFoundError:
            pass
    os.write(descriptor, text.encode())
    os.close(descriptor)


class Saver(threading.Thread):
    """Somebody who saves again and again, each time when the last save was seen, so as to overwrite none."""

    def __init__(self, path: Path, save: Callable[[Path, str], None], count: int) -> None:
        super().__init__(daemon=True)
        self._path, self._save, self._count = path, save, count
        self._text = "nothing yet"
        self._seen = threading.Event()
        self.lost: list[str] = []
        self.done = threading.Event()

    def look(self, value: Any) -> None:
        """Say what an agent has seen."""
        if value is not None and self._text in value:
            self._seen.set()

    def run(self) -> None:
        for number in range(self._count):
            self._seen.clear()
            self._text = f"[save {number}]"
            self._save(self._path, self._text)
            if not self._seen.wait(_S_MAX):
                self.lost.append(self._text)
                break
        self.done.set()


@pytest.mark.parametrize("save", [in_place, beside, appended])
@pytest.mark.parametrize("deletes", [False, True])
def test_every_save_is_there_or_reported(
    root: Path, save: Callable[[Path, str], None], deletes: bool
) -> None:
    target = Files(root)
    saver = Saver(root / "src/a.txt", save, 300)

    async def main() -> None:
        number = 0
        while not saver.done.is_set():
            number += 1
            now = await target.get(KEY)
            saver.look(now)
            value = None if deletes and number % 3 == 0 else f"agent {number}\n"
            try:
                await target.put(KEY, value, expected=[now])
            except GuardFailed as failure:
                saver.look(failure.found)
            except TargetUnavailable:
                pass

    (root / "src/keep").touch()
    saver.start()
    anyio.run(main)
    saver.join()
    assert saver.lost == []
    assert set(names(root)) <= {"src/a.txt", "src/keep"}


def test_saves_of_other_sections_of_a_document_stand(tmp_path: Path) -> None:
    path = tmp_path / "plan.md"
    path.write_text("# A\n\nold\n\n# B\n\nold\n")
    target = Documents(tmp_path)
    number = [0]

    def save(path: Path, text: str) -> None:
        # The person's editor knows what the file was, and changes one section of it.
        before = path.read_text().partition("# B\n")[0]
        beside(path, f"{before}# B\n\n{text}\n")

    saver = Saver(path, save, 200)

    async def main() -> None:
        while not saver.done.is_set():
            saver.look(await target.get("doc:plan.md#B"))
            number[0] += 1
            try:
                now = await target.get("doc:plan.md#A")
                await target.put("doc:plan.md#A", f"\nagent {number[0]}\n", expected=[now])
            except (GuardFailed, TargetUnavailable):
                pass

    saver.start()
    anyio.run(main)
    saver.join()
    assert saver.lost == []
    assert path.read_text().endswith("# B\n\n[save 199]\n")


# ---- at a chosen moment ------------------------------------------------------------------------------------


def before_exchange(monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], Any]) -> None:
    """Let something happen before the first exchange of names, something else before the second."""
    rename, waiting = swap._rename, list(acts)

    def later(old: str, new: str, flag: int) -> bool:
        if waiting:
            waiting.pop(0)()
        return rename(old, new, flag)

    monkeypatch.setattr(swap, "_rename", later)


def nothing() -> None:
    pass


@pytest.mark.parametrize("save", [in_place, beside])
@pytest.mark.parametrize("value", ["new\n", None])
def test_a_save_in_between_is_found_and_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[[Path, str], None], value: Any
) -> None:
    path = root / "src/a.txt"
    if value is None:
        rename = os.rename

        def late(old: str, new: str) -> None:
            if old == str(path):
                save(path, "saved\n")
            rename(old, new)

        monkeypatch.setattr("coagent.systems.files.swap.os.rename", late)
    else:
        before_exchange(monkeypatch, lambda: save(path, "saved\n"))
    with pytest.raises(GuardFailed) as caught:
        put(Files(root), KEY, value, "old\n")
    assert caught.value.found == "saved\n"
    assert path.read_text() == "saved\n"
    assert names(root) == ["src/a.txt"]


def test_of_two_saves_in_between_the_later_stays_and_the_earlier_is_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "src/a.txt"
    before_exchange(monkeypatch, lambda: beside(path, "first\n"), lambda: beside(path, "second\n"))
    with pytest.raises(GuardFailed) as caught:
        put(Files(root), KEY, "new\n", "old\n")
    assert caught.value.found == "first\n"
    assert path.read_text() == "second\n"
    assert names(root) == ["src/a.txt"]


def test_what_is_added_to_the_new_file_is_reported_with_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "src/a.txt"
    before_exchange(monkeypatch, lambda: beside(path, "first\n"), lambda: appended(path, "second\n"))
    with pytest.raises(GuardFailed) as caught:
        put(Files(root), KEY, "new\n", "old\n")
    assert caught.value.found == "new\nsecond\n"
    assert path.read_text() == "first\n"
    assert names(root) == ["src/a.txt"]


def test_a_third_save_is_kept_beside_the_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "src/a.txt"
    saves = [lambda text=text: beside(path, text) for text in ("first\n", "second\n", "third\n")]
    before_exchange(monkeypatch, *saves)
    with pytest.raises(GuardFailed) as caught:
        put(Files(root), KEY, "new\n", "old\n")
    kept = [name for name in names(root) if name != "src/a.txt"]
    assert [name.startswith("src/a.txt.saved-") for name in kept] == [True]
    assert {caught.value.found, path.read_text(), (root / kept[0]).read_text()} == {
        "first\n",
        "second\n",
        "third\n",
    }


def test_a_file_deleted_in_between_is_found_absent(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before_exchange(monkeypatch, (root / "src/a.txt").unlink)
    with pytest.raises(GuardFailed) as caught:
        put(Files(root), KEY, "new\n", "old\n")
    assert caught.value.found is None
    assert names(root) == []


def test_a_file_deleted_in_between_is_made_where_that_is_expected_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_exchange(monkeypatch, (root / "src/a.txt").unlink)
    put(Files(root), KEY, "new\n", "old\n", None)
    assert (root / "src/a.txt").read_text() == "new\n"


def test_a_file_made_in_between_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "src/new.txt"
    before_exchange(monkeypatch, lambda: path.write_text("saved\n"))
    with pytest.raises(GuardFailed) as caught:
        put(Files(root), "file:src/new.txt", "new\n", None)
    assert caught.value.found == "saved\n"
    assert path.read_text() == "saved\n"


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_something_else_put_there_in_between_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = root / "src/a.txt"

    def act() -> None:
        path.unlink()
        if what == "link":
            path.symlink_to("elsewhere")
        elif what == "folder":
            path.mkdir()
            (path / "deep").write_text("deep\n")
        else:
            os.mkfifo(path)

    before_exchange(monkeypatch, act)
    with pytest.raises(TargetError):
        put(Files(root), KEY, "new\n", "old\n")
    assert path.is_symlink() or path.is_dir() or path.is_fifo()
    assert not path.is_dir() or (path / "deep").read_text() == "deep\n"
    assert not [name for name in os.listdir(root / "src") if "tmp" in name]


def test_a_save_too_large_to_be_read_stays_and_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "src/a.txt"
    before_exchange(monkeypatch, lambda: beside(path, "x" * 1000))
    with pytest.raises(GuardFailed) as caught:
        put(Files(root, max_bytes=100), KEY, "new\n", "old\n")
    assert caught.value.found["large_file"].startswith("1000-")
    assert path.read_text() == "x" * 1000


def test_a_link_led_elsewhere_in_between_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "src/link"
    path.symlink_to("old")

    def lead() -> None:
        path.unlink()
        path.symlink_to("saved")

    before_exchange(monkeypatch, lead)
    with pytest.raises(GuardFailed) as caught:
        put(Files(root), "link:src/link", "new", "old")
    assert caught.value.found == "saved"
    assert os.readlink(path) == "saved"


# ---- who is saving is waited for ---------------------------------------------------------------------------


def test_a_program_that_is_saving_is_waited_for_and_the_agents_go_on(root: Path) -> None:
    """It has opened the file and written nothing yet, and must not write into a file thrown away."""
    path = root / "src/a.txt"
    target = Files(root)
    found: list[Any] = []

    async def main() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        async with anyio.create_task_group() as tasks:

            async def write() -> None:
                try:
                    await target.put(KEY, "new\n", expected=["old\n"])
                except GuardFailed as failure:
                    found.append(failure.found)

            tasks.start_soon(write)
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            found.append(await target.get(KEY))
            os.write(descriptor, b"saved\n")
            os.close(descriptor)

    anyio.run(main)
    assert found == ["old\n", "old\nsaved\n"]
    assert path.read_text() == "old\nsaved\n"


def test_a_program_that_keeps_a_file_open_stops_nobody(root: Path) -> None:
    with open(root / "src/a.txt", "a", encoding="utf-8"):
        put(Files(root), KEY, "new\n", "old\n")
    assert (root / "src/a.txt").read_text() == "new\n"


# ---- file systems that know less ---------------------------------------------------------------------------


@pytest.fixture(params=["no exchange", "no links either"])
def plain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "_renameat2", None)
    if request.param == "no links either":

        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("coagent.systems.files.swap.os.link", refuse)


@pytest.mark.usefixtures("plain")
def test_without_an_exchange_files_come_change_and_go(root: Path) -> None:
    target = Files(root)
    put(target, KEY, "new\n", "old\n")
    put(target, "file:src/b", "b\n", None)
    put(target, "link:src/c", "b", None)
    put(target, "link:src/c", "a.txt", "b")
    with pytest.raises(GuardFailed):
        put(target, KEY, "newer\n", "old\n")
    put(target, KEY, None, "new\n")
    assert target.snapshot() == {"file:src/b": "b\n", "link:src/c": "a.txt"}
    assert names(root) == ["src/b", "src/c"]


@pytest.mark.usefixtures("plain")
def test_without_an_exchange_a_save_before_the_last_look_is_found(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "src/a.txt"
    before_exchange(monkeypatch, lambda: beside(path, "saved\n"))
    with pytest.raises(GuardFailed) as caught:
        put(Files(root), KEY, "new\n", "old\n")
    assert caught.value.found == "saved\n"
    assert path.read_text() == "saved\n"
    assert names(root) == ["src/a.txt"]
