"""Files, manifests and documents of hostile size or shape: a clear error or a cut result; others go on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import coagent
from coagent.protocol.patterns import TOO_LARGE
from coagent.systems.documents.tools import DOCUMENT_TOOLS
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.git.nested import _overwriting_verb
from coagent.systems.kubernetes import manifests
from coagent.systems.kubernetes.strategic_merge import merge_strategically
from coagent.systems.kubernetes.tools import _apply_patch, kube_apply, kube_patch
from coagent.targets import Documents, Files, Memory
from coagent.tools import state as tool_state
from coagent.tools.nearest import nearest

DEADLINE_S = 60
Session = Any
Story = Callable[[Session, Session], Awaitable[None]]


def tell(story: Story, targets: list[Any], tools: list[Any]) -> None:
    async def main() -> None:
        with anyio.fail_after(DEADLINE_S):
            async with coagent.open_domain("memory:", targets=targets, tools=tools) as domain:
                await story(await domain.join("A"), await domain.join("B"))

    anyio.run(main)


async def fails(session: Session, tool: str, /, **arguments: Any) -> coagent.CoAgentError:
    with pytest.raises(coagent.CoAgentError) as caught:
        await session.call(tool, **arguments)
    assert caught.value.cure
    return caught.value


# ---- searches ----------------------------------------------------------------------------------------------


def test_others_go_on_while_a_large_tree_is_searched(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"f{number}.py").write_text("from package import a_name, b_name, c_name\n" * 300)

    async def story(a: Session, b: Session) -> None:
        done: list[int] = []

        async def others() -> None:
            while True:
                await anyio.lowlevel.checkpoint()
                done.append(1)

        async with anyio.create_task_group() as group:
            group.start_soon(others)
            found = await a.call("search_files", pattern=r"^(\s*\w+,?)+;$|([a-z]+)+!$")
            during = len(done)
            group.cancel_scope.cancel()
        assert found.value == []
        assert during > 20

    tell(story, [Files(tmp_path)], [FILE_TOOLS])


def test_a_pattern_that_is_not_supported_fails_whatever_there_is_to_search(tmp_path: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        error = await fails(a, "search_files", pattern=r"(?<=x)y", path="not/there")
        assert error.cause == "the pattern '(?<=x)y' uses looking behind, which this search does not support"
        error = await fails(a, "search_files", pattern="x" * 5000)
        assert "more than 2000" in error.cause
        error = await fails(a, "list_files", glob="*" * 5000)
        assert "5000 characters" in error.cause

    tell(story, [Files(tmp_path)], [FILE_TOOLS])


def test_a_search_that_matches_nearly_everything_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_state, "LINES_MAX", 1000)
    (tmp_path / "a").write_text("x\n" * 600)
    (tmp_path / "b").write_text("x\n" * 600)

    async def story(a: Session, b: Session) -> None:
        error = await fails(a, "search_files", pattern="x")
        assert error.cause == "more than 1000 lines match 'x'"
        assert len((await a.call("search_files", pattern="x", path="a")).value) == 501

    tell(story, [Files(tmp_path)], [FILE_TOOLS])


def test_a_file_too_large_for_a_pattern_is_named_in_the_result(tmp_path: Path) -> None:
    (tmp_path / "one_line.js").write_text("ab" * 2_000_000)
    (tmp_path / "b.py").write_text("abc\n")

    async def story(a: Session, b: Session) -> None:
        found = (await a.call("search_files", pattern="abc|b(a|b){900}c")).value
        assert found == ["b.py:1: abc", f"one_line.js:0: {TOO_LARGE}"]

    tell(story, [Files(tmp_path)], [FILE_TOOLS])


def test_a_file_of_one_huge_line_can_be_searched_read_and_edited(tmp_path: Path) -> None:
    size = 50_000_000
    (tmp_path / "huge.json").write_text('{"a": "' + "x" * size + '"}')

    async def story(a: Session, b: Session) -> None:
        found = (await a.call("search_files", pattern=r'"a": "x+')).value
        assert [len(line) < 600 for line in found] == [True]
        assert len((await a.call("read_file", path="huge.json", offset=1, limit=1)).value) > size
        error = await fails(a, "edit_file", path="huge.json", old_string="y" * 10_000, new_string="")
        assert "does not occur" in error.cause
        assert (await b.call("search_files", pattern="(x+x+)+y")).value == []
        await a.call("edit_file", path="huge.json", old_string='"a"', new_string='"b"')
        settlement = await b.finish()
        assert all(len(notice.text) < 10_000 for notice in settlement.notifications)

    tell(story, [Files(tmp_path, max_bytes=2 * size)], [FILE_TOOLS])


def test_a_wrong_name_among_very_many_is_still_answered() -> None:
    names = [f"src/module_{number}/file_{number}.py" for number in range(50_000)]
    assert nearest("src/module_77/file_77.pyy", names) is not None
    assert nearest("x" * 100_000, ["x" * 100_001]) is None
    assert nearest("abcd", ["abce", "zz"]) == "abce"


# ---- manifests ---------------------------------------------------------------------------------------------

BOMB = "a0: &a0 x\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
MERGES = "m0: &m0 {k: v}\n" + "".join(
    f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}], j{i}: x}}\n" for i in range(1, 12)
)
HOSTILE = {
    "bomb": (BOMB, "more than 100000 values"),
    "merges": (MERGES, "more than 100000 values"),
    "deep list": ("[" * 100_000 + "]" * 100_000, "more than 200 deep"),
    "deep object": ('{"a":' * 100_000 + "1" + "}" * 100_000, "more than 200 deep"),
    "long": ("a: " + "x" * 2_000_000, "more than 2000000"),
    "wide": ("".join(f"k{i}: v\n" for i in range(60_000)), "more than 100000 values"),
    "itself": ("&a [*a]", "within what it stands for"),
    "number": ("a: " + "1" * 10_000, "neither YAML nor JSON"),
    "no data": ("a: !!python/object/apply:os.getcwd []", "neither YAML nor JSON"),
}


def test_hostile_yaml_is_refused_with_a_reason_before_it_is_built() -> None:
    """In a process of its own: what does not end, or takes all the memory, would take the tests with it."""
    program = (
        "import anyio, json, sys\nfrom coagent.systems.kubernetes.manifests import documents\n"
        "from coagent.errors import ToolFailed\n"
        "for text in json.load(sys.stdin):\n"
        "    try:\n        anyio.run(documents, text)\n        print('read')\n"
        "    except ToolFailed as error:\n        print(str(error).replace(chr(10), ' '))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([text for text, _ in HOSTILE.values()]),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    for (name, (_, reason)), told in zip(HOSTILE.items(), done.stdout.splitlines(), strict=True):
        assert reason in told, name


def test_ordinary_yaml_with_aliases_and_merges_is_read() -> None:
    text = "base: &b {x: 1, d: 2024-01-02}\none: {<<: *b, y: 2}\nlist: [*b, *b]\n2: z\n"
    (found,) = anyio.run(manifests.documents, text)
    base = {"x": 1, "d": "2024-01-02"}
    assert found == {"base": base, "one": {**base, "y": 2}, "list": [base, base], "2": "z"}


def test_a_json_patch_that_doubles_the_object_again_and_again_is_refused() -> None:
    copies = [{"op": "copy", "from": "/spec", "path": f"/spec/c{i}"} for i in range(60)]
    with pytest.raises(coagent.ToolFailed, match="more than 100000 values"):
        _apply_patch({"spec": {"a": 1}}, copies)
    with pytest.raises(coagent.ToolFailed, match="1001 operations"):
        _apply_patch({}, [{"op": "test", "path": "", "value": {}}] * 1001)


def test_long_lists_of_named_items_merge_as_short_ones_do() -> None:
    items = [{"name": f"n{i}", "value": "a"} for i in range(20_000)]
    patch = [{"name": "n7", "$patch": "delete"}, {"name": "n8", "value": "b"}, {"name": "new", "value": "c"}]
    merged = merge_strategically({"env": items}, {"env": [*patch, *items[100:]]})["env"]
    assert len(merged) == 20_000
    assert merged[7] == {"name": "n8", "value": "b"}
    assert merged[-1] == {"name": "new", "value": "c"}


def test_arguments_that_lie_too_deep_in_one_another_are_refused_before_anything_runs() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}

    async def story(a: Session, b: Session) -> None:
        for tool, arguments in {
            "kube_apply": {"manifest": deep},
            "kube_patch": {"kind": "pod", "name": "a", "patch": deep},
        }.items():
            with pytest.raises(coagent.CoAgentError) as caught:
                await a.call(tool, **arguments)
            assert "200 deep" in caught.value.cause

    tell(story, [Memory({"k8s:default/pods/a": {}})], [kube_apply, kube_patch])


# ---- documents and commands --------------------------------------------------------------------------------


def test_the_text_of_a_section_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("# Goals\n\ntext\n")

    async def story(a: Session, b: Session) -> None:
        for tool in ("doc_replace_section", "doc_append_to_section"):
            error = await fails(a, tool, path="plan.md", heading="Goals", content="- a\n" * 50_000)
            assert "more than 100000" in error.cause
        error = await fails(a, "doc_append_section", path="plan.md", heading="x", content="a\n" * 60_000)
        assert "more than 100000" in error.cause
        await a.call("doc_append_to_section", path="plan.md", heading="Goals", content="- a\n" * 2000)

    tell(story, [Documents(tmp_path)], DOCUMENT_TOOLS)


def test_long_commands_are_looked_through_in_linear_time() -> None:
    assert _overwriting_verb("git " * 200_000) is None
    assert _overwriting_verb("cd a && git -C b checkout .") == "checkout"
    assert _overwriting_verb("git status; echo checkout") is None
    assert _overwriting_verb("git\tstash") == "stash"
