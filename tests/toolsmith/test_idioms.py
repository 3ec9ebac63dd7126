"""Commands as agents write them, for what there is a tool for: each must come to that tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from coagent.systems.files.target import Files
from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.views.overlay import available
from coagent.toolsmith.idioms import name_temporaries, sed_of_perl
from coagent.toolsmith.library import Library
from coagent.toolsmith.smith import ToolSmith
from coagent.toolsmith.stages import NoReader, check_stages

pytest.importorskip("tree_sitter_bash")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(available()), reason=available() or "private views can be had"),
    pytest.mark.skipif(shutil.which("jq") is None, reason="the tools grown here need jq"),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "tree"
    (root / "notes" / "deep").mkdir(parents=True)
    (root / "hosts").write_text("10.0.0.2 two\n10.0.0.1 one\n")
    (root / "app.json").write_text('{"port": 80}\n')
    (root / "project.toml").write_text('[project]\nname = "x"\n\n[tool.lint]\nlength = 100\n')
    (root / "main.py").write_text("TIMEOUT = 30\n")
    (root / "notes" / "a.txt").write_text("a\n")
    (root / "notes" / "b.bak").write_text("b\n")
    (root / "notes" / "deep" / "c.bak").write_text("c\n")
    (root / "current").symlink_to("notes")
    (root / "a=1.csv").write_text("1,one\n")
    begin = "git init -q; git add hosts; git -c user.name=a -c user.email=a@example.com commit -qm begin; "
    begin += "git clone -q . inner"
    subprocess.run(["bash", "-c", begin], cwd=root, check=True)
    return Files(root).workspace


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """One for many commands: what a tool is there for need not be verified again."""
    return Library(tmp_path_factory.mktemp("library") / "tools")


@pytest.mark.parametrize(
    ("command", "tool"),
    [
        ("cat > motd <<'END'\nWelcome $USER\n\nBe careful\nEND", "write_line"),
        ("cat <<END >> hosts\n10.0.0.3 three\nEND", "append_line"),
        pytest.param("printf 'x\\ty\\nz\\n' >> hosts", "append_line", marks=pytest.mark.long),
        pytest.param("printf '%s\\n' one two > motd", "write_line", marks=pytest.mark.long),
        ("t=$(mktemp) && jq '.port=81' app.json > $t && cat $t > app.json && rm $t", "json_set"),
        pytest.param(
            "jq '.port=81' app.json > /tmp/app.$$ && mv /tmp/app.$$ app.json",
            "json_set",
            marks=pytest.mark.long,
        ),
        ("sort -n -o hosts hosts", "rewrite_file"),
        ("LC_ALL=C sort hosts | head -1", "look_into"),
        ("cut -d' ' -f2 hosts > names", "write_found"),
        ("comm -12 notes/a.txt main.py", "compare_files"),
        pytest.param("diff hosts main.py | grep '^>' | wc -l", "compare_files", marks=pytest.mark.long),
        pytest.param("LC_ALL=C join -t, a=1.csv main.py", "compare_files", marks=pytest.mark.long),
        ("paste -d, hosts notes/a.txt > both", "combine_files"),
        pytest.param("sort -u hosts notes/a.txt > both", "combine_files", marks=pytest.mark.long),
        pytest.param("git -C . grep -n one", "look_into", marks=pytest.mark.long),
        ("cd notes && git log --oneline", "look_into"),
        ("git -C inner branch topic/one", "git_name"),
        pytest.param("find notes -name '*.bak' -exec rm {} +", "delete_found", marks=pytest.mark.long),
        pytest.param(
            "find notes -type f -name '*.bak' -exec rm -f {} \\;", "delete_found", marks=pytest.mark.long
        ),
        ("find notes -name '*.bak' -print0 | xargs -0 rm -f", "delete_found"),
        pytest.param("perl -pi -e 's/two/zwei/g' hosts", "edit_with_sed", marks=pytest.mark.long),
        pytest.param("sed -i -E 's/(one|two)$/<\\1>/' hosts", "edit_with_sed", marks=pytest.mark.long),
        ("sed -i -e '/two/d' -e 's/one/eins/' hosts", "edit_with_sed"),
        ("sed -i 's/^TIMEOUT = .*/TIMEOUT = 60/' main.py", "edit_with_sed"),
        ("sed -i 's/^length = .*/length = 120/' project.toml", "key_set"),
        ("cp -r notes copied", "copy"),
        ("mv notes/deep notes/deeper", "move"),
        ("rm -rf notes", "remove"),
        ("ln -sfn notes/deep current", "link"),
        pytest.param("rm current", "remove", marks=pytest.mark.long),
        ("tar -czf notes.tgz -C notes deep", "pack_archive"),
    ],
)  # fmt: skip
async def test_a_usual_way_of_saying_it_comes_to_the_tool_for_it(
    workspace: Workspace, library: Library, command: str, tool: str
) -> None:
    answer = await ToolSmith(workspace, library).request("x", command)
    assert answer.tool is not None, answer.reason
    assert answer.tool.name == tool, answer.tool.command
    assert answer.tool.is_verified


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        ("git tag v1", ".git/refs/tags/v1"),
        ("git config user.name somebody", ".git/config"),
        ("git -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m x", ".git/logs/HEAD"),
        ("echo x >> hosts && git add hosts", ".git/index"),
    ],
)
async def test_what_changes_the_repository_of_the_workspace_makes_no_tool(
    workspace: Workspace, tmp_path: Path, command: str, changed: str
) -> None:
    answer = await ToolSmith(workspace, Library(tmp_path / "tools")).request("x", command)
    assert answer.tool is None  # every call of it would be refused
    assert changed in answer.reason


async def test_one_tool_serves_many_ways_of_saying_it(workspace: Workspace, tmp_path: Path) -> None:
    smith = ToolSmith(workspace, Library(tmp_path / "tools"))
    same = (
        "find notes -name '*.bak' -delete",
        "find notes -type f -name 'a*' -exec rm {} +",
        "find . -name 'c.*' -print0 | xargs -0 rm",
    )
    answers = [await smith.request("x", command) for command in same]
    assert [one.status for one in answers] == ["made", "reused", "reused"]
    assert {one.tool.name for one in answers if one.tool} == {"delete_found"}


async def test_a_tool_that_may_not_change_what_the_command_changes_is_not_handed_out(
    workspace: Workspace, tmp_path: Path
) -> None:
    smith = ToolSmith(workspace, Library(tmp_path / "tools"))
    first = await smith.request("x", "sed -i 's/^length = .*/length = 90/' project.toml")
    second = await smith.request("x", "sed -i 's/^TIMEOUT = .*/TIMEOUT = 60/' main.py")
    assert [one.tool.name for one in (first, second) if one.tool] == ["key_set", "edit_with_sed"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ('python3 -c \'open("hosts", "w").close()\'', "is code"),
        ("cat > motd <<END\n$HOME\nEND", "here-document"),
        ("python3 <<'END'\nprint(1)\nEND", "here-document"),
        ("cat > motd <<'END' && touch x\nwords\nEND", "here-document"),
        ("echo $$ > motd", "something else"),
        ("timeout 5 grep one hosts | xargs rm", ""),
    ],
)
async def test_what_is_no_such_idiom_makes_no_tool(
    workspace: Workspace, tmp_path: Path, command: str, why: str
) -> None:
    answer = await ToolSmith(workspace, Library(tmp_path / "tools")).request("x", command)
    assert answer.tool is None
    assert why in answer.reason


@pytest.mark.parametrize("runner", ["env", "nice", "nohup", "timeout 5", "time", "stdbuf -o0", "command"])
async def test_a_program_that_is_run_by_another_is_no_value(
    workspace: Workspace, tmp_path: Path, runner: str
) -> None:
    answer = await ToolSmith(workspace, Library(tmp_path / "tools")).request("x", f"{runner} cat hosts")
    assert answer.tool is None or "cat" not in (answer.arguments or {}).values()


def test_names_of_temporary_files_are_fixed_and_nothing_else_is() -> None:
    assert name_temporaries("t=$(mktemp); sort a > $t; mv ${t} a").count("/tmp/of-the-command") == 2
    assert name_temporaries("echo '$$' > \"$x.$$\"") == "echo '$$' > \"$x.0\""
    assert name_temporaries("sed 's/a$/b/' x") == "sed 's/a$/b/' x"


@pytest.mark.parametrize(
    ("script", "sed"),
    [
        (r"s/port \d+;/port 1;/g", "s/port [0-9]+;/port 1;/g"),
        (r"s|(a)-(b)|$2-$1|", r"s|(a)-(b)|\2-\1|"),
        (r's/v = "[^"]+"/v = "2"/i', 's/v = "[^"]+"/v = "2"/I'),
        (r"s/a.*?b/x/", None),
        (r"s/a(?=b)/x/", None),
        (r"s/a/$ENV{HOME}/", None),
        (r"s/a/`id`/e", None),
        (r"s/@x/y/", None),
        (r"s/[\d]/y/", None),
        ("unlink 'x'", None),
        ("s/a/b/; system('x')", None),
    ],
)
def test_a_substitution_of_perl_is_one_of_sed_or_none(script: str, sed: str | None) -> None:
    assert sed_of_perl(script) == sed


@pytest.mark.parametrize(
    "stages",
    [
        [["tail", "{}", "{2}"]],
        [["git", "-C", "{}", "grep", "-O./program", "x"]],
        [["git", "-C", "{}", "grep", "--no-index", "x"]],
        [["git", "-C", "{}", "grep", "-f", "x", "y"]],
        [["env", "PATH=.", "sort", "{}"]],
        [["env", "LC_ALL=C", "tee", "{}"]],
        [["env", "LC_ALL=C", "env", "LC_ALL=C", "sort", "{}"]],
        [["env", "LC_ALL=C"]],
        [["diff", "--to-file=x", "{}", "{2}"]],
        [["sort", "-o", "{}", "{2}"]],
        [["sort", "{2}", "{}"]],
        [["cat", "{}"], ["comm", "{}", "{2}"]],
        [["find", "{}", "-newermt", "-delete"]],
    ],
)
def test_stages_that_are_not_let_in(stages: list[list[str]]) -> None:
    with pytest.raises(NoReader):
        check_stages(stages)


async def test_two_files_are_compared_as_they_are_named(workspace: Workspace, tmp_path: Path) -> None:
    smith = ToolSmith(workspace, Library(tmp_path / "tools"))
    answers = [
        await smith.request("x", command)
        for command in (
            "comm -12 notes/a.txt main.py",
            "paste -d, hosts a=1.csv",
            "diff hosts main.py | tail -1",
        )
    ]
    assert [one.status for one in answers] == ["made", "reused", "reused"]
