"""What an agent writes into a document is judged at its own place, whatever later agents have left in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

import coagent
from coagent.errors import TargetError
from coagent.systems.documents.markdown import open_fence, parse, stands_alone
from coagent.systems.documents.target import Documents
from coagent.systems.documents.tools import DOCUMENT_TOOLS

Step = tuple[int, str, dict[str, Any]]
PLAN = "# T\n\nt\n\n## A\n\na\n\n## Last\n\nz\n"
MARK = "\ufeff"


def play(folder: Path, content: bytes, steps: Sequence[Step]) -> tuple[bytes, list[str]]:
    """Let two agents do something to one document; return it, and what came of each step."""
    folder.mkdir(exist_ok=True)
    (folder / "plan.md").write_bytes(content)
    told: list[str] = []

    async def main() -> None:
        targets = [Documents(folder)]
        async with coagent.open_domain("memory:", targets=targets, tools=[DOCUMENT_TOOLS]) as domain:
            sessions = [await domain.join(name) for name in "AB"]
            for who, tool, arguments in steps:
                try:
                    told.append(str((await sessions[who].call(tool, path="plan.md", **arguments)).value))
                except coagent.CoAgentError as error:
                    told.append(f"error: {error}")
            for session in sessions:
                while session.state != "committed":
                    await session.finish(wait=True)

    anyio.run(main)
    return (folder / "plan.md").read_bytes(), told


def append(heading: str, content: str) -> tuple[str, dict[str, Any]]:
    return "doc_append_section", {"heading": heading, "content": content}


@pytest.mark.parametrize("mark", ["", MARK])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("content", "later"),
    [
        (PLAN, ("doc_append_to_section", {"heading": "Last", "content": "```\ncode"})),
        (PLAN, ("doc_replace_section", {"heading": "Last", "content": "~~~~ text\n```\n# no heading"})),
        (PLAN, ("doc_replace_section", {"heading": "Last", "content": "> ```\n> quoted"})),
        (PLAN, ("doc_replace_section", {"heading": "Last", "content": "- ```\n  listed"})),
        (PLAN, ("doc_replace_section", {"heading": "Last", "content": "<!-- todo"})),
        (PLAN, append("B", "```\ncode")),
        ("", append("B", "b")),
        ("---\ntitle: x\n---\n", append("B", "```")),
        ("before\n\nall\n", append("B", "b")),
        ("# T\n\n## New\n\n1\n\n## New\n\n2\n", append("New", "3")),
    ],
)
def test_what_a_later_agent_leaves_never_fails_an_earlier_ones_call(
    tmp_path: Path, content: str, later: tuple[str, dict[str, Any]], end: str, mark: str
) -> None:
    document = (mark + content.replace("\n", end)).encode()
    earlier = append("New", "n\nm")
    misordered: list[Step] = [(1, *later), (0, *earlier)]
    ended, told = play(tmp_path / "misordered", document, misordered)
    serial, _ = play(tmp_path / "serial", document, sorted(misordered, key=lambda step: step[0]))
    assert told[1].startswith("added section")
    assert ended == serial
    assert ended.decode().startswith(mark)
    if content:
        assert ended.count(b"\r\n") in (0, ended.count(b"\n"))


def test_a_fence_that_is_left_open_is_closed_and_that_is_told(tmp_path: Path) -> None:
    ended, told = play(
        tmp_path, PLAN.encode(), [(0, "doc_replace_section", {"heading": "A", "content": "~~~~\ncode"})]
    )
    assert "its code fence was left open, and is closed now" in told[0]
    assert b"~~~~\ncode\n~~~~\n\n## Last" in ended


def test_a_comment_that_is_left_open_is_refused_where_it_is_written(tmp_path: Path) -> None:
    ended, told = play(
        tmp_path, PLAN.encode(), [(0, "doc_replace_section", {"heading": "Last", "content": "<!-- todo"})]
    )
    assert "comment open" in told[0]
    assert ended == PLAN.encode()


@pytest.mark.parametrize(
    ("text", "fence"),
    [
        ("```\na\n```\n", ""),
        ("```\na", "```"),
        ("~~~~\n~~~\n", "~~~~"),
        ("a\n\n- ```\n  b\n", ""),
        ("    ```\n", ""),
        ("```\n1\n```\n\n````py\n```\n", "````"),
        ("", ""),
    ],
)
def test_open_fences_are_found(text: str, fence: str) -> None:
    assert open_fence(text) == fence
    closed = f"{text.rstrip()}\n{fence}\n" if fence else text
    assert stands_alone(closed, first=False)


def test_front_matter_stands_only_before_all_headings() -> None:
    front = "---\ntitle: x\n# no heading\n---\n"
    assert stands_alone(front, first=True)
    assert not stands_alone(front, first=False)
    assert [one.path for one in parse(f"{MARK}{front}# T\n").headings] == ["T"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "plan.md").write_bytes(PLAN.encode(encoding))
    with pytest.raises(TargetError, match="is UTF-16 text") as caught:
        Documents(tmp_path).snapshot()
    assert "UTF-8" in caught.value.cure
