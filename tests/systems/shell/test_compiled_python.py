"""Python runs what is in a source, not what it has compiled from another version of that second and size."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views

import coagent
from coagent.systems.files.target import EXCLUDED, Files
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.shell.tools import bash_tools

pytestmark = pytest.mark.anyio

_PYTHON = shutil.which("python3") or sys.executable
_IN_PYTHON = f"{_PYTHON} -Sc 'import m; print(m.X)'; cat m.py"
"""Shows what runs, and what is there."""
_CACHES = {
    "beside the source": ((), ""),
    "in the agent's own folder": ((), "PYTHONPYCACHEPREFIX=/tmp/compiled "),
    "in the tree": ((), "PYTHONPYCACHEPREFIX=$PWD/compiled "),
    "left out": (("compiled/**",), "PYTHONPYCACHEPREFIX=$PWD/compiled "),
}


@pytest.fixture
def source(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    (workspace / "m.py").write_text("X = 'v0'\n")
    (workspace / ".gitignore").write_text("compiled/\n__pycache__/\n")
    (workspace / "compiled").mkdir()
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "a source")
    return workspace / "m.py"


def _is_right(said: str) -> bool:
    runs, _, there = said.partition("\n")
    return there == f"X = '{runs}'\n" and bool(runs)


def _plainly(root: Path) -> str:
    return subprocess.run(
        ["bash", "-c", _IN_PYTHON], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def _open(root: Path, exclude: tuple[str, ...] = ()) -> Any:
    files = Files(root, exclude=(*EXCLUDED, *exclude))
    return coagent.open_domain("memory:", targets=[files], tools=[FILE_TOOLS, bash_tools(files.workspace)])


async def _run(agent: Any, command: str) -> str:
    return str((await agent.call("bash", command=command)).value["output"])


async def test_a_person_never_runs_what_was_compiled_before_an_agents_write(source: Path) -> None:
    async with _open(source.parent) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        for number in range(3):
            for agent, name in ((b, "B"), (a, "A")):
                assert _is_right(_plainly(source.parent))
                await agent.call("write_file", path="m.py", content=f"X = '{name}{number}'\n")
                assert _is_right(_plainly(source.parent)), name
        await b.abort()
        assert _is_right(_plainly(source.parent))
        await a.abort()
    assert _plainly(source.parent) == "v0\nX = 'v0'\n"


_QUICK = ("left out", "earlier")


@needs_views
@pytest.mark.parametrize(
    ("cache", "first"),
    [
        pytest.param(cache, first, marks=() if (cache, first) == _QUICK else pytest.mark.long)
        for cache in _CACHES
        for first in ("earlier", "later")
    ],
)
async def test_agents_run_what_they_see(source: Path, cache: str, first: str) -> None:
    exclude, variable = _CACHES[cache]
    command = f"{variable}{_IN_PYTHON}"
    async with _open(source.parent, exclude) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        for agent, name in ((a, "A"), (b, "B")) if first == "earlier" else ((b, "B"), (a, "A")):
            for number in range(2):
                await agent.call("write_file", path="m.py", content=f"X = '{name}{number}'\n")
                assert _is_right(await _run(agent, command)), (name, number)
        for agent in (a, b, a):
            assert _is_right(await _run(agent, command))
        made = await a.call("bash", command="sed -i s/A1/A2/ m.py")
        assert _is_right(await _run(a, command))
        await a.undo(made.call_id)
        for agent in (a, b):
            assert _is_right(await _run(agent, command))
        assert _is_right(_plainly(source.parent))
        await b.abort()
        assert _is_right(await _run(a, command))
        await a.abort()
    assert _is_right(_plainly(source.parent))
