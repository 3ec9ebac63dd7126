"""A page that `coagent ui` serves, as users start it, and a client of its server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import commands
import httpx

WAIT_S = 20


@dataclass
class Page:
    """A page that is served, and a client that has its token."""

    url: str
    token: str
    client: httpx.Client

    def steps(self, after: int = -1) -> list[dict[str, Any]]:
        answer = self.client.get("/api/0/steps", params={"after": after})
        assert answer.status_code == 200, answer.text
        found = answer.json()["steps"]
        assert isinstance(found, list)
        return found

    def live_until(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Listen until a step of a kind comes, with such fields; returns all until then."""
        wanted = {"kind": kind, **fields}
        found: list[dict[str, Any]] = []
        with self.client.stream("GET", "/api/0/live", params={"after": -1}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    found += json.loads(line.removeprefix("data: ")).get("steps", [])
                if any(wanted.items() <= one.items() for one in found):
                    break
        return found

    def do(self, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Look at what would change, then do it; returns both answers."""
        seen = self.client.post("/api/0/preview", json=body)
        assert seen.status_code == 200, seen.text
        done = self.client.post("/api/0/act", json={**body, "ticket": seen.json()["ticket"]})
        assert done.status_code == 200, done.text
        return seen.json(), done.json()


@contextmanager
def served(*arguments: str, cwd: Path) -> Iterator[Page]:
    """Serve a page as users do."""
    process = subprocess.Popen(
        [sys.executable, "-m", "coagent", "ui", *arguments, "--json"],
        cwd=cwd,
        env=commands.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        url, _, token = json.loads(line)["url"].partition("#token=")
        with httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=WAIT_S
        ) as client:
            yield Page(url, token, client)
    finally:
        process.terminate()
        process.wait(WAIT_S)
        process.stdout.close()
        process.stderr.close()
