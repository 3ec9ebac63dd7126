"""Builds by the times of files are right for each agent, and for a person afterwards; with real programs."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views

import coagent
from coagent.errors import CoAgentError
from coagent.systems.files.target import EXCLUDED, Files
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.shell.tools import bash_tools

pytestmark = [pytest.mark.anyio, needs_views]

_LONG_AGO_S = 3600
_MAKEFILE = """\
build/prog: build/main.o build/gen.o
\tcat $^ > $@
build/%.o: %.c
\t@mkdir -p build
\tsed 's/^/obj /' $< > $@
"""
_IN_MAKE = "make -s && cat build/prog && echo -- && sed 's/^/obj /' main.c gen.c"
"""Builds, shows what was built, and what should have been."""


def _open(root: Path, exclude: tuple[str, ...] = (), url: str = "memory:") -> Any:
    files = Files(root, exclude=(*EXCLUDED, *exclude))
    return coagent.open_domain(url, targets=[files], tools=[FILE_TOOLS, bash_tools(files.workspace)])


def _make_tree(root: Path, *, built: bool = True) -> None:
    """Make a small program, an hour old, ignored by git as far as it is built."""
    (root / "Makefile").write_text(_MAKEFILE)
    (root / ".gitignore").write_text("build/\n")
    for name in ("main", "gen"):
        (root / f"{name}.c").write_text(f"{name}0\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a program")
    _set_back(root)
    if built:
        _plainly(root, "make -s")
        for number, name in enumerate(("main.o", "gen.o", "prog")):
            then = time.time() - _LONG_AGO_S + 10 + number
            os.utime(root / "build" / name, (then, then))


def _set_back(root: Path) -> None:
    then = time.time() - _LONG_AGO_S
    for place in root.rglob("*"):
        if ".git" not in place.relative_to(root).parts:
            os.utime(place, (then, then), follow_symlinks=False)


def _plainly(root: Path, command: str) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _is_right(said: str) -> bool:
    built, _, wanted = said.partition("--\n")
    return built == wanted != ""


async def _build(agent: coagent.AgentSession, command: str = _IN_MAKE) -> str:
    outcome = await agent.call("bash", command=command)
    assert outcome.value["exit_code"] == 0, outcome.value
    return str(outcome.value["output"])


async def _edit(agent: coagent.AgentSession, path: str, old: str, new: str) -> int:
    outcome = await agent.call("edit_file", path=path, old_string=old, new_string=new)
    return outcome.call_id


@pytest.fixture(params=[(), ("build/**",)], ids=["governed", "left out"])
def exclude(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What is left out of the workspace: nothing, or what is built."""
    found: tuple[str, ...] = request.param
    return found


async def test_an_earlier_agent_builds_what_it_sees_after_a_later_one_has_built(
    workspace: Path, exclude: tuple[str, ...]
) -> None:
    _make_tree(workspace)
    async with _open(workspace, exclude) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _edit(b, "main.c", "main0", "main0 by B")
        assert _is_right(await _build(b))
        await _edit(a, "gen.c", "gen0", "gen0 by A")
        said = await _build(a)
        assert _is_right(said)
        assert "by A" in said
        assert "by B" not in said
        said = await _build(b)
        assert _is_right(said)
        assert "by A" in said
        assert "by B" in said
        await a.finish()
        await b.finish()
    assert _is_right(_plainly(workspace, _IN_MAKE))


async def test_an_earlier_agent_that_builds_leaves_a_person_nothing_stale(
    workspace: Path, exclude: tuple[str, ...]
) -> None:
    _make_tree(workspace, built=False)
    async with _open(workspace, exclude) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _edit(b, "main.c", "main0", "main0 by B")
        assert _is_right(await _build(b))
        said = await _build(a)
        assert _is_right(said)
        assert "by B" not in said
        live = _plainly(workspace, _IN_MAKE)
        assert _is_right(live)
        assert "by B" in live
        assert _is_right(await _build(b))
        await a.finish()
        await b.finish()
    assert _is_right(_plainly(workspace, _IN_MAKE))


async def test_what_an_agent_has_built_is_up_to_date_for_it_and_for_later_ones(workspace: Path) -> None:
    _make_tree(workspace)
    async with _open(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _edit(b, "main.c", "main0", "main0 by B")
        await _build(b)
        assert "up to date" in await _build(b, "make")
        assert "up to date" in await _build(a, "make"), "its versions are older, and were up to date"
        await _edit(a, "gen.c", "gen0", "gen0 by A")
        assert "gen.c > build/gen.o" in await _build(a, "make")
        assert "up to date" in await _build(a, "make")


async def test_what_comes_out_the_same_is_up_to_date_afterwards(workspace: Path) -> None:
    _make_tree(workspace)
    (workspace / "Makefile").write_text("build/prog: main.c\n\tgrep -v '^#' $< > $@\n")
    async with _open(workspace) as domain:
        a = await domain.join("A")
        await _edit(a, "main.c", "main0\n", "main0\n# a remark\n")
        await _build(a, "make")
        await _edit(a, "main.c", "a remark", "another remark")
        assert "grep" in await _build(a, "make")
        assert "up to date" in await _build(a, "make")
        await a.finish()
    assert "up to date" in _plainly(workspace, "make")


@pytest.mark.parametrize("way", ["undo", "abort"])
async def test_what_is_taken_back_leaves_nothing_stale(
    workspace: Path, exclude: tuple[str, ...], way: str
) -> None:
    _make_tree(workspace)
    async with _open(workspace, exclude) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        call = await _edit(a, "gen.c", "gen0", "gen0 by A")
        assert _is_right(await _build(a))
        assert _is_right(await _build(b))
        await (a.undo(call) if way == "undo" else a.abort())
        said = await _build(b)
        assert _is_right(said)
        assert "by A" not in said
        if way == "undo":
            assert _is_right(await _build(a))
    assert _is_right(_plainly(workspace, _IN_MAKE))


async def test_what_was_stale_before_is_stale_again_when_a_build_is_taken_back(workspace: Path) -> None:
    _make_tree(workspace)
    (workspace / "main.c").write_text("main1\n")
    then = time.time() - 60
    os.utime(workspace / "main.c", (then, then))
    async with _open(workspace) as domain:
        a = await domain.join("A")
        said = await _build(a)
        assert _is_right(said)
        assert "main1" in said
        await a.abort()
    assert "main0" in (workspace / "build/prog").read_text()
    said = _plainly(workspace, _IN_MAKE)
    assert _is_right(said)
    assert "main1" in said


async def test_times_of_versions_outlive_the_process(workspace: Path, tmp_path: Path) -> None:
    _make_tree(workspace)
    (workspace / "main.c").write_text("main1\n")  # what is built is stale
    url = f"sqlite:{tmp_path}/log"
    async with _open(workspace, url=url) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _edit(b, "main.c", "main1", "main1 by B")
        assert _is_right(await _build(b))
        names = a.name, b.name
    async with _open(workspace, url=url) as domain:
        a = await domain.attach(names[0])
        said = await _build(a)
        assert _is_right(said)
        assert "main1" in said
        assert "by B" not in said


async def _build_alone(agent: coagent.AgentSession, exclude: tuple[str, ...], command: str = _IN_MAKE) -> str:
    """Build; once more where a later agent's call, run again meanwhile, may have built in the same folder."""
    said = await _build(agent, command)
    return said if _is_right(said) or not exclude else await _build(agent, command)


async def _at_random(workspace: Path, exclude: tuple[str, ...], seed: int) -> None:
    """Edit, build, undo, amend and abort in some order; each build has to be right, and so has the last."""
    dice = random.Random(seed)
    _make_tree(workspace, built=dice.random() < 0.7)
    async with _open(workspace, exclude) as domain:
        agents = [await domain.join(name) for name in "ABC"]
        edits: dict[str, list[int]] = {agent.name: [] for agent in agents}
        for number in range(14):
            agent, path = dice.choice(agents), dice.choice(["main.c", "gen.c"])
            mine = edits[agent.name]
            try:
                match dice.choice(
                    ["build", "build", "edit", "write", "shell", "both", "undo", "amend", "abort"]
                ):
                    case "build":
                        said = await _build_alone(agent, exclude)
                        assert _is_right(said), (seed, number, said)
                    case "edit":
                        mine.append(await _edit(agent, path, path[0], f"{path[0]}{number}"))
                    case "write":
                        outcome = await agent.call("write_file", path=path, content=f"new {number}\n")
                        mine.append(outcome.call_id)
                    case "shell":
                        await agent.call("bash", command=f"echo more {number} >> {path}")
                    case "both":
                        said = await _build(agent, f"sed -i 's/$/ {number}/' {path}; {_IN_MAKE}")
                        assert _is_right(said), (seed, number, said)
                    case "undo" if mine:
                        await agent.undo(mine.pop())
                    case "amend" if mine:
                        await agent.amend(
                            mine[-1], path=path, new_string=f"amended {number}", content=f"amended {number}\n"
                        )
                    case "abort" if number > 9 and len(agents) > 1:
                        agents.remove(agent)
                        await agent.abort()
            except CoAgentError:  # the text to edit is gone, a call that cannot be amended so
                continue
        for agent in agents:
            said = await _build_alone(agent, exclude)
            assert _is_right(said), (seed, agent.name, said)
        for agent in agents:
            await agent.finish()
    said = _plainly(workspace, _IN_MAKE)
    assert _is_right(said), (seed, said)


@pytest.mark.parametrize("seed", range(2))
async def test_builds_are_right_in_any_order(workspace: Path, exclude: tuple[str, ...], seed: int) -> None:
    await _at_random(workspace, exclude, seed)


needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="there is no cargo")
_IN_CARGO = "cargo run -q --offline && echo -- && sed -n 's/.*\"\\(.*\\)\".*/\\1/p' src/words.rs src/end.rs"


def _make_crate(root: Path) -> None:
    (root / "src").mkdir(exist_ok=True)
    (root / ".gitignore").write_text("target/\n")
    (root / "Cargo.toml").write_text('[package]\nname = "said"\nversion = "0.1.0"\nedition = "2021"\n')
    main = 'mod end;\nmod words;\nfn main() { println!("{}\\n{}", words::said(), end::said()); }\n'
    (root / "src/main.rs").write_text(main)
    for name in ("words", "end"):
        (root / f"src/{name}.rs").write_text(f'pub fn said() -> &\'static str {{ "{name}0" }}\n')
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a crate")
    _set_back(root)


@needs_cargo
@pytest.mark.parametrize("exclude", [(), ("target/**",)], ids=["governed", "left out"])
async def test_cargo_builds_what_each_sees(workspace: Path, exclude: tuple[str, ...]) -> None:
    _make_crate(workspace)
    _plainly(workspace, "cargo build -q --offline")
    async with _open(workspace, exclude) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _edit(b, "src/words.rs", "words0", "words by B")
        said = await _build(b, _IN_CARGO)
        assert _is_right(said)
        assert "by B" in said
        call = await _edit(a, "src/end.rs", "end0", "end by A")
        said = await _build_alone(a, exclude, _IN_CARGO)
        assert _is_right(said), said
        assert "by B" not in said
        assert _is_right(_plainly(workspace, _IN_CARGO))
        await a.undo(call)
        assert _is_right(await _build_alone(b, exclude, _IN_CARGO))
        await b.abort()
    said = _plainly(workspace, _IN_CARGO)
    assert _is_right(said)
    assert "by" not in said


@needs_cargo
async def test_a_stamp_is_not_newer_than_an_edit_just_after_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Files are of the last tick, some milliseconds before what the clock says; here, some more.
    read = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: read() + 300_000_000)
    _make_crate(workspace)
    _plainly(workspace, "cargo build -q --offline")
    async with _open(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _edit(b, "src/words.rs", "words0", "words by B")
        await _build(b, _IN_CARGO)
        await _edit(a, "src/end.rs", "end0", "end by A")
        await _build_alone(a, (), _IN_CARGO)
        assert _is_right(_plainly(workspace, _IN_CARGO))


_NINJA = """\
rule compiled
  command = sed 's/^/obj /' $in > $out
rule linked
  command = cat $in > $out
build build/main.o: compiled main.c
build build/gen.o: compiled gen.c
build build/prog: linked build/main.o build/gen.o
"""
_IN_NINJA = "ninja > /dev/null && cat build/prog && echo -- && sed 's/^/obj /' main.c gen.c"


@pytest.mark.long
@pytest.mark.skipif(shutil.which("ninja") is None, reason="there is no ninja")
async def test_ninja_builds_what_each_sees(workspace: Path, exclude: tuple[str, ...]) -> None:
    _make_tree(workspace, built=False)
    (workspace / "build.ninja").write_text(_NINJA)
    (workspace / ".gitignore").write_text("build/\n.ninja*\n")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "for ninja")
    _plainly(workspace, "ninja")
    async with _open(workspace, exclude) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _edit(b, "main.c", "main0", "main0 by B")
        for agent in (b, a):
            assert _is_right(await _build(agent, _IN_NINJA))
        await _edit(a, "gen.c", "gen0", "gen0 by A")
        for agent in (a, b, a):
            assert _is_right(await _build_alone(agent, exclude, _IN_NINJA))
        await b.abort()
    assert _is_right(_plainly(workspace, _IN_NINJA))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 130))
async def test_builds_are_right_in_many_orders(workspace: Path, exclude: tuple[str, ...], seed: int) -> None:
    await _at_random(workspace, exclude, seed)
