"""Pipelines as values: what only reads is let in, nothing else is, and no word is ever read again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coagent
from coagent.errors import InvalidArguments, ToolFailed
from coagent.systems.files.target import Files
from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.views.overlay import available
from coagent.toolsmith.arguments import check_arguments
from coagent.toolsmith.example import ByExample
from coagent.toolsmith.footprint import fill_templates
from coagent.toolsmith.hostile import HOSTILE
from coagent.toolsmith.library import Library
from coagent.toolsmith.smith import ToolSmith, smith_tools
from coagent.toolsmith.stages import PROGRAMS, NoReader, check_stages, decode, encode, placed

views = pytest.mark.skipif(bool(available()), reason=available() or "private views can be had")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "work"
    (root / "notes").mkdir(parents=True)
    (root / "hosts").write_text("10.0.0.1 one\n10.0.0.2 two\n")
    (root / "data.csv").write_text("x,1\ny,2\n")
    (root / "notes/a.txt").write_text("alpha\n")
    (root / "notes/b.bak").write_text("beta\n")
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    return Workspace(str(root))


_READ = [
    "grep -c one hosts",
    "grep -rh alpha notes | wc -l",
    "awk '{print $2}' hosts | sort -r | head -1",
    "awk -F, -v n=1 '$2>n{print $1}' data.csv",
    "tail -n +2 hosts | cut -d' ' -f2 | tr a-z A-Z",
    "sed -n 's/^10//p' hosts",
    "find notes -type f -name '*.txt' ! -perm -u+x",
    "find notes -type f | sort | xargs -n1 basename | paste -sd' '",
    "git -C . log -1 --format=%s",
    "git -C . rev-list --count HEAD",
    "wc -l < hosts",
    "git log -1 --format=%s",
    "git rev-list --count HEAD",
    "find -name 'a*'",
    "ls -1",
]


@views
@pytest.mark.anyio
async def test_commands_that_read_share_one_tool_which_prints_what_they_print(workspace: Workspace) -> None:
    smith = ToolSmith(workspace, Library(Path(workspace.root) / "tools"))
    for number, command in enumerate(_READ):
        answer = await smith.request("look", command)
        assert answer.tool is not None, (command, answer.reason)
        assert (answer.tool.name, answer.status) == ("look_into", "reused" if number else "made"), command
        assert (answer.tool.effect, answer.tool.writes) == ("read", [])


@pytest.mark.parametrize(
    "command",
    [
        "sed -n 's/one/two/w stray' hosts -i",
        "sed -f script hosts",
        "awk '{print > \"stray\"}' hosts",
        "awk 'BEGIN{system(\"id\")}' hosts",
        "awk '{print | \"sh\"}' hosts",
        "awk -f program hosts",
        "awk '{print}' hosts notes/a.txt",
        "awk '{print}' FS=: hosts",
        "find notes -delete",
        "find notes -exec rm {} ;",
        "find notes -fprint stray",
        "find notes -newer hosts",
        "sort -o stray hosts",
        "sort -ostray hosts",
        "sort --output=stray hosts",
        "sort --compress-program=sh hosts",
        "sort -T notes hosts",
        "sort --files0-from=notes/a.txt hosts",
        "uniq hosts stray",
        "git -C . log --output=stray",
        "git -C . log -p",
        "git -C . log --format=%G?",
        "git -C . log --format=%+G?",
        "git -C . -c core.pager=sh log",
        "git -C . show HEAD",
        "git -C . tag v1",
        "git log --output=stray",
        "find notes | xargs rm",
        "find notes | xargs sed -i s/a/b/",
        "find notes | xargs -n1 sh -c id basename",
        "find notes | xargs cat",
        "tar -tf hosts --to-command=sh",
        "tar -tf hosts --checkpoint-action=exec=sh",
        "tar -I sh -tf hosts",
        "tar -xf hosts",
        "grep -f notes/a.txt hosts",
        "grep one hosts notes/a.txt",
        "cat hosts | grep -r one",
        "cat hosts | tee stray",
        "cat hosts > stray",
        "cat hosts | dd of=stray",
        "cat hosts | cat notes/a.txt",
        "tail -f hosts",
        "jq 'include \"x\"; .' hosts",
        "jq -f notes/a.txt hosts",
        "jq --rawfile x notes/a.txt . hosts",
        "cat hosts && cat notes/a.txt",
        "bash hosts",
        "env cat hosts",
        "./grep one hosts",
    ],
)
def test_what_may_do_more_than_read_is_never_let_in(workspace: Workspace, command: str) -> None:
    try:
        proposals = ByExample(workspace).propose("x", command)
    except ToolFailed:
        return
    names = [one.spec.name for one in proposals if "stages" in one.spec.parameters]
    writes = {"find notes -delete": "delete_found", "find notes | xargs rm": "delete_found"}
    writes |= {"cat hosts > stray": "write_found"}
    assert names == ([writes[command]] if command in writes else [])


@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_word_is_no_program_and_no_option(word: str) -> None:
    for stages in ([[word, "{}"]], [["cat", "{}"], [word]], [["find", "{}", word]], [["tar", word, "{}"]]):
        with pytest.raises(NoReader):
            check_stages(stages)
    assert word == "" or placed([["cat", "hosts", word]]) is None


_word = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12) | st.sampled_from(
    [*HOSTILE, *PROGRAMS, "{}", "-n", "-o", "-e", "-f", "-delete", "-exec", "--output=x", "-i", "w x", "1"]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.lists(_word, min_size=1, max_size=5), min_size=1, max_size=3))
def test_what_is_let_in_has_one_place_known_programs_and_one_form(stages: list[list[str]]) -> None:
    try:
        found = check_stages(stages)
    except NoReader:
        return
    assert [stage.count("{}") for stage in found] == [1] + [0] * (len(found) - 1)
    assert {stage[0] for stage in found} <= set(PROGRAMS)
    assert decode(encode(found)) == found
    assert check_stages(found) == found
    words = {word for stage in found for word in stage}
    assert not words & {"-delete", "-exec", "--output=x", "-i"} or {"grep", "awk", "sed", "tr"} & words


@settings(max_examples=60, deadline=None)
@given(pattern=st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Cf"]), max_size=20))
def test_a_word_reaches_its_program_as_it_is(tmp_path_factory: pytest.TempPathFactory, pattern: str) -> None:
    root = tmp_path_factory.mktemp("words")
    (root / "file").write_text(f"{pattern}\nother\n")
    proposal = ByExample(Workspace(str(root))).propose("x", "grep -c x file")[0]
    stages = [["grep", "-nFxe", pattern, "{}"], ["cat"]]
    values = check_arguments(proposal.spec, Workspace(str(root)), {"file": "file", "stages": stages})
    assert check_arguments(proposal.spec, Workspace(str(root)), values) == values
    done = subprocess.run(
        ["bash", "-c", proposal.spec.command],
        cwd=root,
        env={**os.environ, **values},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == f"1:{pattern}\n"
    assert sorted(path.name for path in root.iterdir()) == ["file"]


@views
@pytest.mark.anyio
async def test_writers_of_one_kind_share_a_tool_and_declare_what_they_change(
    workspace: Workspace,
) -> None:
    smith = ToolSmith(workspace, Library(Path(workspace.root) / "tools"))
    git = ["git", "-C", f"{workspace.root}/inner", "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run(["git", "init", "-q", f"{workspace.root}/inner"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    commands = {
        "rewrite_file": (
            "sort -r hosts > t && mv t hosts",
            "tail -1 notes/a.txt > t && cat t > notes/a.txt && rm t",
        ),
        "delete_found": ("find notes -name '*.bak' -delete", "find . -type f -empty -delete"),
        "pack_archive": ("tar -czf notes.tgz notes", "tar -cf old.tar hosts"),
        "git_name": ("git -C inner tag v1", "git -C inner branch topic/one HEAD"),
    }
    for name, (one, other) in commands.items():
        first, second = await smith.request("x", one), await smith.request("x", other)
        assert first.tool is not None, first.reason
        assert second.tool is not None, second.reason
        assert (first.tool.name, second.tool.name, second.status) == (name, name, "reused")
        assert second.arguments is not None
        values = check_arguments(second.tool, workspace, second.arguments)
        assert (
            fill_templates(second.tool, second.tool.writes, values)
            == {
                "rewrite_file": ["file:notes/a.txt"],
                "delete_found": ["file:"],
                "pack_archive": ["file:old.tar"],
                "git_name": [f"file:inner/.git/{one}refs/heads/topic/one" for one in ("", "logs/")],
            }[name]
        )


@views
@pytest.mark.anyio
async def test_hostile_words_of_a_pipeline_change_nothing(workspace: Workspace) -> None:
    root = Path(workspace.root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    files = Files(workspace.root)
    tools = smith_tools(files.workspace, root.parent / "library")
    async with coagent.open_domain("memory:", targets=[files], tools=[tools]) as domain:
        a = await domain.join("A")
        await a.call("request_tool", request="x", command="grep -c one hosts | cat")
        for hostile in HOSTILE:
            for stages in (
                [["grep", hostile, "{}"], ["sed", hostile]],
                [["awk", hostile, "{}"], ["tr", hostile, "x"]],
                [["cut", "-d", hostile, "-f1", "{}"], ["sort", "-t", hostile]],
            ):
                with contextlib.suppress(InvalidArguments, ToolFailed):
                    await a.call("look_into", file="hosts", stages=stages)
    assert before.items() <= {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}.items()
    assert not list(root.parent.rglob("pwned"))


@views
@pytest.mark.anyio
async def test_an_archive_is_unpacked_into_its_folder_only(workspace: Workspace) -> None:
    root = Path(workspace.root)
    (root / "good").mkdir()
    for name, member in (("good.tar", "alpha"), ("evil.tar", "../hosts"), ("far:away.tar", "beta")):
        with tarfile.open(root / name, "w") as archive:
            archive.add(root / "notes/a.txt", member)
    before = (root / "hosts").read_bytes()
    files = Files(workspace.root)
    tools = smith_tools(files.workspace, root.parent / "library")
    async with coagent.open_domain("memory:", targets=[files], tools=[tools]) as domain:
        a = await domain.join("A")
        answer = await a.call("request_tool", request="x", command="tar -C good -xf good.tar")
        assert answer.value["tool"] == "unpack_archive"
        done = await a.call("unpack_archive", archive="far:away.tar", folder="good")
        assert (root / "good/beta").read_text() == "alpha\n"
        with contextlib.suppress(ToolFailed):
            await a.call("unpack_archive", archive="evil.tar", folder="good")
        assert (root / "hosts").read_bytes() == before
        await a.undo(done.call_id)
    assert not (root / "good/beta").exists()


def test_a_name_for_a_commit_stays_below_its_kind(workspace: Workspace) -> None:
    spec, arguments, _ = ByExample(workspace).propose("x", "git -C . tag v1")[0]
    assert spec.name == "git_name"
    for wrong in ({"name": "../heads/main"}, {"name": "a/../../x"}, {"name": "-d"}, {"name": "a.lock"},
                  {"kind": "remotes"}, {"kind": "tags/../heads"}, {"commit": "--delete"}):  # fmt: skip
        with pytest.raises(InvalidArguments):
            check_arguments(spec, workspace, {**arguments, **wrong})


def test_only_a_find_is_what_is_deleted_by(workspace: Workspace) -> None:
    spec, arguments, _ = ByExample(workspace).propose("x", "find notes -name '*.bak' -delete")[0]
    for wrong in ([["cat", "{}"]], [["find", "{}"], ["sort"]], [["find", "{}", "-exec", "rm", ";"]]):
        with pytest.raises(InvalidArguments):
            check_arguments(spec, workspace, {**arguments, "stages": wrong})


_ODD = (
    "x", "-o", "-ox", "stray", "./program", "-", "--", "$(touch stray)", "`touch stray`", "a;b", "a|b", "*",
    "-e", "w stray", "1w stray", "1e touch stray", "s/a/b/w stray", "s/o/touch stray/e", "-n", "-s", "-i",
    "-r", "--output=stray", "--compress-program=./program", "-S1", "-z", '{print > "stray"}', "'", '"', "\\",
    'BEGIN{system("touch stray")}', "--files0-from=-", "{}", "p", ".", "-t,", "-k1", "-c", "-w1", "-nr",
    "-f", "-exec", "input", "-delete", "-fprint", "-name", "-type", "f", "!", "(", ")", "-empty", ";", "log",
    "-C", "-O./program", "status", "-tf", "--to-command=./program", "basename",
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(PROGRAMS), st.lists(st.sampled_from(_ODD), max_size=3)),
        min_size=1,
        max_size=2,
    )
)
def test_nothing_that_is_let_in_writes_even_without_a_view(
    tmp_path_factory: pytest.TempPathFactory, stages: list[tuple[str, list[str]]]
) -> None:
    try:
        found = check_stages(
            [[program, *words, *([] if number else ["{}"])] for number, (program, words) in enumerate(stages)]
        )
    except NoReader:
        return
    root = tmp_path_factory.mktemp("plain")
    (root / "file").write_text("one\nto one\nthree,3\n")
    (root / "program").write_text("#!/bin/sh\ntouch stray\n")
    (root / "program").chmod(0o755)
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    proposal = ByExample(Workspace(str(root))).propose("x", "grep -c x file")[0]
    for place in ("file", "."):
        subprocess.run(
            ["bash", "-c", proposal.spec.command],
            cwd=root,
            env={"PATH": os.environ["PATH"], "file": place, "stages": encode(found)},
            capture_output=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
    assert {path.name: path.read_bytes() for path in root.iterdir()} == before
