"""Plays the two scenes that docs/notice.md explains, and puts their notices into it.

`python tests/docs/notice_scenes.py` writes them; a test sees that they are up to date.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio
from marked import with_block

import coagent
from coagent import AgentSession
from coagent.systems.files.tools import FILE_TOOLS

NOTICE = Path(__file__).parents[2] / "docs" / "notice.md"
_MARK = re.compile(r"(?<=<data |/data )[0-9a-f]{12}(?=>)")
_SHOWN_MARKS = ("3f9c41d07ab2", "b81e06c95d34")


async def _changed_premise(ops: AgentSession, docs: AgentSession) -> None:
    """`docs` quotes a setting that `ops`, who comes before it, then changes."""
    await docs.call("read_file", path="config.toml", offset=1, limit=2)
    await docs.call("write_file", path="README", content='Connect to host = "old.example".\n')
    old, new = 'host = "old.example"', 'host = "new.example"'
    await ops.call("edit_file", path="config.toml", old_string=old, new_string=new)


async def _merged_edit(ops: AgentSession, docs: AgentSession) -> None:
    """`ops` renames the function in whose line `docs` has already added an argument."""
    await docs.call(
        "edit_file", path="lib.py", old_string="def fetch(url):", new_string="def fetch(url, retries=3):"
    )
    await ops.call("edit_file", path="lib.py", old_string="fetch", new_string="download")


SCENES: dict[str, Callable[[AgentSession, AgentSession], object]] = {
    "a changed premise": _changed_premise,
    "a merged edit": _merged_edit,
}


async def _played(scene: Callable[[AgentSession, AgentSession], object]) -> list[coagent.Notification]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.toml").write_text('host = "old.example"\nport = 80\n\n[limits]\nsize = 5\n')
        Path(folder, "lib.py").write_text("def fetch(url):\n    return url\n")
        target = coagent.targets.Files(folder)
        async with coagent.open_domain("memory:", targets=[target], tools=[FILE_TOOLS]) as domain:
            ops, docs = await domain.join("ops"), await domain.join("docs")
            await scene(ops, docs)  # type: ignore[misc]
            notices = (await docs.finish()).notifications
            await docs.abort()
            await ops.abort()
    return notices


def notices(title: str) -> list[coagent.Notification]:
    """Return the notices that `docs` gets in a scene."""
    return anyio.run(_played, SCENES[title])


def shown(title: str) -> str:
    """Return the one notice of a scene as docs/notice.md shows it: its marks, which are random, are fixed."""
    (notice,) = notices(title)
    marks: dict[str, str] = dict(zip(dict.fromkeys(_MARK.findall(notice.text)), _SHOWN_MARKS, strict=False))
    text = _MARK.sub(lambda found: marks[found[0]], notice.text)
    numbered = (
        f"{number:>2}  {line}" for number, line in zip(itertools.count(1), text.splitlines(), strict=False)
    )
    return "\n".join(["```", *numbered, "```"])


def drawn(text: str) -> str:
    """Return the document with its notices as they are now."""
    for title in SCENES:
        text = with_block(text, title, shown(title))
    return text


if __name__ == "__main__":
    NOTICE.write_text(drawn(NOTICE.read_text(encoding="utf-8")), encoding="utf-8")
