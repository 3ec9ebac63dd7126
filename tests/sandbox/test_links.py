"""Folders may become links, and links folders, as in plain bash; and all of it can be undone."""

from __future__ import annotations

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


@pytest.mark.parametrize("session", _SESSIONS)
async def test_a_session_ends_as_in_plain_bash_and_leaves_nothing(
    workspace: Path, session: list[str]
) -> None:
    plain = workspace.parent / "plain"
    shutil.copytree(workspace, plain, symlinks=True)
    before = tree(workspace)
    async with shells(workspace) as domain:
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
