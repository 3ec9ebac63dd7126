"""The documents target: byte-exact, one object a section, guarded."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coagent.errors import TargetError
from coagent.systems.documents.markdown import parse
from coagent.targets import Documents, GuardFailed

PLAN = """---
title: x
---
intro

# Plan

## Goals

Be *quick*.

```sh
# no heading
```

### Budget
10

Risks
-----

> # quoted, no heading

## Goals

again
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "plan.md").write_text(PLAN)
    return tmp_path


def test_a_file_is_an_outline_a_preamble_and_its_bodies(root: Path) -> None:
    found = Documents(root).snapshot()
    assert list(found) == [
        "doc:plan.md#",
        "doc:plan.md#/",
        "doc:plan.md#Plan/Goals",
        "doc:plan.md#Plan/Goals/Budget",
        "doc:plan.md#Plan/Goals~2",
        "doc:plan.md#Plan/Risks",
    ]
    assert found["doc:plan.md#"][1] == [2, "Plan/Goals", "\n## Goals\n"]
    assert found["doc:plan.md#/"] == "---\ntitle: x\n---\nintro\n"
    assert found["doc:plan.md#Plan/Goals"] == "\nBe *quick*.\n\n```sh\n# no heading\n```\n"
    assert found["doc:plan.md#Plan/Risks"] == "\n> # quoted, no heading\n"


PIECES = st.sampled_from(
    ["# A\n", "## B\n", "## A/B ~2\n", "text\n", "\n", "  \n", "```\n", "B\n---\n", "- x\n", "> # q\n", "#\n"]  # noqa: RUF005
    + [
        "\r\n",
        "## C\r\n",
        "x\r",
        "\t",
        "\x0c",
        "\u2028",
        "***\n",
        "    # code\n",
        "a\n\n\n",
        "# end",
        "<div>\n",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_parsing_loses_no_byte(text: str) -> None:
    document = parse(text)
    parts = [document.preamble]
    for heading in document.headings:
        parts += heading.source, document.bodies.get(heading.path, "")
    assert "".join(parts) == text
    assert len({heading.path for heading in document.headings}) == len(document.headings)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_composing_what_was_parsed_gives_the_same_text(text: str) -> None:
    assert parse(parse(text).text) == parse(text)


def test_a_put_is_guarded_and_idempotent(root: Path) -> None:
    async def main() -> None:
        target = Documents(root)
        key = "doc:plan.md#Plan/Goals/Budget"
        await target.put(key, "20\n", expected=["10\n"])
        await target.put(key, "20\n", expected=["10\n"])
        with pytest.raises(GuardFailed) as caught:
            await target.put(key, "30\n", expected=["10\n", None])
        assert caught.value.found == "20\n"

    anyio.run(main)
    assert (root / "plan.md").read_text() == PLAN.replace("\n10\n", "\n20\n")


def test_keys_of_one_change_are_put_one_at_a_time_in_order(root: Path) -> None:
    async def main() -> None:
        target = Documents(root)
        wanted = target.snapshot()
        wanted["doc:plan.md#"] = [*wanted["doc:plan.md#"], [2, "Plan/New", "\n## New\n"]]
        wanted["doc:plan.md#Plan/New"] = "\nbody\n"
        for key in sorted(wanted):
            await target.put(key, wanted[key], expected=[await target.get(key)])
        assert target.snapshot() == wanted

    anyio.run(main)
    assert (root / "plan.md").read_text() == PLAN + "\n## New\n\nbody\n"


def test_a_file_comes_and_goes_with_its_outline(tmp_path: Path) -> None:
    async def main() -> None:
        target = Documents(tmp_path)
        await target.put("doc:sub/new.md#", [[1, "New", "# New\n"]], expected=[None])
        await target.put("doc:sub/new.md#New", "text\n", expected=[None])
        assert (tmp_path / "sub/new.md").read_text() == "# New\ntext\n"
        await target.put("doc:sub/new.md#", None, expected=[[[1, "New", "# New\n"]]])
        await target.put("doc:sub/new.md#New", None, expected=["text\n"])
        assert target.snapshot() == {}

    anyio.run(main)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("doc:plan.md#Plan/Goals", "## Surprise\n"),
        ("doc:plan.md#Plan/Nowhere", "text\n"),
        ("doc:plan.md#", "no list"),
        ("doc:plan.md#", [[1, "Other", "# Plan\n"]]),
        ("doc:plan.md#Plan", "```\nopen fence\n"),
        ("doc:plan.md", "text"),
        ("doc:plan.txt#A", "text"),
    ],
)
def test_what_would_not_read_back_is_refused(root: Path, key: str, value: object) -> None:
    async def main() -> None:
        target = Documents(root)
        with pytest.raises(TargetError):
            await target.put(key, value, expected=[await target.get(key)])

    anyio.run(main)
    assert (root / "plan.md").read_text() == PLAN


def test_a_key_cannot_leave_the_folder(root: Path) -> None:
    target = Documents(root)
    with pytest.raises(TargetError):
        target.canonical("doc:../plan.md#A")
    assert target.canonical("doc:./sub/../plan.md#A/B") == "doc:plan.md#A/B"
