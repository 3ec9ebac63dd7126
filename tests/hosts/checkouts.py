"""Checkouts of one tree, each as on a host of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from coagent import State, open_domain, targets, tool
from coagent.runtime.domain import Domain

START = {"a": "one\ntwo\nthree\n", "sub/b": "b\n", "gone": "to be deleted\n"}


@tool
async def put(state: State, key: str, value: Any) -> str:
    """Write an object, whatever it was."""
    await state.put(key, value)
    return "ok"


@tool
async def get(state: State, key: str) -> Any:
    """Read an object."""
    return await state.get(key)


@tool
async def append(state: State, key: str, line: str) -> str:
    """Add a line to a file."""
    await state.put(key, (await state.get(key) or "") + f"{line}\n")
    return "ok"


@tool
async def delete(state: State, key: str) -> str:
    """Delete an object."""
    await state.delete(key)
    return "ok"


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody who works there."""
    given = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for who in ("AUTHOR", "COMMITTER"):
        given |= {f"GIT_{who}_NAME": "somebody", f"GIT_{who}_EMAIL": "somebody@example.org"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **given},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def folder_of(place: Path) -> Path:
    """Make a folder with what all begin with."""
    for path, text in START.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    return place


def repository(place: Path) -> Path:
    """Make a git working tree with what all begin with."""
    folder_of(place)
    git(place, "init", "-q", "-b", "main")
    git(place, "add", ".")
    git(place, "commit", "-q", "-m", "begin")
    return place


def clone(origin: Path, place: Path) -> Path:
    """Clone a repository, as onto another host."""
    git(origin.parent, "clone", "-q", str(origin), str(place))
    return place


def host(log: str, folder: Path, *tools: Any, **options: Any) -> Domain:
    """Return a domain as a host opens it over its own checkout."""
    files = targets.Files(folder, replicated=True)
    return open_domain(log, targets=[files], tools=[put, get, append, delete, *tools], **options)


def content(folder: Path) -> dict[str, Any]:
    """Return all that a checkout holds, with rights, links and empty folders."""
    return targets.Files(folder).snapshot()
