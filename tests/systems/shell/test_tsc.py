"""TypeScript builds what each agent sees, and a person afterwards: `tsc --incremental` and `tsc --build`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views

import coagent
from coagent.systems.files.target import EXCLUDED, Files
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.shell.tools import bash_tools

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.long,
    needs_views,
    pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm"),
]
_INSTALL = "npm install --no-fund --no-audit --loglevel=error typescript@5"
_SHOWN = "; ".join(
    f"cat {names} | grep -o \"'.*'\" | tr '\\n' ' '; echo" for names in ("dist/*.js", "src/*.ts")
)
"""Shows what was built, and what should have been."""


@pytest.fixture(scope="module")
def tsc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typescript")
    done = subprocess.run(_INSTALL.split(), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"TypeScript cannot be had: {done.stderr[-200:]}")
    return folder / "node_modules/typescript/bin/tsc"


def _make_project(root: Path, *, composite: bool) -> None:
    options = {"outDir": "dist", "rootDir": "src", "target": "es2020", "lib": ["es2020"], "types": []}
    options |= {"incremental": True, "composite": composite, "tsBuildInfoFile": "dist/.tsbuildinfo"}
    (root / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["src"]}))
    (root / ".gitignore").write_text("dist/\n")
    for name in ("a", "b"):
        (root / f"src/{name}.ts").write_text(f"export const {name} = '{name}0';\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a project")
    then = time.time() - 3600
    for place in (root / "src").iterdir():
        os.utime(place, (then, then))


def _is_right(said: str) -> bool:
    built, wanted = said.splitlines()
    return built == wanted != ""


async def _build(domain: Any, agent: Any, command: str) -> str:
    await domain.settle()  # who builds at one time in a folder that is left out is in the other's way
    outcome = await agent.call("bash", command=command)
    assert outcome.value["exit_code"] == 0, outcome.value
    return str(outcome.value["output"])


@pytest.mark.parametrize("exclude", [(), ("dist/**",)], ids=["governed", "left out"])
@pytest.mark.parametrize("how", ["-p", "--build"])
@pytest.mark.parametrize("first", ["earlier", "later"])
async def test_tsc_builds_what_each_sees(
    workspace: Path, tsc: Path, exclude: tuple[str, ...], how: str, first: str
) -> None:
    _make_project(workspace, composite=how == "--build")
    command = f"node {tsc} {how} . && {_SHOWN}"

    def by_person() -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=workspace, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert _is_right(by_person())
    files = Files(workspace, exclude=(*EXCLUDED, *exclude))
    tools = [FILE_TOOLS, bash_tools(files.workspace)]
    async with coagent.open_domain("memory:", targets=[files], tools=tools) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        calls = {}
        for agent, name in ((a, "a"), (b, "b")) if first == "earlier" else ((b, "b"), (a, "a")):
            edit = {"path": f"src/{name}.ts", "old_string": f"{name}0", "new_string": f"{name}1"}
            calls[name] = (await agent.call("edit_file", **edit)).call_id
            assert _is_right(await _build(domain, agent, command))
        for agent in (a, b, a, b):
            assert _is_right(await _build(domain, agent, command))
        assert _is_right(by_person())
        await a.undo(calls["a"])
        for agent in (b, a):
            assert _is_right(await _build(domain, agent, command))
        await domain.settle()
        assert _is_right(by_person())
        await b.abort()
        assert _is_right(await _build(domain, a, command))
        await a.abort()
    assert by_person() == "'a0' 'b0' \n" * 2
