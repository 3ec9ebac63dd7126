"""Claude Code, opencode, Codex CLI and Gemini CLI from npm, in pinned versions, installed once for all tests.

COAGENT_TEST_CLAUDE_CODE names another version of Claude Code, such as 2.1.197.

They go into the folder that COAGENT_TEST_CLIENTS names, or into `.cache/clients` of the repository. Where
that cannot be done, the tests that need them are skipped, and say why.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("COAGENT_TEST_CLIENTS") or Path(__file__).parents[2] / ".cache" / "clients")
TIMEOUT_SECONDS = 240.0


@dataclass(frozen=True)
class Package:
    """One npm package in one version, and the command that it brings."""

    name: str
    version: str
    command: str

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return CACHE / f"{self.command}-{self.version}"

    @property
    def path(self) -> Path:
        """The path of its command."""
        return self.folder / "node_modules" / ".bin" / self.command


CLAUDE_CODE = Package(
    "@anthropic-ai/claude-code", os.environ.get("COAGENT_TEST_CLAUDE_CODE") or "2.1.332", "claude"
)
OPENCODE = Package("opencode-ai", "1.18.33", "opencode")
CODEX = Package("@openai/codex", "0.171.0", "codex")
GEMINI = Package("@google/gemini-cli", "0.61.0", "gemini")


def installed(package: Package) -> Path:
    """Return the path of a package's command, installed now if it is not yet; skips if it cannot be."""
    fault = fault_of_installing(package)
    if fault:
        pytest.skip(f"{package.name} {package.version} cannot be installed: {fault}")
    return package.path


@cache
def fault_of_installing(package: Package) -> str:
    """Have a package installed; return what went wrong, or nothing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    complete = package.folder / "complete"
    with locked(CACHE / f"{package.command}.lock"):
        if complete.exists():
            return ""
        fault = earlier_fault(package) or install(package)
        if fault:
            note_fault(package, fault)
        else:
            complete.touch()
        return fault


def install(package: Package) -> str:
    """Install a package; return what went wrong, or nothing."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "node and npm are not there"
    shutil.rmtree(package.folder, ignore_errors=True)
    package.folder.mkdir()
    (package.folder / "package.json").write_text('{"private": true}\n')
    options = ["--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]
    options += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    fault = fault_of([npm, "install", *options, f"{package.name}@{package.version}"], package.folder)
    return fault or fault_of([str(package.path), "--version"], package.folder)


def fault_of(command: list[str], folder: Path) -> str:
    """Run a command; return what went wrong, or nothing."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = " ".join(done.stderr.split())[:300]
    return f"{Path(command[0]).name} exited {done.returncode}: {said}"


def earlier_fault(package: Package) -> str:
    """Return what went wrong for another worker of this same test run, so that not each tries."""
    try:
        run, fault = json.loads((CACHE / f"{package.command}.fault").read_text())
    except (OSError, ValueError):
        return ""
    return str(fault) if run == os.environ.get("PYTEST_XDIST_TESTRUNUID") else ""


def note_fault(package: Package, fault: str) -> None:
    """Tell the other workers of this test run what went wrong."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    (CACHE / f"{package.command}.fault").write_text(json.dumps([run, fault]))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, against other processes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
