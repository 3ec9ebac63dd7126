"""The files target where the world beside it misbehaves: locks held, folders swapped, the workspace gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from coagent.errors import TargetUnavailable
from coagent.targets import Files

_HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/src").mkdir(parents=True)
    (tmp_path / "root/src/app.py").write_text("app\n")
    return tmp_path / "root"


@contextmanager
def locked_by_another_process(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", _HOLD, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_a_lock_that_is_held_does_not_hold_up_the_other_agents(root: Path) -> None:
    target = Files(root)
    done: list[str] = []

    async def main() -> None:
        async with anyio.create_task_group() as tasks:

            async def write() -> None:
                await target.put("file:src/app.py", "new\n", expected=["app\n"])
                done.append("written")

            tasks.start_soon(write)
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            done.append(await target.get("file:src/app.py"))
            assert holder.stdin is not None
            holder.stdin.write(b"\n")
            holder.stdin.flush()

    with locked_by_another_process(root) as holder:
        anyio.run(main)
    assert done == ["app\n", "written"]
    assert target.snapshot("file:") == {"file:src/app.py": "new\n"}


def test_a_lock_that_is_never_released_is_named(root: Path) -> None:
    target = Files(root, lock_wait_s_max=0.02)

    async def main() -> None:
        for key, value, found in (
            ("file:src/app.py", "new\n", "app\n"),
            ("file:src/app.py", None, "app\n"),
            ("mode:src/app.py", "executable", None),
            ("file:large", "x" * 1_000_000, None),
        ):
            with pytest.raises(TargetUnavailable, match=r"was locked for 0\.02 s.*Look for a program"):
                await target.put(key, value, expected=[found])

    before = target.snapshot()
    with locked_by_another_process(root):
        anyio.run(main)
    assert target.snapshot() == before == {"file:src/app.py": "app\n"}


def test_a_folder_that_became_a_link_is_not_read_through(root: Path, tmp_path: Path) -> None:
    target = Files(root)
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    for path in (outside / "secret", outside / "deep/secret"):
        path.write_text("secret\n")
        path.chmod(0o755)
    keys = ["folder/secret", "folder/deep/secret"]
    assert [target.canonical(f"file:{key}") for key in keys] == [f"file:{key}" for key in keys]
    (root / "folder").symlink_to(outside)

    async def main() -> None:
        for key in keys:
            for scheme in ("file", "mode", "link", "folder"):
                assert await target.get(f"{scheme}:{key}") is None
        names = [f"file:{key}" for key in keys]
        assert await target.get_many(names) == dict.fromkeys(names)
        for prefix in ("file:folder/", "file:folder/deep/", "mode:folder/", "file:folder/se"):
            assert await target.list(prefix) == {}

    anyio.run(main)
    assert target.snapshot() == {"file:src/app.py": "app\n", "link:folder": str(outside)}


def test_a_workspace_that_is_gone_is_not_an_empty_one(root: Path, tmp_path: Path) -> None:
    target = Files(root)
    os.rename(root, tmp_path / "elsewhere")

    async def main() -> None:
        for key in ("file:src/app.py", "mode:src/app.py", "file:new"):
            with pytest.raises(TargetUnavailable, match=r"is gone\. Mount it again"):
                await target.get(key)
            with pytest.raises(TargetUnavailable, match="is gone"):
                await target.put(key, None, expected=[None])
        for prefix in ("file:", "file:src/", "mode:"):
            with pytest.raises(TargetUnavailable, match="is gone"):
                await target.list(prefix)
        os.rename(tmp_path / "elsewhere", root)
        assert await target.get("file:src/app.py") == "app\n"

    anyio.run(main)
