"""What a domain puts itself is taken for nobody else's, nor are the folders that come and go with it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from coagent.protocol.keys import Key
from coagent.targets import Files

pytestmark = pytest.mark.anyio

_S_MAX = 20.0
_ALL = ("file:", "mode:", "link:", "folder:")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("src", "d", "empty", "deep/s"):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("src/a", "c", "d/x", "deep/s/y"):
        (tmp_path / path).write_text("old\n")
    (tmp_path / "l").symlink_to("deep")
    return tmp_path


@pytest.fixture
async def target(root: Path) -> AsyncIterator[Files]:
    target = Files(root)
    yield target
    await target.close()


async def _own(target: Files, *puts: tuple[str, str | None]) -> set[str]:
    """Return what is heard of some puts of the domain's own, beside the objects put."""
    await target.changed((), _ALL)
    for prefix in _ALL:
        await target.list(prefix)
    for key, value in puts:
        await target.put(Key(key), value, expected=[await target.peek(Key(key))])
    return {str(key) for key in await target.changed((), _ALL)} - {key for key, _ in puts}


@pytest.mark.parametrize(
    "puts",
    [
        [("file:c", None), ("file:c/s/y", "new\n")],
        [("file:d/x", None), ("file:d", "new\n")],
        [("file:d/x", None), ("link:d", "src")],
        [("file:d/x", None), ("folder:d", "folder")],
        [("file:empty/x", "new\n")],
        [("folder:empty/s", "folder")],
        [("link:l", None), ("file:l/s/y", "new\n")],
        [("file:c", None), ("link:c", "deep")],
        [("file:deep/s/y", None), ("link:deep", "src")],
    ],
)
async def test_folders_that_come_and_go_with_what_is_put_are_nobody_elses(
    target: Files, puts: list[tuple[str, str | None]]
) -> None:
    assert await _own(target, *puts) == set()


@pytest.mark.parametrize(
    ("act", "key"),
    [
        (lambda root: shutil.rmtree(root / "c"), "folder:c"),
        (lambda root: ((root / "c/s/y").unlink(), (root / "c/s").rmdir()), "folder:c"),
        (lambda root: (root / "c/new").touch(), "file:c/new"),
        (lambda root: (root / "none/new").touch(), "folder:none"),
    ],
)
async def test_what_others_do_to_folders_of_the_domains_own_is_heard_of(
    target: Files, root: Path, act: Any, key: str
) -> None:
    await _own(target, ("file:c", None), ("file:c/s/y", "new\n"), ("folder:none", "folder"))
    act(root)
    assert key in await target.changed((), _ALL)


async def test_a_folder_is_watched_under_its_own_name_though_a_link_leads_there(
    target: Files, root: Path
) -> None:
    await target.changed((), ["file:deep/s/"])
    await target.changed((), ["file:l/s/"])
    (root / "deep/s/new").touch()
    assert await target.changed((), ["file:"]) == {"file:deep/s/new"}


async def test_half_of_a_put_is_nobody_elses(
    target: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, heard, waits = target._writer.put, list[set[str]](), threading.Event()
    under_way = target.workspace.own_puts._changed
    wait_for = under_way.wait_for

    def noted_wait_for(holds: Callable[[], bool]) -> bool:
        if not holds():
            waits.set()
        return wait_for(holds)

    def ask() -> None:
        heard.append({key for key in target._changed([], _ALL) if key != "file:new/x"})
        waits.set()

    asks = threading.Thread(target=ask)

    def half_done(*arguments: Any) -> None:
        put(*arguments)
        asks.start()
        assert waits.wait(_S_MAX)

    await _own(target)
    monkeypatch.setattr(under_way, "wait_for", noted_wait_for)
    monkeypatch.setattr(target._writer, "put", half_done)
    await target.put(Key("file:new/x"), "new\n", expected=[None])
    asks.join(_S_MAX)
    assert heard == [set()]


async def test_a_link_to_a_file_or_another_time_changes_nothing_in_it(
    target: Files, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await _own(target)
    os.link(root / "src/a", tmp_path_factory.mktemp("elsewhere") / "a")
    os.utime(root / "c")
    assert await target.changed((), ["file:", "link:", "folder:"]) == set()
    (root / "src/a").chmod(0o755)
    assert "mode:src/a" in await target.changed((), _ALL)
