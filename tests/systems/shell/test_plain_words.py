"""A command of plain words is run without a shell where that is the same, and only there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest_sandbox import needs_views, shells

from coagent.systems.shell.plain_words import without_shell

_HERE = {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize("text", ["ls", " ls -la  src ", "cat a.txt ./b@%+,:x^=-_9", "grep -c one a.txt\n"])
def test_plain_words_are_those_that_bash_makes_of_them(text: str) -> None:
    bash = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True
    )
    assert without_shell(text, "/work", _HERE) == (
        shutil.which(text.split(maxsplit=1)[0]),
        bash.stdout.splitlines(),
    )


@pytest.mark.parametrize(
    "text",
    [
        "ls *", "ls ?", "ls [ab]", "ls ~", "ls $HOME", "ls 'a b'", 'ls "a"', "ls a\\ b", "ls {a,b}", "ls #x",
        "ls !x", "X=1 ls", "ls; ls", "ls\nls", "ls &", "ls | cat", "ls > x", "./ls", "/bin/ls",
        "no-such-program", "nosuchprogram",
        "ls a\tb", "ls é", "ls a\x0bb", "",
    ],
)  # fmt: skip
def test_what_a_shell_may_make_something_else_of_is_left_to_it(text: str) -> None:
    assert without_shell(text, "/work", _HERE) is None


@pytest.mark.parametrize(
    "more", [{"BASH_ENV": "/x"}, {"BASH_FUNC_ls%%": "() { echo; }"}, {"PATH": ""}, {"PATH": "bin:."}]
)
def test_variables_that_make_another_command_of_it_are_left_to_bash(
    more: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    shutil.copy2("/bin/ls", tmp_path / "bin/ls")
    assert without_shell("ls", "/work", {**_HERE, **more}) is None
    assert without_shell("ls", str(tmp_path), {"PATH": f"{tmp_path}/bin"}) is None
    assert without_shell("ls", "/work", {"PATH": f"{tmp_path}/bin"}) is not None


@needs_views
@pytest.mark.anyio
async def test_it_says_and_finds_what_it_does_under_bash(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for text in (
            "ls none",
            "cat .",
            "git status --nonsense",
            "grep one",
            "stat src/none",
            "git log -1 --format=%s",
        ):
            for cwd in (".", "src"):
                found = (await a.call("bash", command=text, cwd=cwd)).value
                bash = subprocess.run(
                    ["bash", "-c", text], cwd=workspace / cwd, stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                )  # fmt: skip
                assert (found["output"], found["exit_code"]) == (bash.stdout, bash.returncode)
