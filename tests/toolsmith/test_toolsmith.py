"""Tools grown from commands: made, verified, kept, used by several agents, and confined."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coagent
import coagent.systems.files.tools
from coagent.cli.main import main
from coagent.errors import ConfigurationError, FootprintViolation, InvalidArguments, ToolFailed
from coagent.systems.files.target import Files
from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.tools import bash_tools
from coagent.systems.shell.views.overlay import available
from coagent.toolsmith.arguments import check_arguments
from coagent.toolsmith.example import ByExample
from coagent.toolsmith.hostile import HOSTILE
from coagent.toolsmith.library import Library
from coagent.toolsmith.parse import parse
from coagent.toolsmith.smith import ToolSmith, smith_tools
from coagent.toolsmith.spec import Check, Parameter, ToolSpec, Verified
from coagent.toolsmith.verify import Verifier

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(available()), reason=available() or "private views can be had"),
    pytest.mark.skipif(shutil.which("jq") is None, reason="the tools grown here need jq"),
]
_SET = "jq '.debug=false' app.json > .t && cat .t > app.json && rm .t"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "work"
    root.mkdir()
    (root / "app.json").write_text('{"debug": true, "limits": {"rate": 1, "list": [1, 2]}}\n')
    (root / "other.json").write_text('{"debug": 1, "x": 2}\n')
    (root / "app.conf").write_text("port=80\nhost = a\n")
    (root / "app.ini").write_text("[server]\nport = 80\n[client]\nport = 81\n")
    (root / "hosts").write_text("10.0.0.1 one\n10.0.0.2 two\n")
    (root / "notes").mkdir()
    (root / "notes/a.txt").write_text("alpha\n")
    return Workspace(root)


@asynccontextmanager
async def _domain(workspace: Workspace, folder: Path | None = None) -> AsyncIterator[coagent.Domain]:
    files = Files(workspace.root)
    tools = [bash_tools(files.workspace), smith_tools(files.workspace, folder)]
    async with coagent.open_domain("memory:", targets=[files], tools=tools) as domain:
        yield domain


def _state(workspace: Workspace) -> dict[str, tuple[int, bytes]]:
    found = {}
    for at, folders, names in os.walk(workspace.root):
        folders[:] = [name for name in folders if name != ".coagent"]  # views come and go there
        for name in names:
            path = Path(at) / name
            found[str(path.relative_to(workspace.root))] = (path.stat().st_mode, path.read_bytes())
    return found


@pytest.mark.parametrize(
    ("command", "tool", "arguments"),
    [
        ("jq -r .debug app.json", "json_get", {"file": "app.json", "filter": ".debug"}),
        (
            "jq '.limits.list[1]=7' app.json > x && mv x app.json",
            "json_set",
            {"file": "app.json", "pointer": "/limits/list/1", "value": "7"},
        ),
        (
            "sed -i 's/^port=.*/port=81/' app.conf",
            "key_set",
            {"file": "app.conf", "key": "port", "value": "81"},
        ),
        ("sed -n 's/^port=//p' app.conf", "key_get", {"file": "app.conf", "key": "port"}),
        (
            "grep -c '^10' hosts",
            "look_into",
            {"file": "hosts", "stages": [["grep", "-c", "^10", "{}"]]},
        ),
        ("sed -i '/two/d' hosts", "edit_with_sed", {"file": "hosts", "script": "/two/d", "syntax": "basic"}),
        ("echo '10.0.0.3 three' >> hosts", "append_line", {"file": "hosts", "line": "10.0.0.3 three"}),
        pytest.param(
            "sed -i 's#10.0.0.1#10.9.9.9/24#g' hosts",
            "edit_with_sed",
            {"file": "hosts", "script": "s#10.0.0.1#10.9.9.9/24#g", "syntax": "basic"},
            marks=pytest.mark.long,
        ),
        (
            'awk \'/^\\[/{s=$0} s=="[client]" && $1=="port"{print $3}\' app.ini',
            "ini_get",
            {"file": "app.ini", "section": "client", "key": "port"},
        ),
        pytest.param(
            "sed -n '1{s/one/1/;p}' hosts",
            "look_into",
            {"file": "hosts", "stages": [["sed", "--sandbox", "-n", "1{s/one/1/;p}", "{}"]]},
            marks=pytest.mark.long,
        ),
        (
            "sort -r hosts | awk -F. '{print $4}' > .t && cat .t > hosts && rm .t",
            "rewrite_file",
            {"file": "hosts", "stages": [["sort", "-r", "{}"], ["awk", "-F.", "{print $4}"]]},
        ),
        pytest.param(
            "cp hosts notes/copy",
            "copy",
            {"source": "hosts", "destination": "notes/copy"},
            marks=pytest.mark.long,
        ),
        pytest.param(
            "mv hosts guests", "move", {"source": "hosts", "destination": "guests"}, marks=pytest.mark.long
        ),
        ("chmod +x hosts", "change_mode", {"mode": "+x", "file": "hosts"}),
        (
            "find . -name '*.txt' -delete",
            "delete_found",
            {"file": ".", "stages": [["find", "{}", "-name", "*.txt"]]},
        ),
        pytest.param("rm notes/a.txt", "remove", {"target": "notes/a.txt"}, marks=pytest.mark.long),
        pytest.param(
            "sort -r < hosts | head -n 1",
            "look_into",
            {"file": "hosts", "stages": [["cat", "{}"], ["sort", "-r"], ["head", "-n", "1"]]},
            marks=pytest.mark.long,
        ),
        (
            "cat hosts hosts app.json | head -n 1",
            "show_file_head",
            {"file": "hosts", "file2": "app.json", "number": "1"},
        ),
    ],
)
async def test_a_command_becomes_a_tool_that_does_the_same_and_is_undone(
    workspace: Workspace, command: str, tool: str, arguments: dict[str, Any]
) -> None:
    before = _state(workspace)
    plain = Path(workspace.root).parent / "plain"
    shutil.copytree(workspace.root, plain)
    expected = subprocess.run(["bash", "-c", command], cwd=plain, capture_output=True, text=True, check=True)
    async with _domain(workspace) as domain:
        a = await domain.join("A")
        answer = (await a.call("request_tool", request="do it", command=command)).value
        assert (answer.get("tool"), answer.get("arguments")) == (tool, arguments), answer
        assert _state(workspace) == before  # asking changes nothing
        done = await a.call(tool, **arguments)
        assert done.value == expected.stdout
        assert _state(workspace) == _state(Workspace(plain))
        await a.undo(done.call_id)
        assert _state(workspace) == before


@pytest.mark.usefixtures("all_hostile_values")
async def test_the_next_command_of_a_kind_gets_the_tool_that_is_there(workspace: Workspace) -> None:
    smith = ToolSmith(workspace, Library(Path(workspace.root) / "tools"))
    first = await smith.request("debug off", _SET)
    second = await smith.request("rate", "jq '.limits.rate=250' app.json > u && cat u > app.json && rm u")
    assert (first.status, second.status) == ("made", "reused")
    assert second.tool is not None
    assert second.tool.name == "json_set"
    assert second.arguments == {"file": "app.json", "pointer": "/limits/rate", "value": "250"}
    assert second.tool.writes == ["json:{file}#{pointer}"]
    assert first.tool is not None
    assert first.tool.verified is not None
    tried = {one.name: one.why for one in first.tool.verified.checks}["hostile arguments"]
    assert int(tried.split()[0]) > len(HOSTILE), "with every value that an argument may have at all"


async def test_workers_that_ask_for_the_same_at_once_get_one_tool(workspace: Workspace) -> None:
    folder = Path(workspace.root) / "tools"
    answers = []

    async def ask() -> None:
        answers.append(await ToolSmith(workspace, Library(folder)).request("x", "grep -c one hosts"))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert {answer.tool.name for answer in answers if answer.tool} == {"look_into"}
    assert [path.name for path in folder.glob("*.toml")] == ["look_into.toml"]


async def test_a_request_in_plain_words_finds_a_known_tool_or_asks_for_a_command(
    workspace: Workspace,
) -> None:
    smith = ToolSmith(workspace, Library(Path(workspace.root) / "tools"))
    assert "Send a bash command" in (await smith.request("set a value in a JSON file")).reason
    await smith.request("x", _SET)
    found = (await smith.request("set a value of some JSON file")).tool
    assert found is not None
    assert found.name == "json_set"


async def test_two_agents_set_two_keys_of_one_file_and_nobody_is_told(workspace: Workspace) -> None:
    async with _domain(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("request_tool", request="x", command=_SET)
        await b.call("json_set", file="app.json", pointer="/debug", value="false")
        await a.call("json_set", file="app.json", pointer="/limits/rate", value="250")
        found = json.loads((Path(workspace.root) / "app.json").read_text())
        assert found == {"debug": False, "limits": {"rate": 250, "list": [1, 2]}}
        assert (await b.finish()).state == "waiting"


async def test_the_next_domain_has_the_tools_of_the_library(workspace: Workspace, tmp_path: Path) -> None:
    async with _domain(workspace, tmp_path / "lib") as domain:
        await (await domain.join("A")).call("request_tool", request="x", command="grep -c one hosts")
    async with _domain(workspace, tmp_path / "lib") as domain:
        stages = [["grep", "-c", "two", "{}"]]
        value = (await (await domain.join("A")).call("look_into", file="hosts", stages=stages)).value
    assert value == "1\n"
    assert Library(tmp_path / "lib").uses() == {"look_into": 1}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("if then", "no valid bash"),
        ("", "Send a bash command"),
        ("cat $HOME/x", "uses a variable"),
        ("for f in *; do rm $f; done", "has a loop"),
        ("sleep 100 &", "has '&' in it"),
        ("no-such-program hosts", "not installed"),
        ("date +%N > hosts", "something else"),
        ("mktemp -u", "something else"),
        ("touch /etc/coagent-was-here", "exit code"),
        ("mkfifo pipe", "could not be undone"),
        ("cat missing.txt", "exit code"),
        ("cat", ""),
        ("python3 -c 'import time; time.sleep(99)' hosts", "not ended in time"),
    ],
)
async def test_what_cannot_become_a_tool_is_refused_with_the_reason_and_does_no_harm(
    workspace: Workspace, command: str, says: str
) -> None:
    before = _state(workspace)
    smith = ToolSmith(workspace, Library(Path(workspace.root).parent / "tools"))
    smith._verifier = Verifier(workspace, timeout_s=1)
    answer = await smith.request("x", command)
    if says:
        assert answer.status == "refused"
        assert says in answer.reason
    assert _state(workspace) == before
    assert not Path("/etc/coagent-was-here").exists()


def _spec(**more: Any) -> ToolSpec:
    whole: dict[str, Any] = {
        "name": "made",
        "description": "A tool.",
        "effect": "write",
        "writes": ["file:{file}"],
        "reverse": "before-image",
        "command": 'echo x > "$file"',
        "parameters": {"file": Parameter(type="path")},
        **more,
    }
    return ToolSpec(**whole)


@pytest.mark.parametrize(
    ("more", "check"),
    [
        ({"command": 'echo x > "$file"; echo y > elsewhere'}, "footprint"),
        ({"command": 'echo x > "$file"; rm -f notes/a.txt'}, "footprint"),
        ({"command": 'date +%N > "$file"'}, "deterministic"),
        ({"command": 'echo x > "$file"; mkfifo pipe'}, "leaves only files"),
        ({"reverse": 'echo wrong > "$file"'}, "reverse restores the state"),
        ({"reverse": "true"}, "reverse restores the state"),
        ({"command": "sleep 60"}, "ends"),
        (
            {"command": 'test "$file" = hosts && echo x > hosts || touch "$file.bak"'},
            "footprint with other arguments (1)",
        ),
        (
            {
                "command": 'eval "echo $text" > "$file"',
                "parameters": {"file": Parameter(type="path"), "text": Parameter(type="string")},
            },
            "hostile arguments",
        ),
    ],
)  # fmt: skip
async def test_the_verifier_finds_what_a_tool_does_not_say(
    workspace: Workspace, more: dict[str, Any], check: str
) -> None:
    before = _state(workspace)
    file = "other.json" if "other arguments" not in check else "hosts"
    spec = _spec(**more)
    arguments = {"file": file, **({"text": "a"} if "text" in spec.parameters else {})}
    examples = [arguments, {**arguments, "file": "app.conf"}]
    found = await Verifier(workspace, timeout_s=1).verify(spec, examples)
    assert found.verified is not None
    assert not found.is_verified
    assert check in [one.name for one in found.verified.checks if not one.passed]
    assert _state(workspace) == before


async def test_blind_and_read_modify_write_are_set_apart_and_a_reverse_of_its_own_is_tried(
    workspace: Workspace,
) -> None:
    verifier = Verifier(workspace, timeout_s=2)
    blind = await verifier.verify(_spec(), [{"file": "hosts"}])
    appends = await verifier.verify(_spec(command='echo x >> "$file"'), [{"file": "hosts"}])
    assert (blind.is_verified, blind.blind) == (True, True)
    assert (appends.is_verified, appends.blind) == (True, False)
    scripted = _spec(prepare='base64 -w0 "$file"', reverse='echo "$prepared" | base64 -d > "$file"')
    assert (await verifier.verify(scripted, [{"file": "hosts"}])).is_verified


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("edit_with_sed", "script"),
        ("json_set", "pointer"),
        *(
            pytest.param(tool, name, marks=pytest.mark.long)
            for tool, name in (
                ("edit_with_sed", "file"), ("edit_with_sed", "syntax"), ("json_set", "file"),
                ("json_set", "value"),
            )
        ),
    ],
)  # fmt: skip
async def test_no_argument_of_a_tool_changes_what_it_does_not_declare(
    workspace: Workspace, library: Path, tool: str, name: str
) -> None:
    before = _state(workspace)
    spec = Library(library).load()[0][tool]
    async with _domain(workspace, library) as domain:
        a = await domain.join("A")
        for hostile in HOSTILE:
            arguments = {**spec.examples[0], name: hostile}
            try:
                done = await a.call(tool, **arguments)
            except (InvalidArguments, ToolFailed, FootprintViolation):
                assert _state(workspace) == before
                continue
            after = _state(workspace)
            changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
            assert changed <= {str(arguments["file"]).removeprefix("./")}, (tool, arguments)
            await a.undo(done.call_id)
            assert _state(workspace) == before


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of four verified tools, made once."""
    root = tmp_path_factory.mktemp("grown")
    (root / "app.json").write_text('{"debug": true}\n')
    (root / "app.conf").write_text("port=80\n")
    (root / "hosts").write_text("10.0.0.1 one\n")
    commands = (
        "echo x >> hosts", "sed -i s/one/two/ hosts", _SET, "sed -i 's/^port=.*/port=81/' app.conf",
    )  # fmt: skip

    async def make() -> None:
        smith = ToolSmith(Workspace(root), Library(root / "tools"))
        for command in commands:
            assert (await smith.request("x", command)).status == "made"

    anyio.run(make)
    return root / "tools"


def test_paths_and_values_of_arguments_are_checked(workspace: Workspace) -> None:
    spec = _spec(parameters={"file": Parameter(type="path"), "n": Parameter(type="integer")})
    assert check_arguments(spec, workspace, {"file": "./notes/../hosts", "n": 3}) == {
        "file": "hosts",
        "n": "3",
    }
    for wrong in ({"file": "../x", "n": 1}, {"file": ".git/config", "n": 1}, {"file": "a#b", "n": 1},
                  {"file": "hosts", "n": "1; x"}, {"file": "hosts", "n": True}, {"file": "hosts"},
                  {"file": "hosts", "n": 1, "more": 2}, {"file": "x\0y", "n": 1}):  # fmt: skip
        with pytest.raises(InvalidArguments):
            check_arguments(spec, workspace, wrong)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=30), kind=st.sampled_from(["string", "path", "integer", "number"]))
def test_whatever_an_argument_is_it_stays_one_word_in_the_workspace(text: str, kind: Any) -> None:
    workspace = Workspace(Path(__file__).parent)
    file = Parameter(type="path")
    spec = _spec(parameters={"file": file, "value": Parameter(type=kind)})
    try:
        value = check_arguments(spec, workspace, {"file": "x", "value": text})["value"]
    except InvalidArguments:
        return
    assert not value.startswith("-") or kind in ("integer", "number")
    assert not any(unicodedata.category(one) in ("Cc", "Zl", "Zp") and one != "\t" for one in value)
    if kind == "path":
        place = os.path.normpath(Path(workspace.root) / value)
        assert place == workspace.root or place.startswith(f"{workspace.root}/")
        assert value == check_arguments(spec, workspace, {"file": "x", "value": value})["value"]
    if kind in ("integer", "number"):
        assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", value)
    said = subprocess.run(
        ["bash", "-c", 'printf "%s" "$value"'], env={"value": value}, capture_output=True, check=True
    )
    assert said.stdout.decode() == value


@pytest.mark.parametrize(
    ("program", "harmless"),
    [
        ("NR>1{s+=$2} END{print s}", True),
        ("/gust/ && $5>m || $1{m=$5} END{print m}", True),
        ('BEGIN{system("touch stray")}', False),
        ('{print "a;b" > "stray"}', False),
        ('{printf "x" >> "stray"}', False),
        ('{print | "sh"}', False),
        ('{"date" | getline x; print x}', False),
        ('{while ((getline line < "../secret") > 0) print line}', False),
        ('BEGIN{ARGV[1]="/etc/passwd"} {print}', False),
        ('{print ENVIRON["HOME"]}', False),
        ('@load "filefuncs"', False),
    ],
)
async def test_a_program_of_awk_is_a_parameter_only_where_it_does_no_more_than_print(
    workspace: Workspace, program: str, harmless: bool
) -> None:
    names = [one.spec.name for one in ByExample(workspace).propose("x", f"awk '{program}' hosts")]
    assert ("look_into" in names) == harmless
    (proposal,) = [
        one
        for one in ByExample(workspace).propose("x", "awk -F. 'NR>1{s+=$4} END{print s}' hosts")
        if one.spec.name == "look_into"
    ]
    if harmless:
        return
    with pytest.raises(InvalidArguments, match="do no more than print"):
        check_arguments(proposal.spec, workspace, {"file": "hosts", "stages": [["awk", program, "{}"]]})


async def test_why_a_tool_fails_is_told_without_what_moves_a_cursor(workspace: Workspace) -> None:
    smith = ToolSmith(workspace, Library(Path(workspace.root) / ".coagent/tools"))
    answer = await smith.request("x", "printf '\\033[2J\\033[22;1Hno  terminal\\n' && false")
    assert answer.status == "refused"
    assert "no terminal" in answer.reason
    assert answer.reason.isprintable()


def test_numbers_have_one_form(workspace: Workspace) -> None:
    parameters = {"n": Parameter(type="integer"), "x": Parameter(type="number")}
    spec = _spec(parameters={"file": Parameter(type="path"), **parameters})

    def given_as(n: object, x: object) -> tuple[str, str]:
        values = check_arguments(spec, workspace, {"file": "hosts", "n": n, "x": x})
        return values["n"], values["x"]

    assert given_as("007", "-00.50") == ("7", "-0.50")
    for n, x in (("\u0663", 1), (1, "1e5"), (1, "\u0663.1"), (1, "nan"), (1.5, 1), ("1\n", 1)):
        with pytest.raises(InvalidArguments):
            given_as(n, x)


def test_processes_that_ask_for_the_same_at_once_get_one_tool(workspace: Workspace) -> None:
    script = str(Path(__file__).with_name("two_askers.py"))
    processes = [
        subprocess.Popen(
            [sys.executable, script, workspace.root, _SET.replace(".debug=false", f".limits.rate={number}")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n", timeout=120)[0] for process in processes]
    assert said == ["json_set\n"] * 3
    assert [one.name for one in (Path(workspace.root) / ".coagent/tools").glob("*.toml")] == ["json_set.toml"]


async def test_a_call_of_a_tool_that_another_process_has_grown_is_made_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.runtime.work.GRACE_S", 0.0)  # as where the machine is slow
    root = Path(workspace.root)
    log = f"sqlite:{root.parent / 'log.db'}"
    files = Files(workspace.root)
    tools = [coagent.systems.files.tools.FILE_TOOLS, smith_tools(files.workspace)]
    async with coagent.open_domain(log, targets=[files], tools=tools) as domain:
        a = await domain.join("A")
        await domain.join("B")
        await anyio.run_process([sys.executable, "-c", _GROWS_AND_CALLS, str(root), log, _SET])
        assert "json_set" not in domain.tools
        assert json.loads((root / "app.json").read_text())["debug"] is False
        done = await a.call("edit_file", path="app.json", old_string='"rate": 1', new_string='"rate": 5')
        assert done.value == "edited"
        await domain.settle()  # the other's call is made again, for as long as that takes
        found = json.loads((root / "app.json").read_text())
        assert (found["debug"], found["limits"]["rate"]) == (False, 5)
        assert "json_set" in domain.tools


_GROWS_AND_CALLS = """
import sys
import anyio, coagent
from coagent.toolsmith import verify
from coagent.toolsmith.smith import smith_tools
verify.HOSTILE = ()
async def main(root, log, command):
    files = coagent.targets.Files(root)
    async with coagent.open_domain(log, targets=[files], tools=[smith_tools(files.workspace)]) as domain:
        b = await domain.attach("B", force=True)
        answer = (await b.call("request_tool", request="x", command=command)).value
        await b.call(answer["tool"], **answer["arguments"])
anyio.run(main, *sys.argv[1:])
"""


async def test_a_call_that_would_change_what_its_tool_does_not_declare_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "tools"
    library = Library(folder)
    spec = _spec(command='echo x > "$file"; test "$file" = hosts && echo y > stray || true')
    spec = spec.model_copy(
        update={"verified": Verified(digest=spec.digest, checks=[Check(name="footprint", passed=True)])}
    )
    library.add(spec)
    before = _state(workspace)
    async with _domain(workspace, folder) as domain:
        a = await domain.join("A")
        await a.call(spec.name, file="app.conf")
        between = _state(workspace)
        assert between != before
        with pytest.raises(FootprintViolation, match="stray"):
            await a.call(spec.name, file="hosts")
        assert _state(workspace) == between


def test_a_broken_file_of_the_library_is_named_and_takes_no_other_with_it(
    library: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tools"
    shutil.copytree(library, folder)
    (folder / "broken.toml").write_text("name = [")
    (folder / "wrong.toml").write_text('schema = "coagent-tool/1"\nname = "wrong"\neffect = "write"\n')
    (folder / "bin.toml").write_bytes(b"\xff\xfe")
    os.mkfifo(folder / "pipe.toml")  # to open it would wait for ever
    tools, faults = Library(folder).load()
    assert {fault.file for fault in faults} == {"broken.toml", "wrong.toml", "bin.toml", "pipe.toml"}
    assert all("Correct or remove it" in fault.why for fault in faults)
    assert len(tools) == 4


async def test_a_tool_edited_by_hand_is_not_offered_until_it_is_verified_again(
    workspace: Workspace, library: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tools"
    shutil.copytree(library, folder)
    file = folder / "append_line.toml"
    file.write_text(file.read_text().replace("printf", "rm -rf . ; printf"))
    async with _domain(workspace, folder) as domain:
        assert "append_line" not in domain.tools
        a = await domain.join("A")
        with pytest.raises(ToolFailed, match="not verified as it is now"):
            await a.call("use_tool", name="append_line", arguments={"file": "hosts", "line": "x"})


def test_the_command_line_lists_shows_verifies_and_removes(
    workspace: Workspace, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tools"
    shutil.copytree(library, folder)

    def run(*arguments: str) -> tuple[int, str]:
        sys.argv = ["coagent", "tools", *arguments, "--library", str(folder), "--workspace", workspace.root]
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out

    code, output = run("list", "--json")
    assert code == 0
    assert [one["name"] for one in json.loads(output)["tools"]] == [
        "append_line", "edit_with_sed", "json_set", "key_set",
    ]  # fmt: skip
    assert "json:{file}#{pointer}" in run("show", "json_set")[1]
    assert run("verify", "append_line")[0] == 0
    file = folder / "append_line.toml"
    file.write_text(file.read_text().replace("printf", "touch stray; printf"))
    code, output = run("verify", "append_line")
    assert code == 1
    assert "it changes file:stray" in output
    (folder / "broken.toml").write_text("name = [")
    code, output = run("verify", "--json")
    assert code == 1
    assert [one["file"] for one in json.loads(output)["faults"]] == ["broken.toml"]
    code, output = run("remove", "append_line", "--json")
    assert (code, json.loads(output)) == (0, {"removed": "append_line"})
    assert run("show", "append_line")[0] == 2


def test_the_command_line_takes_the_library_that_the_domain_file_names(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".coagent").mkdir()
    text = f'[tools]\nbuiltin = ["toolsmith"]\n[tools.toolsmith]\nlibrary = "{library}"\n'
    (tmp_path / ".coagent" / "config.toml").write_text(text)
    monkeypatch.setattr(sys, "argv", ["coagent", "tools", "show", "json_set", "--workspace", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "json:{file}#{pointer}" in capsys.readouterr().out


def test_counts_that_are_none_are_counted_anew(tmp_path: Path) -> None:
    (tmp_path / "uses.json").write_text("[1]")
    kept = Library(tmp_path)
    assert kept.uses() == {}
    kept.count_use("json_set")
    assert kept.uses() == {"json_set": 1}


def test_what_cannot_be_removed_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be removed: Is a directory"):
        Library(tmp_path).remove("folder")
    with pytest.raises(ConfigurationError, match="It has none"):
        Library(tmp_path / "none").remove("x")
    assert not (tmp_path / "none").exists()


def test_names_that_no_tool_has_are_told_with_those_there_are(library: Path) -> None:
    with pytest.raises(ConfigurationError, match="It has append_line, edit_with_sed"):
        Library(library).remove("nothing")


def test_words_redirects_and_joins_are_set_apart() -> None:
    first, second, third = parse('cat \'a b\' "c\\"d" < in | tr x y >> out && rm -f z')
    assert first.words == ["cat", "a b", 'c"d']
    assert (first.redirects[0].operator, first.redirects[0].file) == ("<", "in")
    assert (second.joined, second.redirects[0].operator) == ("|", ">>")
    assert (third.joined, third.options, third.operands) == ("&&", ["-f"], ["z"])


def test_code_stays_as_it_is_and_never_becomes_a_parameter(workspace: Workspace) -> None:
    for command in (
        "sed -i '1!G;h' hosts",
        "sed '1e touch x' hosts",
        "awk '{system($1)}' hosts",
        "perl -pi -e 's/a/b/' hosts",
    ):
        spec, arguments, _ = ByExample(workspace).propose("x", command)[-1]
        assert list(arguments.values()) == ["hosts"]
        assert "$file" in spec.command


async def test_what_cannot_be_taken_back_does_not_run_through_use_tool(
    workspace: Workspace, tmp_path: Path
) -> None:
    kept = _spec(effect="irreversible", reason="it mails", reverse="")
    verified = Verified(digest=kept.digest, checks=[Check(name="ends", passed=True)])
    Library(tmp_path / "tools").add(kept.model_copy(update={"verified": verified}))
    before = _state(workspace)
    async with _domain(workspace, tmp_path / "tools") as domain:
        a = await domain.join("A")
        with pytest.raises(ToolFailed, match="cannot be taken back"):
            await a.call("use_tool", name="made", arguments={"file": "hosts"})
    assert _state(workspace) == before


def test_a_file_that_claims_to_be_verified_without_a_check_is_not(tmp_path: Path) -> None:
    spec = _spec()
    assert not spec.model_copy(update={"verified": Verified(digest=spec.digest)}).is_verified


def test_a_new_tool_does_not_take_the_place_of_an_edit(tmp_path: Path) -> None:
    library = Library(tmp_path / "tools")
    library.add(_spec(description="Edited by hand."))
    assert library.add(_spec()).name == "made_2"
    assert library.load()[0]["made"].description == "Edited by hand."
