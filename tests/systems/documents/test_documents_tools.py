"""The document tools, alone and by two agents at one file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import anyio
import pytest

import coagent
from coagent.systems.documents.tools import DOCUMENT_TOOLS
from coagent.targets import Documents

PLAN = "# Plan\n\n## Goals\n\nBe quick.\n\n## Risks\n\nNone.\n"
Step = tuple[str, dict[str, Any]]


async def run(root: Path, *agents: list[Step], order: list[int] | None = None) -> list[list[Any]]:
    """Run the agents' steps in an order of arrival; each keeps what it is told."""
    results: list[list[Any]] = [[] for _ in agents]
    async with coagent.open_domain("memory:", targets=[Documents(root)], tools=DOCUMENT_TOOLS) as domain:
        sessions = [await domain.join(f"agent{index}") for index in range(len(agents))]
        waiting = [iter(steps) for steps in agents]
        for index in order if order is not None else [n for n, steps in enumerate(agents) for _ in steps]:
            name, arguments = next(waiting[index])
            results[index].append((await sessions[index].call(name, **arguments)).value)
        for session in sessions:
            while (await session.finish(wait=True)).state == "notified":
                pass
    return results


def call(name: str, heading: str, content: str = "", **more: Any) -> Step:
    arguments = {"path": "plan.md", "heading": heading, **more}
    return (f"doc_{name}", {**arguments, "content": content} if content else arguments)


def text_after(tmp_path: Path, *steps: Step, before: str = PLAN) -> tuple[str, list[Any]]:
    (tmp_path / "plan.md").write_text(before, newline="")
    results = anyio.run(run, tmp_path, list(steps))
    return (tmp_path / "plan.md").read_bytes().decode(), results[0]


def test_each_tool_does_what_it_says(tmp_path: Path) -> None:
    text, results = text_after(
        tmp_path,
        ("doc_outline", {"path": "plan.md"}),
        call("read_section", "Goals"),
        call("replace_section", "## Goals", "## Goals\n\nBe *right*."),
        call("append_to_section", "Goals", "Then quick."),
        call("append_to_section", "Risks", "- one"),
        call("append_to_section", "Risks", "- two"),
        call("append_section", "Budget", "10\n\n### Details\n\nmore"),
        call("read_section", "Plan", subsections=True),
    )
    assert results[0][1] == {"level": 2, "heading": "Plan/Goals"}
    assert results[1] == "Be quick."
    assert text == (
        "# Plan\n\n## Goals\n\nBe *right*.\n\nThen quick.\n\n## Risks\n\nNone.\n\n- one\n- two\n"
        "\n## Budget\n\n10\n\n### Details\n\nmore\n"
    )
    assert "# Plan\n\n" + results[-1] + "\n" == text


@pytest.mark.parametrize(
    "before", ["# Plan", "# Plan\n\ntext", "# Plan\n\ntext\n\n\n", "intro", "", "# Plan\r\n\r\nx\r\n"]
)
def test_a_section_is_appended_to_any_end_of_file(tmp_path: Path, before: str) -> None:
    text, _ = text_after(tmp_path, call("append_section", "New", "body"), before=before)
    line_end = "\r\n" if "\r" in before else "\n"
    assert text == (before.rstrip() + 2 * line_end).lstrip() + f"## New{line_end}{line_end}body{line_end}"


def test_text_is_put_under_a_heading_without_line_end(tmp_path: Path) -> None:
    text, _ = text_after(tmp_path, call("replace_section", "Plan", "body"), before="# Plan")
    assert text == "# Plan\n\nbody\n"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (call("read_section", "Gaols"), "'Plan/Goals'"),
        (call("replace_section", "Goals", "a\n# b\n"), "doc_append_section"),
        (("doc_outline", {"path": "plam.md"}), "'plan.md'"),
        (call("append_section", "X", "y", level=9), "from 1 to 6"),
    ],
)
def test_a_mistake_is_answered_with_its_cure(tmp_path: Path, step: Step, message: str) -> None:
    with pytest.raises(coagent.ToolFailed, match=message):
        text_after(tmp_path, step)


TASKS = [
    [call("read_section", "Goals"), call("append_section", "From A", "a")],
    [call("append_section", "From B", "b"), call("append_to_section", "Risks", "late")],
]


@pytest.mark.parametrize("order", sorted(set(itertools.permutations([0, 0, 1, 1]))))
def test_sections_of_two_agents_both_survive_in_rank_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    (tmp_path / "plan.md").write_text(PLAN)
    anyio.run(lambda: run(tmp_path, *TASKS, order=list(order)))
    assert (tmp_path / "plan.md").read_text() == (
        PLAN.replace("None.\n", "None.\n\nlate\n") + "\n## From A\n\na\n\n## From B\n\nb\n"
    )


def test_agents_at_different_sections_are_not_notified(tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text(PLAN)

    async def main() -> None:
        async with coagent.open_domain(
            "memory:", targets=[Documents(tmp_path)], tools=DOCUMENT_TOOLS
        ) as domain:
            low, high = await domain.join("low"), await domain.join("high")
            await high.call("doc_read_section", path="plan.md", heading="Risks")
            await high.call("doc_replace_section", path="plan.md", heading="Risks", content="Some.")
            await low.call("doc_replace_section", path="plan.md", heading="Goals", content="Be right.")
            await low.call("doc_append_section", path="plan.md", heading="More", content="more")
            assert not high.notified
            assert (await low.finish()).state == "committed"
            assert (await high.finish()).state == "committed"

    anyio.run(main)
    assert (tmp_path / "plan.md").read_text() == (
        "# Plan\n\n## Goals\n\nBe right.\n\n## Risks\n\nSome.\n\n## More\n\nmore\n"
    )
