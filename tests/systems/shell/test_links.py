"""Folders may become links, and links folders, as in plain bash; and all of it can be undone."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest_sandbox import needs_views, shells, tree

pytestmark = [pytest.mark.anyio, needs_views]


_SESSIONS = [
    ["mkdir -p z/b; touch z/b/f; ln -s ../z z/self; cp -r z y", "rm -rf z; ln -sfn y z; ls z/", "rm z; ls"],
    ["mkdir z; touch z/f; cp -r z y", "rm -rf z; ln -s y z", "ls z/f", "touch q", "test -L z && echo > q"],
    ["mkdir -p z/sub; touch z/sub/f", "rm -rf z; mkdir -p z/sub", "ls -R z; rmdir z/sub z", "ls"],
    ["mkdir -p y/sub; touch y/sub/f; ln -s y z", "rm z; mkdir -p z/sub", "ls -R z y", "rm -r z; ln -s y z"],
    ["mkdir -p y/sub; touch y/sub/f; ln -s y z", "rm z; mv y z; ls -R z", "mv z/sub/f z/g; rmdir z/sub"],
]


@pytest.mark.parametrize("view", ["overlay", "copy"])
@pytest.mark.parametrize("session", _SESSIONS)
async def test_a_session_ends_as_in_plain_bash_and_leaves_nothing(
    workspace: Path, session: list[str], view: str
) -> None:
    plain = workspace.parent / "plain"
    shutil.copytree(workspace, plain, symlinks=True)
    before = tree(workspace)
    async with shells(workspace, view=view) as domain:
        a = await domain.join("A")
        for command in session:
            found = (await a.call("bash", command=command)).value
            bash = subprocess.run(
                ["bash", "-c", command], cwd=plain, capture_output=True, text=True, check=False
            )
            assert (found["exit_code"], found["output"]) == (bash.returncode, bash.stdout + bash.stderr), (
                command
            )
            assert tree(workspace) == tree(plain), command
        await a.abort()
    assert tree(workspace) == before


_SWITCHES = (
    "mkdir -p {one}/sub; echo {word} > {one}/sub/f",
    "rm -rf {one}; ln -s {other} {one}",
    "rm -rf {one}; mkdir -p {one}/sub",
    "rm -rf {one}; mv {other} {one}",
    "rm -rf {one}; cp -r {other} {one}",
    "rmdir {one}/sub; touch {one}/g",
    "ls -R {one} {other} > list",
    "echo {word} >> {one}/sub/f",
    "mv {one}/sub {other}/",
    "rm {one}; echo {word} > {one}",
    "rm -rf {one}; ln -s ../{other}/sub {other}/link; ln -s {other}/link {one}",
)


@pytest.mark.parametrize("seed", [1, 2, 3, 22, 89])
async def test_random_sessions_of_one_agent_do_so_too(workspace: Path, seed: int) -> None:
    chance = random.Random(seed)
    session = []
    for _ in range(8):
        one, other = chance.sample(("a", "b", "c", "src"), 2)
        session.append(
            chance.choice(_SWITCHES).format(one=one, other=other, word=chance.choice(("foo", "bar")))
        )
    await test_a_session_ends_as_in_plain_bash_and_leaves_nothing(workspace, session, "auto")


async def test_what_a_folder_had_is_not_looked_for_where_a_link_leads_that_took_its_place(
    workspace: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.sh").write_text("of somebody else\n")
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await a.call("bash", command=f"rm -r src; ln -s {elsewhere} src")
        assert tree(workspace)["src"] == (str(elsewhere).encode(), "link")
        assert "of somebody else" not in str(domain.snapshot())


@pytest.mark.parametrize("view", ["overlay", "copy"])
async def test_a_view_is_made_without_going_through_its_links(
    workspace: Path, tmp_path: Path, view: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sub").mkdir(parents=True)
    (elsewhere / "sub/file").write_text("of somebody else\n")
    async with shells(workspace, view=view) as domain:
        a, b, c = [await domain.join(name) for name in "abc"]
        await c.call("bash", command="rm -f z; mkdir -p z/sub; touch z/sub/mine")
        await a.call("bash", command=f"ln -s {elsewhere} z")
        found = (await b.call("bash", command="rm z; mkdir z; ls -A z")).value
    assert (found["exit_code"], found["output"]) == (0, "")
    assert tree(elsewhere) == {"sub/file": (b"of somebody else\n", "0644")}


async def test_what_was_behind_a_link_out_of_the_workspace_may_become_a_folder_in_it(
    workspace: Path, tmp_path: Path
) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("a")
        await a.call("bash", command=f"ln -s {tmp_path} z")
        await a.call("bash", command="rm z; mkdir -p z/sub; touch z/sub/mine")
        assert (workspace / "z/sub/mine").is_file()
