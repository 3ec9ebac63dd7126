"""Programs that git's settings name, kinds of repository and of files: what runs where, and what git sees."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views, shells

from coagent.systems.git.repository import Repository

pytestmark = [pytest.mark.anyio, needs_views]


async def _run(agent: Any, command: str) -> str:
    found = (await agent.call("bash", command=command)).value
    assert found["exit_code"] == 0, found
    return str(found["output"])


def _program(folder: Path, name: str) -> tuple[Path, Path]:
    """Return a program that copies its input, and the file beside it by which one sees that it ran."""
    marker, program = folder / f"{name}-ran", folder / f"{name}.sh"
    program.write_text(f"#!/bin/sh\n: > {marker}\ncat\n")
    program.chmod(0o755)
    return program, marker


@pytest.mark.parametrize("where", ["home", "repository", "included"])
async def test_no_program_of_the_settings_runs_outside_of_a_view(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    home = workspace.parent / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    settings = {
        "home": home / ".gitconfig",
        "repository": workspace / ".git/config",
        "included": workspace / "shared.config",
    }[where]
    markers = []
    for setting in (
        "filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv", "diff.evil.command",
        "core.fsmonitor", "diff.external", "gpg.program",
    ):  # fmt: skip
        program, marker = _program(home, setting)
        git(workspace, "config", "--file", str(settings), setting, str(program))
        markers.append(marker)
    git(workspace, "config", "--file", str(settings), "log.showSignature", "true")
    if where == "included":
        git(workspace, "config", "include.path", str(workspace / "shared.config"))
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("write_file", path=".gitattributes", content="* filter=evil diff=evil\n")
        (workspace / "data.bin").write_text("of a person\n")
        (workspace / "src/run.sh").touch()  # so that git has to look into it
        await b.call("bash", command="echo b > b.txt; git -c core.fsmonitor= commit -qm B b.txt; git status")
        await a.call("bash", command="echo a > a.txt; git add -A; git -c core.fsmonitor= commit -qm A")
        await b.call("bash", command="git log -1; git diff HEAD~1; git reset -q --hard HEAD~1; true")
        assert [one.name for one in markers if one.exists()] == []
        for agent in (a, b):
            await agent.finish()
    assert [one.name for one in markers if one.exists()] == []


async def test_the_real_index_follows_commits_without_running_filters(workspace: Path) -> None:
    program, marker = _program(workspace.parent, "clean")
    repository = Repository(str(workspace))
    before = repository.commit()
    (workspace / ".gitattributes").write_text("* filter=evil\n")
    (workspace / "a.txt").write_text("two\n")
    git(workspace, "add", "a.txt", ".gitattributes")
    git(workspace, "commit", "-qm", "more")
    after = repository.commit()
    git(workspace, "reset", "-q", "--soft", "HEAD~1")
    git(workspace, "config", "filter.evil.clean", str(program))
    git(workspace, "config", "filter.evil.required", "true")
    repository.follow(after, before)
    repository.follow(before, after)
    assert repository.entries()["a.txt"][0].sha == git(workspace, "rev-parse", f"{after}:a.txt").strip()
    assert not marker.exists()


@pytest.fixture
def sha256(tmp_path: Path) -> Path:
    """A repository whose objects have names of 64 digits."""
    root = tmp_path / "long"
    root.mkdir()
    git(root, "init", "-q", "-b", "main", "--object-format=sha256")
    for name in ("a.txt", "b.txt", "c.txt"):
        (root / name).write_text(f"{name}\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "begin")
    return root


async def test_two_agents_work_in_a_repository_with_long_names(sha256: Path) -> None:
    async with shells(sha256) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("write_file", path="a.txt", content="half\n")
        await _run(b, "git rm -q --cached c.txt; git mv b.txt moved")
        await _run(b, "git add -A moved; git commit -qm B; echo x > moved")
        assert git(sha256, "show", "--name-status", "--no-renames", "--format=").split() == [
            "D", "b.txt", "D", "c.txt", "A", "moved",
        ]  # fmt: skip
        await _run(a, "git commit -qam A")
        assert await _run(b, "git log --format=%s") == "B\nA\nbegin\n"
    assert git(sha256, "status", "--short") == " M moved\n?? c.txt\n"
    git(sha256, "fsck", "--strict")


@pytest.mark.parametrize("how", ["autocrlf", "attributes", "own attributes"])
async def test_line_ends_that_git_converts_are_no_changes(workspace: Path, how: str) -> None:
    if how == "autocrlf":
        git(workspace, "config", "core.autocrlf", "true")
    elif how == "attributes":
        (workspace / ".gitattributes").write_text("*.txt text eol=crlf\n")
        git(workspace, "add", "-A")
        git(workspace, "commit", "-qm", "attributes")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        if how == "own attributes":
            await a.call("write_file", path=".gitattributes", content="*.txt text eol=crlf\n")
            await _run(a, "git add -A; git commit -qm attributes")
        await a.call("write_file", path="a.txt", content="one\r\nmore\r\n")
        await _run(a, "git add a.txt; git commit -qm A")
        done = (await b.call("bash", command="echo x > new; git add -A; git commit -qm B")).value
        assert "left_to_others" not in done
        assert "S a.txt" not in await _run(b, "git ls-files -v")
        await a.call("write_file", path="b.txt", content="two\r\nhalf\r\n")
        assert "S b.txt" in await _run(b, "git ls-files -v")
    assert git(workspace, "show", "HEAD:a.txt") == "one\nmore\n"
    assert git(workspace, "status", "--short") == " M b.txt\n"


async def test_files_that_go_through_a_filter_are_not_swept_up(workspace: Path) -> None:
    git(workspace, "config", "filter.upper.clean", "tr a-z A-Z")
    git(workspace, "config", "filter.upper.smudge", "tr A-Z a-z")
    (workspace / ".gitattributes").write_text("*.up filter=upper\n")
    (workspace / "x.up").write_text("begin\n")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "filtered")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("write_file", path="x.up", content="of a\n")
        await _run(b, "echo b > b.txt; git add -A; git commit -qm B")
        assert git(workspace, "show", "--name-only", "--format=") == "b.txt\n"
        await _run(a, "git commit -qam A")
        assert await _run(b, "git status --short; git show HEAD~1:x.up") == "OF A\n"
        await b.call("write_file", path="x.up", content="of b\n")
        await _run(b, "git commit -qam 'B too'")
    assert git(workspace, "show", "HEAD:x.up") == "OF B\n"
    assert git(workspace, "status", "--short") == ""


async def test_what_others_have_not_committed_can_be_listed_by_whose_it_is(workspace: Path) -> None:
    (workspace / "notes").write_text("of a person\n")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo half > a.txt; echo half > half")
        done = (await b.call("bash", command="echo x > b.txt; git add -A; git commit -qm B")).value
        assert done["left_to_others"] == ["notes"]
        look = "git ls-files -v | grep ^S; sed -n '/^# begin/,/^# end/p' .git/info/exclude | grep ^/"
        assert (await _run(b, look)).split() == ["S", "a.txt", "/half", "/notes"]
        await _run(a, "git add -A; git commit -qm A")
        assert (await _run(b, look)).split() == ["/notes"]


async def test_two_agents_change_lines_of_one_file_and_each_commit_holds_its_own(workspace: Path) -> None:
    lines = [f"{number}\n" for number in range(9)]
    (workspace / "both.txt").write_text("".join(lines))
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "lines")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "sed -i s/7/B/ both.txt; git commit -qam B")
        await _run(a, "sed -i s/1/A/ both.txt; git commit -qam A")
        assert await _run(a, "cat both.txt") == "".join(lines).replace("1", "A")
    assert git(workspace, "log", "--format=%s", "-2").split() == ["B", "A"]
    assert git(workspace, "show", "HEAD~1:both.txt") == "".join(lines).replace("1", "A")
    assert git(workspace, "show", "HEAD:both.txt") == "".join(lines).replace("1", "A").replace("7", "B")
    assert git(workspace, "diff", "--numstat", "HEAD~1").split()[:2] == ["1", "1"]
    subprocess.run(["git", "diff", "--exit-code", "--quiet"], cwd=workspace, check=True)


async def test_a_later_agent_who_wrote_the_whole_file_commits_just_that(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "echo b > a.txt; git commit -qam B")
        await _run(a, "echo a > a.txt; git commit -qam A")
    assert git(workspace, "log", "-p", "--reverse", "--format=%s", "-U0", "-2").split("\n")[-3:] == [
        "-a", "+b", ""
    ]  # fmt: skip
    assert git(workspace, "show", "HEAD~1:a.txt", "HEAD:a.txt") == "a\nb\n"
