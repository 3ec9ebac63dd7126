"""What an agent has installed into a left-out folder, and an earlier agent takes away, is there again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views, shells

from coagent.systems.shell.installs import packages

pytestmark = [pytest.mark.anyio, needs_views]
NPM = "--offline --no-audit --no-fund --loglevel=error --install-links"


async def _say(agent: Any, command: str) -> str:
    value = (await agent.call("bash", command=command)).value
    assert value["exit_code"] == 0, value
    return str(value["output"])


async def _end(*agents: Any) -> list[str]:
    """Finish agents, and return what they were told of."""
    told: list[str] = []
    for agent in agents:
        while agent.state not in ("committed", "aborted"):
            settled = await agent.finish(wait=True)
            told += [one.text for one in settled.notifications]
    return told


def _package(folder: Path, name: str, version: str = "1.0.0") -> None:
    folder.mkdir(parents=True)
    about = {"name": name, "version": version, "main": "i.js"}
    (folder / "package.json").write_text(json.dumps(about))
    (folder / "i.js").write_text(f"module.exports = {name!r}\n")


def _install(name: str, version: str = "1.0.0") -> str:
    """Return a command that does to `node_modules` what an installation does."""
    text = json.dumps({"name": name, "version": version})
    place = f"node_modules/{name}"
    return f"rm -rf {place}; mkdir -p {place}; echo '{text}' > {place}/package.json"


async def test_a_package_that_an_earlier_agent_prunes_is_installed_again(workspace: Path) -> None:
    _package(workspace / "node_modules/dev", "dev")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _say(b, f"{_install('right')}; {_install('@scope/wide')}")
        await _say(a, f"{_install('left')}; rm -rf node_modules/right node_modules/@scope")
        await _say(a, "rm -rf node_modules/right node_modules/@scope")
        assert await _end(a, b) == []  # nothing is otherwise for B
    assert packages(str(workspace / "node_modules")) == dict.fromkeys(
        ("dev", "left", "right", "@scope/wide"), "1.0.0"
    )


async def test_another_version_in_the_place_of_one_is_told_to_who_has_used_that(workspace: Path) -> None:
    _package(workspace / "node_modules/dev", "dev")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        assert '"1.0.0"' in await _say(b, "cat node_modules/dev/package.json")
        await _say(a, _install("dev", "2.0.0"))
        (told,) = await _end(a, b)
        assert "2.0.0" in told
        assert "B.1" in told


async def test_who_has_not_looked_there_is_not_run_again(workspace: Path) -> None:
    _package(workspace / "node_modules/dev", "dev")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _say(b, "date +%s%N > when")
        before = (workspace / "when").read_text()
        await _say(a, "rm -rf node_modules/dev")
        assert await _end(a, b) == []
        assert (workspace / "when").read_text() == before


@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm")
@pytest.mark.parametrize("prune", ["npm ci", "npm prune"])
async def test_what_npm_prunes_npm_installs_again(workspace: Path, prune: str) -> None:
    for name in ("left", "right", "dev"):
        _package(workspace / "vendor" / name, name)
    about = {"name": "app", "version": "1.0.0", "dependencies": {"dev": "file:vendor/dev"}}
    (workspace / "package.json").write_text(json.dumps(about, indent=2) + "\n")
    (workspace / ".gitignore").write_text("node_modules/\n")
    subprocess.run(f"npm install {NPM}", shell=True, cwd=workspace, check=True)
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "base")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _say(b, f"npm install {NPM} ./vendor/right; node -p \"require('right')\"")
        await _say(a, f"npm install {NPM} ./vendor/left; {prune} {NPM}")
        await _end(a, b)
    assert packages(str(workspace / "node_modules")).keys() == {"dev", "left", "right"}
    assert json.loads((workspace / "package.json").read_text())["dependencies"].keys() == {
        "dev",
        "left",
        "right",
    }


@pytest.mark.long
async def test_what_pip_removes_pip_installs_again(workspace: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", workspace / ".venv"], check=True)
    for name in ("left", "right"):
        with zipfile.ZipFile(workspace / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            about = f"{name}-1.0.dist-info"
            wheel.writestr(f"{name}.py", f"NAME = {name!r}\n")
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            wheel.writestr(f"{about}/WHEEL", tag)
            files = f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n"
            wheel.writestr(f"{about}/RECORD", files)
    pip = ".venv/bin/python -m pip --no-input --disable-pip-version-check"
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _say(b, f"{pip} install -q --no-index right-1.0-py3-none-any.whl")
        await _say(a, f"{pip} install -q --no-index left-1.0-py3-none-any.whl; {pip} uninstall -qy right")
        await _end(a, b)
    assert packages(str(workspace / ".venv")).items() >= {"left": "1.0", "right": "1.0"}.items()
