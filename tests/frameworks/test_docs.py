"""What the how-to pages of the frameworks show is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anthropic_endpoint import AnthropicEndpoint
from claude_agent_sdk_player import require_cli
from scripted_endpoint import Reply, Stage, Turn, call

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "frameworks").glob("*.md"))
BLOCKS = [
    (page.stem, block)
    for page in PAGES
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
]


def test_every_page_has_code_and_its_extra() -> None:
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {page.stem for page in PAGES} == {name for name, _ in BLOCKS}
    for page in PAGES:
        (extra,) = re.findall(r"pip install '\.\[([\w-]+)\]'", page.read_text(encoding="utf-8"))
        assert f"\n{extra} = [" in extras


class Documented(AnthropicEndpoint):
    """Plays the models of the page on the Claude Agent SDK, whose prompts name no script."""

    @staticmethod
    def _script_name(messages: list[dict[str, Any]]) -> str | None:
        return "copies" if "named canary" in str(messages) else "repairs"


def repairs(stage: Stage) -> Any:
    def script(turn: Turn) -> Iterator[Reply]:
        stage.wait("copied")
        yield call("mcp__coagent__set_image", name="geo", image="geo:v1")
        yield "repaired"

    return script


def copies(stage: Stage) -> Any:
    def script(turn: Turn) -> Iterator[Reply]:
        turn = yield call("mcp__coagent__get_image", name="geo")
        yield call("mcp__coagent__set_image", name="canary", image=turn.shown.splitlines()[0])
        stage.give("copied")
        turn = yield "copied"
        assert "[coagent notice]" in turn.shown
        yield call("mcp__coagent__coagent_amend", call_id="dev.2", arguments={"image": "geo:v1"})
        yield "copied again"

    return script


@contextmanager
def models(page: str, home: Path) -> Iterator[dict[str, str]]:
    """Return the variables with which a page's code reaches its models, where they are not in the page."""
    if page != "claude-agent-sdk":
        yield {}
        return
    require_cli()
    with Documented() as endpoint:
        endpoint.script("repairs", repairs(endpoint.stage))
        endpoint.script("copies", copies(endpoint.stage))
        yield {
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": endpoint.url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_the_code_runs(page: str, block: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    with models(page, tmp_path) as variables:
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
