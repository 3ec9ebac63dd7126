"""A model is shown the tools that are there, and may name one instead of making another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import ToolCallPart
from scripted_model import UPPER, Scripted

from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.views import kernel_bounds
from coagent.systems.shell.views.overlay import available
from coagent.toolsmith.known import KNOWN_MAX, known_tools
from coagent.toolsmith.library import Library
from coagent.toolsmith.maker import Answers, ModelChoice
from coagent.toolsmith.model_look import SHOWN_MAX
from coagent.toolsmith.smith import ToolSmith
from coagent.toolsmith.spec import Check, ToolSpec, Verified

_MISSING = available() or ("" if kernel_bounds.version() else "the kernel has no Landlock")
_SET = "jq '.debug=false' app.json > .t && cat .t > app.json && rm .t"
needs_views = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_MISSING), reason=_MISSING or "models can look at workspaces"),
    pytest.mark.skipif(shutil.which("jq") is None, reason="the tools grown here need jq"),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "work"
    root.mkdir()
    (root / "app.json").write_text('{"debug": true, "rate": 4}\n')
    (root / "hosts").write_text("10.0.0.1 one\n")
    return Workspace(root)


def _smith(
    workspace: Workspace, tmp_path: Path, scripted: Scripted, answers: Answers = "tools", **limits: int
) -> ToolSmith:
    choice = ModelChoice(scripted.model, answers=answers, **limits)
    return ToolSmith(workspace, Library(tmp_path / "tools"), choice)


def _kept(tmp_path: Path) -> list[str]:
    return sorted(one.stem for one in (tmp_path / "tools").glob("*.toml"))


def _spec(name: str, description: str = "Do it.", **more: Any) -> ToolSpec:
    plain = {"effect": "read", "command": f"echo {name}", **more}
    spec = ToolSpec(name=name, description=description, **plain)
    return spec.model_copy(
        update={"verified": Verified(digest=spec.digest, checks=[Check(name="x", passed=True)])}
    )


class TestNamed:
    """With a real library and real views."""

    pytestmark = needs_views

    @pytest.mark.parametrize("answers", ["tools", "json"])
    async def test_a_tool_that_a_command_made_serves_words(
        self, workspace: Workspace, tmp_path: Path, answers: Answers
    ) -> None:
        named = {"name": "json_set", "arguments": {"file": "app.json", "pointer": "/rate", "value": "9"}}
        scripted = Scripted(named)
        smith = _smith(workspace, tmp_path, scripted, answers)
        made = await smith.request("debug off", _SET)
        assert (made.status, scripted.seen) == ("made", [])
        answer = await smith.request("let the rate of the application be nine")
        assert (answer.status, answer.tool, answer.arguments) == ("reused", made.tool, named["arguments"])
        assert made.tool is not None
        assert made.tool.signature in scripted.seen[0]
        assert _kept(tmp_path) == ["json_set"]

    async def test_where_there_is_no_tool_none_can_be_named(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        scripted = Scripted(UPPER)
        assert (await _smith(workspace, tmp_path, scripted).request("upper")).status == "made"
        assert "known_tools" not in scripted.seen[0]
        assert scripted.tools[0][-1] == "final_result"

    async def test_a_wrong_name_or_argument_goes_back_to_the_model(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        right = {"file": "app.json", "pointer": "/rate", "value": "9"}
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"name": "json_put"}, "there is no tool"),
            ({"name": "bash", "arguments": {"command": "true"}}, "there is no tool"),
            ({"name": "json_set", "arguments": {"file": "app.json"}}, "missing: pointer, value"),
            ({"name": "json_set", "arguments": {**right, "file": "../x"}}, "json_set: argument"),
            ({"name": "json_set", "arguments": {**right, "file": "hosts"}}, "it fails with these arguments"),
        ]
        scripted = Scripted(*(named for named, _ in wrong), {"name": "json_set", "arguments": right})
        smith = _smith(workspace, tmp_path, scripted, tries=len(wrong) + 1)
        await smith.request("debug off", _SET)
        answer = await smith.request("set the rate")
        assert (answer.status, answer.arguments) == ("reused", right)
        for told, (_, reason) in zip(scripted.seen[1:], wrong, strict=True):
            assert reason in told
        assert _kept(tmp_path) == ["json_set"]

    async def test_a_named_tool_must_do_what_a_command_does(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        loop = "for one in app.json; do jq '.rate=9' $one > .t && cat .t > $one && rm .t; done"
        wrong, right = (
            {"name": "json_set", "arguments": {"file": "app.json", "pointer": "/rate", "value": value}}
            for value in ("8", "9")
        )
        scripted = Scripted(wrong, right)
        smith = _smith(workspace, tmp_path, scripted)
        await smith.request("debug off", _SET)
        answer = await smith.request("rate", loop)
        assert (answer.status, answer.arguments) == ("reused", right["arguments"])
        assert "does something else here than the command" in scripted.seen[1]

    async def test_a_tool_that_was_removed_meanwhile_is_not_given(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        named = {"name": "json_set", "arguments": {"file": "app.json", "pointer": "/rate", "value": "9"}}
        scripted = Scripted(ToolCallPart("list_files", {}), named, "no more")
        smith = _smith(workspace, tmp_path, scripted)
        await smith.request("debug off", _SET)

        async def remove() -> None:
            if _kept(tmp_path):
                smith.library.remove("json_set")

        scripted.before = remove
        answer = await smith.request("set the rate")
        assert (answer.status, _kept(tmp_path)) == ("refused", [])
        assert "is in the library no more" in scripted.seen[2]


def test_the_likeliest_come_first_and_what_is_not_verified_is_left_out() -> None:
    specs = [
        _spec("alpha", "Count the words."),
        _spec("beta", "Sort the lines of a table."),
        _spec("gamma", "Sort."),
        _spec("delta", "Sort the lines.").model_copy(update={"verified": None}),
        _spec("post", "Sort the lines, and tell.", effect="irreversible", reason="It is sent."),
    ]
    found = known_tools(specs, "sort the lines of targets.csv")
    assert [one["name"] for one in found] == ["beta", "alpha", "gamma"]
    assert found[0] == {
        "name": "beta", "signature": "beta()", "effect": "read", "description": "Sort the lines of a table.",
    }  # fmt: skip


def test_what_is_shown_is_bounded_in_number_and_size() -> None:
    many = [_spec(f"tool_{number}", "x") for number in range(200)]
    assert len(known_tools(many, "anything")) <= KNOWN_MAX
    long = [_spec(f"tool_{number}", "y" * 2000) for number in range(200)]
    found = known_tools(long, "anything")
    assert 1 < len(found) < KNOWN_MAX
    assert len(json.dumps(found)) < SHOWN_MAX + 200


def test_what_addresses_have_before_their_at_is_left_out() -> None:
    (one,) = known_tools([_spec("fetch", "From https://me:SECRET@example.org/x.")], "fetch")
    assert "SECRET" not in one["description"]
