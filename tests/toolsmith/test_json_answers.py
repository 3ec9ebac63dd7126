"""A model that cannot call tools is shown a little of the workspace, and answers in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_model import TOKENS_AN_ANSWER, UPPER, Scripted

from coagent.config.tools import ToolsTable, make_tools
from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.views import kernel_bounds
from coagent.systems.shell.views.overlay import available
from coagent.toolsmith import smith as smith_module
from coagent.toolsmith.library import Library
from coagent.toolsmith.maker import ModelChoice
from coagent.toolsmith.model_look import IsolatedTrials, Look
from coagent.toolsmith.overview import overview
from coagent.toolsmith.smith import ToolSmith

_MISSING = available() or ("" if kernel_bounds.version() else "the kernel has no Landlock")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_MISSING), reason=_MISSING or "models can look at workspaces"),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "work"
    (root / "conf").mkdir(parents=True)
    (root / "hosts").write_text("10.0.0.1 one\n")
    (root / "conf" / "camera.json").write_text('{"gain": 1.0}\n')
    (root / "conf" / "long.txt").write_text("".join(f"line {number} {'x' * 90}\n" for number in range(500)))
    (root / "conf" / "raw.bin").write_bytes(bytes(64))
    (root / "conf" / ".git").mkdir()
    (root / "conf" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return Workspace(root)


@pytest.fixture
def look(workspace: Workspace) -> Iterator[Look]:
    with IsolatedTrials(workspace) as trials:
        yield Look(workspace, trials)


def _smith(workspace: Workspace, tmp_path: Path, scripted: Scripted) -> ToolSmith:
    return ToolSmith(workspace, Library(tmp_path / "tools"), ModelChoice(scripted.model, answers="json"))


async def test_it_gets_no_tools_and_its_json_is_verified(workspace: Workspace, tmp_path: Path) -> None:
    scripted = Scripted({**UPPER, "writes": ["file:other"]}, UPPER)
    answer = await _smith(workspace, tmp_path, scripted).request("put hosts into upper case")
    assert (answer.status, answer.arguments) == ("made", {"file": "hosts"})
    assert answer.tool is not None
    assert answer.tool.tokens == 2 * TOKENS_AN_ANSWER
    assert scripted.tools == [[], []]
    assert "10.0.0.1 one" in scripted.seen[0]
    assert "conf/camera.json" in scripted.seen[0]
    assert "it changes file:hosts" in scripted.seen[1]


async def test_what_is_no_json_is_said_to_be_none(workspace: Workspace, tmp_path: Path) -> None:
    scripted = Scripted("I would use tr.")
    answer = await _smith(workspace, tmp_path, scripted).request("put hosts into upper case")
    assert answer.status == "refused"
    assert "does not answer with a tool" in answer.reason
    assert list((tmp_path / "tools").glob("*.toml")) == []


async def test_files_that_are_named_are_opened_first(look: Look) -> None:
    found = await overview(look, "Set the camera's gain in camera.json")
    assert found["files"] == ["conf/camera.json", "conf/long.txt", "conf/raw.bin", "hosts"]
    assert found["first_lines"] == {"conf/camera.json": '{"gain": 1.0}\n'}
    assert (await overview(look, "Which host is one?"))["first_lines"] == {"hosts": "10.0.0.1 one\n"}
    assert (await overview(look, "Do it."))["first_lines"] == {}
    assert (await overview(look, "conf/raw.bin"))["first_lines"]["conf/raw.bin"] == ""


async def test_the_overview_is_bounded(workspace: Workspace) -> None:
    for number in range(300):
        (Path(workspace.root) / f"file{number}").write_text("x\n" * 1000)
    with IsolatedTrials(workspace) as trials:
        found = await overview(Look(workspace, trials), "conf/long.txt, file297, file298 and file299.")
    assert len(found["files"]) == 120
    assert found["files_left_out"] == 184
    assert "file299" in found["files"], "what is named is listed, however many there are"
    assert len(found["first_lines"]) == 3
    assert len(json.dumps(found)) < 8000


def test_a_domain_file_says_how_the_model_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from coagent.systems.files.system import FilesTarget
    from coagent.systems.files.target import Files

    chosen: list[ModelChoice] = []
    monkeypatch.setattr(smith_module, "smith_tools", lambda *_, choice: chosen.append(choice) or ())
    target = FilesTarget(kind="files", root=str(tmp_path))
    for more in ({}, {"answers": "json"}):
        table = ToolsTable.model_validate(
            {"builtin": ["toolsmith"], "toolsmith": {"model": "openai:x", **more}}
        )
        make_tools(table, [target], [Files(tmp_path)], tmp_path, "config.toml:1")
    assert [one.answers for one in chosen] == ["tools", "json"]
