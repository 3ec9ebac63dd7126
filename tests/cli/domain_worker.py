"""A process that has a domain of files open, and agents in it that do what a test says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import commands

CONFIG = '[[targets]]\nkind = "files"\nroot = ".."\n'
WORKER = """
import json, sys
from coagent.log import sqlite
sqlite._CHECKPOINTS_APART = 100
import anyio
from coagent.config.domain_file import configured
from pathlib import Path

async def main():
    async with configured(Path(sys.argv[1])).domain as domain:
        sessions = {}
        for line in sys.stdin:
            act, name, *rest = json.loads(line)
            if act == "join":
                sessions[name] = await domain.join(name)
                answer = "joined"
            elif act == "finish":
                answer = (await sessions[name].finish()).state
            elif act == "notices":
                answer = [one.key for one in await sessions[name].notifications()]
            else:
                answer = (await sessions[name].call(act, **rest[0])).value
            print(json.dumps(answer), flush=True)

anyio.run(main)
"""


class Worker:
    """Another process that has the domain open, and agents in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / ".coagent" / "log.db"
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder / ".coagent" / "config.toml")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, *act: object) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(act) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._process.stdin.closed:
            return
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    @contextmanager
    def again(self) -> Iterator[Worker]:
        """Yield another process, with the domain opened anew."""
        other = Worker(self.folder)
        yield other
        other.close()

    def coagent(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return commands.coagent(*arguments, cwd=cwd or self.folder)

    def said(self, *arguments: str) -> str:
        done = self.coagent(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.coagent(*arguments)
        assert done.returncode == 2, done.stdout
        return done.stderr


@contextmanager
def domain_worker(folder: Path) -> Iterator[Worker]:
    """Yield a process that has a new domain open in a folder."""
    (folder / ".coagent").mkdir()
    (folder / ".coagent" / "config.toml").write_text(CONFIG)
    (folder / "a.txt").write_text("one\n")
    worker = Worker(folder)
    try:
        yield worker
    finally:
        worker.close()


def at_work(worker: Worker) -> None:
    worker.do("join", "A")
    worker.do("join", "B")
    worker.do("write_file", "A", {"path": "a.txt", "content": "two\n"})
    worker.do("read_file", "B", {"path": "a.txt"})
    worker.do("write_file", "B", {"path": "b.txt", "content": "two\n"})
    assert worker.do("finish", "B") == "waiting"
