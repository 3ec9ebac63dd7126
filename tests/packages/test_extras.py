"""Each extra, installed from the wheel into a fresh environment with nothing else, runs what it is for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from bill_of_materials import PRODUCT, locked
from building import ROOT, build, project

_EXTRAS: dict[str, tuple[str, ...]] = {
    "": (
        "cli",
        "config",
        "demos",
        "oversight",
        "protocol",
        "runtime",
        "story",
        "systems.files",
        "systems.shell",
    ),
    "kubernetes": ("systems.kubernetes",),
    "llm": ("agents", "gateways.frameworks.pydantic_ai"),
    "sql": ("log", "systems.sql"),
    "toolsmith": ("toolsmith.example", "toolsmith.parse", "toolsmith.verify"),
    "mcp": ("gateways.mcp", "gateways.setup"),
    "ui": ("ui",),
    "watch": ("terminal",),
    "langchain": ("gateways.frameworks.langchain",),
    "openai-agents": ("gateways.frameworks.openai_agents",),
    "claude-agent-sdk": ("gateways.frameworks.claude_agent_sdk",),
    "otel": ("telemetry",),
}
"""What of `coagent` each extra is for."""
_IMPORT = """
import importlib, pkgutil, sys, coagent
given = [f"coagent.{name}" for name in sys.argv[1:]]
for each in pkgutil.walk_packages(coagent.__path__, "coagent."):
    if any(each.name == name or each.name.startswith(name + ".") for name in given):
        importlib.import_module(each.name)
        print(each.name)
"""
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


def test_every_extra_is_tried() -> None:
    assert set(_EXTRAS) - {""} == set(project()["optional-dependencies"]) - {"all", "dev", "docs"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (built,) = build(ROOT, tmp_path_factory.mktemp("dist"), "wheel")
    return built


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the versions of the lock, without the hashes, for which pip would want some of the wheel too."""
    entries = locked((ROOT / "requirements.lock").read_text(encoding="utf-8")).values()
    file = tmp_path_factory.mktemp("lock") / "versions.txt"
    file.write_text("\n".join(re.split(r"[ ;\\]", entry)[0] for entry in entries))
    return file


@pytest.mark.long
@pytest.mark.parametrize("extra", _EXTRAS)
def test_an_extra_brings_what_it_is_for(wheel: Path, versions: Path, tmp_path: Path, extra: str) -> None:
    python = tmp_path / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    wanted = f"{PRODUCT}[{extra}] @ {wheel.as_uri()}" if extra else f"{PRODUCT} @ {wheel.as_uri()}"
    subprocess.run([python, *_PIP, "install", "--no-compile", "-c", versions, wanted], check=True)
    done = subprocess.run(
        [python, "-I", "-c", _IMPORT, *_EXTRAS[extra]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = done.stdout.splitlines()
    for name in _EXTRAS[extra]:
        assert f"coagent.{name}" in imported
    subprocess.run([python, *_PIP, "check"], check=True)


@pytest.mark.long
def test_an_extra_can_be_added_to_what_is_installed_as_messages_say(
    wheel: Path, versions: Path, tmp_path: Path
) -> None:
    """`pip install 'coagent-mtpo[ui]'` takes the product that is there, though no index has it."""
    python = tmp_path / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    subprocess.run([python, *_PIP, "install", "--no-compile", "-c", versions, wheel], check=True)
    subprocess.run([python, *_PIP, "install", "--no-compile", "-c", versions, f"{PRODUCT}[ui]"], check=True)
    subprocess.run([python, "-I", "-c", "import coagent.ui.server"], check=True)
