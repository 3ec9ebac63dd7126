"""Images of disks, mostly holes, are changed, moved and taken back, not filled and not read into memory."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest_sandbox import IN_COPIES, needs_views, shells

pytestmark = [
    pytest.mark.anyio,
    needs_views,
    pytest.mark.skipif(IN_COPIES, reason="a copy of the tree is made by cp"),
]
_BYTES = 64 * 1024**2


def _blocks(root: Path) -> int:
    """Return how many bytes the files of a tree take on the disk."""
    files = [Path(at, name) for at, _, names in os.walk(root) for name in names]
    return 512 * sum(place.lstat().st_blocks for place in files)


def _memory_kib(what: str) -> int:
    found = re.search(rf"^{what}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_two_agents_work_on_a_sparse_file(workspace: Path) -> None:
    image = workspace / "disk.img"
    with open(image, "wb") as file:
        file.write(b"begin")
        file.truncate(_BYTES)
    if _blocks(workspace) > 1024**2:
        pytest.skip("this file system has no holes")
    before, most = _memory_kib("VmRSS"), _memory_kib("VmHWM")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")

        async def say(agent: object, command: str) -> str:
            value = (await agent.call("bash", command=command)).value  # type: ignore[attr-defined]
            assert value["exit_code"] == 0, value
            return str(value["output"])

        await say(b, "cp --sparse=always disk.img copy.img && mv copy.img moved.img")
        change = "printf changed | dd of=disk.img bs=1 seek=50000000 conv=notrunc status=none"
        changed = await a.call("bash", command=change)
        await domain.settle()  # the copy is made again
        look = "tail -c +50000001 {} | head -c 7 | tr '\\0' 0"
        assert await say(b, f"{look.format('moved.img')}; rm disk.img; ls *.img") == "changedmoved.img\n"
        assert await say(a, f"{look.format('disk.img')}; ls *.img") == "changeddisk.img\n"
        assert _blocks(workspace) < _BYTES // 8
        await a.undo(changed.call_id)
        await domain.settle()
        assert await say(b, look.format("moved.img")) == "0000000"
        await b.abort()
        await a.abort()
    assert image.stat().st_size == _BYTES
    with image.open("rb") as file:
        assert file.read(5) == b"begin"
    assert _blocks(workspace) < _BYTES // 8
    assert _memory_kib("VmHWM") <= max(most, before + 32 * 1024)
