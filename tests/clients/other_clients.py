"""Codex CLI and Gemini CLI at work in tests, headless, against scripted endpoints; as in `claude`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from claude import Client
from gemini_endpoint import GeminiEndpoint
from installed_clients import CODEX, GEMINI, installed
from responses_endpoint import ResponsesEndpoint


@pytest.fixture(scope="session")
def codex() -> Path:
    """The path of Codex CLI's command."""
    return installed(CODEX)


@pytest.fixture(scope="session")
def gemini() -> Path:
    """The path of Gemini CLI's command."""
    return installed(GEMINI)


def start_codex(
    cwd: Path, prompt: str, endpoint: ResponsesEndpoint, home: Path, *, arguments: Sequence[str] = ()
) -> Client:
    """Start Codex CLI headless with a prompt, in a folder that it trusts."""
    folder = home / ".codex"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        'model = "scripted"\nmodel_provider = "scripted"\n\n'
        f'[model_providers.scripted]\nname = "scripted"\nbase_url = "{endpoint.base_url}"\n'
        f'wire_api = "responses"\n\n[projects."{cwd}"]\ntrust_level = "trusted"\n'
    )
    command = [str(installed(CODEX)), "exec", "--skip-git-repo-check", "--json", *arguments, prompt]
    return Client(command, cwd, endpoint, {}, home)


def start_gemini(cwd: Path, prompt: str, endpoint: GeminiEndpoint, home: Path) -> Client:
    """Start Gemini CLI headless with a prompt, in a folder that it trusts."""
    folder = home / ".gemini"
    folder.mkdir(parents=True)
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "trustedFolders.json").write_text(json.dumps({str(cwd): "TRUST_FOLDER"}))
    command = [str(installed(GEMINI)), "--approval-mode", "yolo", "-m", "gemini-2.5-flash", "-p", prompt]
    variables = {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": endpoint.url, "NO_BROWSER": "1"}
    return Client(command, cwd, endpoint, variables, home)
