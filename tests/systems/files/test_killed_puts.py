"""A process is killed with kill -9 as it puts a file: nothing of it stays, and no person's save is lost."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import killed_put
import pytest

from coagent.processes import label
from coagent.protocol.values import Value
from coagent.systems.files import temporaries
from coagent.systems.files.encoding import alike
from coagent.targets import Documents, Files, GuardFailed

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["coagent.targets"])
KEY = "file:src/a.txt"
OLD, NEW, SAVED = "old\n", "of an agent\n", "of a person\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/src").mkdir(parents=True)
    (tmp_path / "root/src/a.txt").write_text(OLD)
    (tmp_path / "root/src/b.txt").write_text("other\n")
    return tmp_path / "root"


def killed(
    root: Path, step: str, *saved: str, key: str = KEY, value: Value = NEW, expected: Value = OLD
) -> None:
    process = CONTEXT.Process(target=killed_put.main, args=(str(root), step, key, value, expected, *saved))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def left(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(temporaries.TEMPORARY)]


def held(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if not path.is_dir()
    }


def by_tidying(root: Path) -> None:
    target = Files(root)
    anyio.run(target.tidy, [target.canonical(KEY)])


def by_listing(root: Path) -> None:
    anyio.run(Files(root).list, "file:src/")


def by_putting(root: Path) -> None:
    async def put() -> None:
        await Files(root).put(Files(root).canonical("file:src/b.txt"), "more\n", expected=["other\n"])

    anyio.run(put)
    (root / "src/b.txt").write_text("other\n")


NEXT = [by_tidying, by_listing, by_putting]
STEPS = ["half", "written", "on its way", "ready", "swapped", "judged"]


@pytest.mark.parametrize("come_next", NEXT)
def test_what_a_killed_process_had_replaced_goes_with_whoever_comes_next(
    root: Path, come_next: Callable[[Path], None]
) -> None:
    killed(root, "swapped")
    assert left(root)
    come_next(root)
    assert held(root) == {"src/a.txt": NEW, "src/b.txt": "other\n"}


@pytest.mark.long
@pytest.mark.parametrize("step", [*STEPS, *(f"old {one}" for one in ("ready", "second name", "replaced"))])
def test_nothing_stays_wherever_in_a_put_it_was_killed(root: Path, step: str) -> None:
    killed(root, step)
    assert left(root)
    by_tidying(root)
    assert not left(root)
    assert held(root)["src/a.txt"] in (OLD, NEW)


@pytest.mark.parametrize("step", ["half", "written", "ready", "old second name"])
def test_nothing_stays_of_a_new_file(root: Path, step: str) -> None:
    killed(root, step, key="file:src/new.txt", expected=None)
    assert left(root)
    by_tidying(root)
    assert not left(root)
    assert held(root).get("src/new.txt") in (None, NEW)


def test_nothing_stays_of_a_deletion(root: Path) -> None:
    killed(root, "judged", value=None)
    assert left(root)
    by_tidying(root)
    assert held(root) == {"src/b.txt": "other\n"}


def test_nothing_stays_of_a_link_and_where_it_leads_is_left_alone(root: Path) -> None:
    (root / "src/l").symlink_to("b.txt")
    killed(root, "swapped", key="link:src/l", value="a.txt", expected="b.txt")
    assert [os.readlink(path) for path in left(root)] == ["b.txt"]
    by_tidying(root)
    assert not left(root)
    assert os.readlink(root / "src/l") == "a.txt"
    assert held(root)["src/b.txt"] == "other\n"


def test_nothing_stays_beside_a_document(root: Path) -> None:
    (root / "plan.md").write_text("# A\none\n")
    killed(root, "swapped", key="doc:plan.md#A", value="two\n", expected="one\n")
    assert left(root)
    target = Documents(root)
    assert anyio.run(target.list, "doc:")["doc:plan.md#A"] == "two\n"
    assert not left(root)


# ---- what a person had saved at that moment ----------------------------------------------------------------


@pytest.mark.parametrize("come_next", NEXT)
def test_what_a_person_had_saved_meanwhile_is_in_its_place_again(
    root: Path, come_next: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    killed(root, "swapped", SAVED)
    assert held(root)["src/a.txt"] == NEW
    come_next(root)
    assert held(root) == {"src/a.txt": SAVED, "src/b.txt": "other\n"}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "src/a.txt; what somebody had saved there meanwhile is in its place again" in caplog.text


@pytest.mark.parametrize(
    "step", [*STEPS, "swapped back", *(f"old {one}" for one in ("ready", "second name"))]
)
def test_a_save_is_there_wherever_in_the_put_its_process_was_killed(root: Path, step: str) -> None:
    killed(root, step, SAVED)
    assert left(root)
    by_tidying(root)
    assert held(root) == {"src/a.txt": SAVED, "src/b.txt": "other\n"}


def test_a_save_in_a_file_that_was_being_deleted_is_there_again(root: Path) -> None:
    killed(root, "ready", SAVED, value=None)
    assert held(root).get("src/a.txt") is None
    by_tidying(root)
    assert held(root) == {"src/a.txt": SAVED, "src/b.txt": "other\n"}


def test_of_two_saves_the_last_stays_and_the_other_one_is_beside_it(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(root, "swapped", SAVED)
    (root / "src/a.txt").write_text("saved again\n")
    by_tidying(root)
    found = held(root)
    assert found.pop("src/a.txt") == "saved again\n"
    assert found.pop("src/b.txt") == "other\n"
    ((name, text),) = found.items()
    assert name.startswith("src/a.txt.saved-")
    assert temporaries.is_saved(name)
    assert text == SAVED
    assert name in caplog.text


def test_a_save_whose_name_is_too_long_to_be_known_is_kept_where_people_see_it(root: Path) -> None:
    name = f"src/{'n' * 200}"
    (root / name).write_text(OLD)
    killed(root, "swapped", SAVED, key=f"file:{name}")
    by_tidying(root)
    (kept,) = (path for path in held(root) if temporaries.is_saved(path))
    assert kept.startswith("src/coagent.saved-")
    assert held(root)[kept] == SAVED


def test_a_save_that_is_just_being_written_waits_for_its_end(root: Path) -> None:
    killed(root, "swapped", SAVED)
    (temporary,) = left(root)
    with temporary.open("a") as file:
        by_tidying(root)
        assert left(root) == [temporary]
        file.write("to the end\n")
    by_tidying(root)
    assert held(root)["src/a.txt"] == f"{SAVED}to the end\n"


def test_who_puts_what_the_dead_one_has_put_finds_the_save(root: Path) -> None:
    async def main() -> None:
        target = Files(root)
        await target.put(target.canonical("file:src/b.txt"), "more\n", expected=["other\n"])
        killed(root, "swapped", SAVED)  # after this folder has been looked into
        with pytest.raises(GuardFailed, match="changed by somebody outside") as failure:
            await target.put(target.canonical(KEY), NEW, expected=[OLD])
        assert alike(failure.value.found, SAVED)

    anyio.run(main)
    assert held(root)["src/a.txt"] == SAVED


# ---- what is nobody's leftover -----------------------------------------------------------------------------


def name_of(owner: str, state: str = "w", name: str = "a.txt") -> str:
    return f"{temporaries.TEMPORARY}{state}-{owner}--{'0' * 16}-01234567-{name}~"


def test_the_file_of_a_living_process_stays(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from coagent.processes import label; print(label(), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        path = root / "src" / name_of(process.stdout.readline().strip())
        path.write_text("half")
        mine = root / "src" / name_of(label())
        mine.write_text("half")
        by_listing(root)
        by_tidying(root)
        assert sorted(left(root)) == sorted([mine, path])
        process.kill()
        process.wait()
        by_listing(root)
        assert left(root) == [mine]


@pytest.mark.parametrize("local", [True, False])
def test_a_file_of_another_host_is_left_to_it_for_a_day(
    root: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    monkeypatch.setattr(temporaries, "is_local", lambda _: local)
    (root / "src" / name_of("00000000.1.00000000")).write_text("half")
    by_tidying(root)
    assert bool(left(root)) is not local, "where all are on this host, the lock has told that nobody writes"
    later_s = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: later_s)
    by_tidying(root)
    assert not left(root)


def test_files_folders_and_links_that_only_look_like_it_stay(root: Path) -> None:
    dead = "00000000.1.00000000"
    (root / "src" / f"{temporaries.TEMPORARY}of-mine").write_text("mine")
    (root / "src" / name_of(dead, name="folder")).mkdir()
    os.mkfifo(root / "src" / name_of(dead, name="pipe"))
    before = sorted(left(root))
    by_listing(root)
    by_tidying(root)
    assert sorted(left(root)) == before


def test_what_comes_with_a_checkout_makes_no_git_folder(root: Path) -> None:
    path = root / "src" / name_of("00000000.1.00000000", "r", ".git").replace("0" * 16, "")
    path.write_text("gitdir: ../evil")
    by_tidying(root)
    assert not (root / "src/.git").exists()
    (kept,) = (path for path in held(root) if temporaries.is_saved(path))
    assert held(root)[kept] == "gitdir: ../evil"


def test_a_large_folder_is_looked_into_once_and_not_again_for_each_put(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    given = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looks.append(path) or given(path))

    async def main() -> None:
        target = Files(root)
        for number in range(5):
            await target.put(target.canonical(KEY), f"{number}", expected=[OLD, f"{number - 1}"])
            await target.put(target.canonical(KEY), f"{number}", expected=[])

    looks.clear()
    anyio.run(main)
    assert 1 <= looks.count(str(root / "src")) <= 6
