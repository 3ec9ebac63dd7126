"""The domain files that the documentation shows are right."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from coagent.config.domain_file import DomainFile, read_domain_file
from coagent.gateways.setup import workspace

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    "name", ["toolsmith.md", "serve.md", "upstream.md", "claude-code.md", "telemetry.md"]
)
def test_the_domain_files_shown_are_right(name: str) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / name).read_text(), re.S)
    assert blocks
    for block in blocks:
        DomainFile.model_validate(tomllib.loads(block))


def test_every_setting_of_sessions_is_documented() -> None:
    text = (DOCS / "claude-code.md").read_text() + (DOCS / "serve.md").read_text()
    for table in ("claude", "serve"):
        for setting in DomainFile.model_fields[table].annotation.model_fields:  # type: ignore[union-attr]
            assert f"{setting} =" in text, setting


def test_what_init_writes_is_what_is_documented(tmp_path: Path) -> None:
    written = read_domain_file(workspace.make(tmp_path))
    shown = re.findall(r"```toml\n(.*?)```", (DOCS / "claude-code.md").read_text(), re.S)[0]
    assert DomainFile.model_validate(tomllib.loads(shown)) == written
