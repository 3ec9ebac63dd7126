"""`coagent run` as a command: what it prints where, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import coagent
from coagent.cli.run import run

APP = typer.Typer()
APP.command("run")(run)
APP.command("other")(lambda: None)

RUN = """
[[targets]]
kind = "memory"
initial = {"kv:x" = 1}
[tools]
modules = ["tools.py"]
[[agents]]
name = "A"
script = "tools.py:count"
think_s = 0
[[agents]]
name = "B"
script = "tools.py:count"
think_s = 0
"""
TOOLS = """
from coagent import State, tool

@tool
async def add(state: State, by: int) -> int:
    value = (await state.get("kv:x")) + by
    await state.put("kv:x", value)
    return value

def count():
    yield "add", {"by": 1}

def gives_up():
    yield "add", {"by": 1}
    raise ValueError("no more")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(TOOLS)
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return path


def test_the_report_is_on_standard_output_and_progress_on_standard_error(file: Path) -> None:
    result = CliRunner().invoke(APP, ["run", str(file)])
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("verdict: serial (as A, then B; 2 calls run again to compare)\n")
    assert "changed:\n  M kv:x\n" in result.stdout
    assert "A: call add(by=1)" in result.stderr


def test_json_on_standard_output_and_in_a_file(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "report.json"
    result = CliRunner().invoke(APP, ["run", str(file), "--json", "--report", str(copy)])
    data = json.loads(result.stdout)
    assert data == json.loads(copy.read_text())
    assert data["succeeded"] is True
    assert data["verdict"] == {"kind": "serial", "reason": "", "calls": 2, "order": ["A", "B"]}
    assert data["changes"] == [{"status": "modified", "key": "kv:x"}]
    assert [act["act"] for act in data["agents"][0]["acts"]] == ["call", "finish"]


def test_work_that_failed_gives_1(file: Path) -> None:
    file.write_text(RUN.replace("tools.py:count", "tools.py:gives_up", 1))
    result = CliRunner().invoke(APP, ["run", str(file)])
    assert result.exit_code == 1
    assert "A (tools.py:gives_up): aborted" in result.stdout
    assert "why: ValueError: no more" in result.stdout
    assert "1 of 2 agents did not commit; its work was withdrawn" in result.stdout


def test_a_dry_run_starts_nothing(file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        APP, ["run", str(file), "--dry-run", "--log", f"sqlite:{tmp_path / 'run.db'}"]
    )
    assert result.exit_code == 0
    assert "1. A: script tools.py:count" in result.stdout
    assert not (tmp_path / "run.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere.toml"],
        ["FILE", "--protocol", "mptp"],
        ["FILE", "--report", "/no/such/folder/report.json"],
        ["FILE", "--transcripts", "/dev/null/transcripts"],
    ],
)
def test_bad_usage_is_a_configuration_error(file: Path, arguments: list[str]) -> None:
    arguments = [str(file) if one == "FILE" else one for one in arguments]
    result = CliRunner().invoke(APP, ["run", *arguments])
    assert isinstance(result.exception, coagent.ConfigurationError)
