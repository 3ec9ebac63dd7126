"""A workspace of real Claude Code sessions, each with a script for its model."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
from anthropic_endpoint import AnthropicEndpoint
from claude import Client, start_claude
from scripted_endpoint import Reply, Turn

from coagent.gateways.claude.stop import stop_daemon

Play = Generator[Reply, Turn, None]
Script = Callable[[Turn], Play]


def coagent(folder: Path, *arguments: str) -> str:
    done = commands.coagent(*arguments, cwd=folder)
    done.check_returncode()
    return done.stdout


class Workspace:
    """A git repository, and sessions in it that join in the order in which they are started."""

    def __init__(self, root: Path, endpoint: AnthropicEndpoint) -> None:
        self.root = root
        self.endpoint = endpoint
        self.stage = endpoint.stage
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def text(self, name: str) -> str:
        return (self.root / name).read_text()

    def start(self, name: str, script: Script, options: Any = None, **environment: str) -> Client:
        """Start a session, and wait until it has joined: its model has been asked for the first time."""

        def play(turn: Turn) -> Play:
            self.stage.give(f"{name} has joined")
            yield from script(turn)

        self.endpoint.script(name, play)
        given = {"COAGENT_AGENT": name, **environment}
        prompt = f"[script:{name}] go"
        more = dict(options or {})
        folder = more.pop("cwd", self.root)
        client = start_claude(folder, prompt, self.endpoint, environment=given, **more)
        self.stage.wait(f"{name} has joined")
        return client

    def fix_order(self) -> None:
        """Have sessions count in the order in which they start, whatever they do."""
        config = self.root / ".coagent" / "config.toml"
        config.write_text(f'order = "fixed"\n{config.read_text()}')

    def shown(self, name: str) -> str:
        return "\n".join(turn.shown for turn in self.endpoint.turns_of(name))

    def agents(self) -> dict[str, str]:
        found = json.loads(coagent(self.root, "status", "--json"))
        return {one["name"]: one["state"] for one in found["agents"]}


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Workspace]:
    with AnthropicEndpoint() as endpoint:
        yield Workspace(tmp_path, endpoint)


@pytest.fixture
def workspace(bare: Workspace) -> Iterator[Workspace]:
    coagent(bare.root, "init")
    yield bare
    stop_daemon(bare.root)
