"""Two versions of CoAgent in one workspace: who comes to a daemon of another one says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from coagent.gateways.claude import hook, prefix
from coagent.gateways.claude.stop import stop_daemon
from coagent.gateways.setup import workspace as setup

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_hook_and_prefix_are_of_the_version_of_the_project() -> None:
    version = tomllib.loads(PROJECT.read_text())["project"]["version"]
    assert {hook.VERSION, prefix._VERSION} == {version}


@pytest.mark.parametrize("on_failure", ["warn", "stop"])
def test_a_session_of_another_version_says_so_and_goes_on_or_stops(tmp_path: Path, on_failure: str) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    setup.make(root)
    config = root / ".coagent" / "config.toml"
    config.write_text(config.read_text().replace('on_failure = "warn"', f'on_failure = "{on_failure}"'))
    other.mkdir()
    for module in (hook, prefix):
        text = Path(str(module.__file__)).read_text()
        (other / Path(str(module.__file__)).name).write_text(text.replace(hook.VERSION, "0.0.9"))

    def asked(folder: Path) -> dict[str, object]:
        event = {"hook_event_name": "UserPromptSubmit", "session_id": "1234", "cwd": str(root)}
        done = subprocess.run(
            [sys.executable, "-IS", folder / "hook.py"], input=json.dumps(event), capture_output=True,
            text=True, check=True, cwd=root, env={**os.environ, "CLAUDE_PROJECT_DIR": str(root)},
        )  # fmt: skip
        return dict(json.loads(done.stdout or "{}"))

    assert "systemMessage" not in asked(Path(str(hook.__file__)).parent)  # it starts the daemon
    try:
        answer = asked(other)
        said = "is of CoAgent 0.1.0, and this session of 0.0.9".replace("0.1.0", hook.VERSION)
        assert said in str(answer["systemMessage"])
        assert "\n" not in str(answer["systemMessage"])
        assert answer.get("continue", True) == (on_failure == "warn")
        run = "import sys; sys.path.append(sys.argv.pop(1)); import prefix; prefix.main()"
        command = [sys.executable, "-IS", "-c", run, str(other), str(root), "echo done > a.txt"]
        environment = {**os.environ, "CLAUDE_CODE_SESSION_ID": "1234"}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert (done.returncode, (root / "a.txt").exists()) == (
            (0, True) if on_failure == "warn" else (1, False)
        )
    finally:
        stop_daemon(root)
