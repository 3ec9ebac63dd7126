"""A process on a checkout of its own, driven from a test, and what holds of all checkouts in the end."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from checkouts import content
from namespaces import NetHost, inner

from coagent.runtime.watch import Watch

WORKER = Path(__file__).with_name("host_worker.py")
_HEAR_S_MAX = 120.0


class Host:
    """A process of `host_worker.py`.

    Args:
        log: The URL of the log.
        folder: The checkout.
        name: What its agents are named after.
        count: How many of them work one after the other, once it may `go`.
        patience_s: How long calls wait for the log's server, in seconds.
        on: The host that it runs on; this machine by default.
        lease_s: How long its lease lasts, in seconds; as long as ever by default.
        before: What is put before the command, such as another clock.
        opens: Whether to wait until it has opened its domain.
    """

    def __init__(
        self,
        log: str,
        folder: Path,
        name: str,
        count: int = 0,
        patience_s: float = 60,
        *,
        on: NetHost | None = None,
        lease_s: float | None = None,
        before: tuple[str, ...] = (),
        opens: bool = True,
    ) -> None:
        self.name = name
        self._count, self._on = count, on
        command = [*before, sys.executable, str(WORKER), log, str(folder), name, str(patience_s)]
        if lease_s is not None:
            command.append(str(lease_s))
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        if on is None:
            self.process = subprocess.Popen(command, text=True, cwd=WORKER.parent, **pipes)
        else:
            self.process = on.start(*command, folder=WORKER.parent, **pipes)
        self.said: list[str] = []
        """All that it has said and been heard to say."""
        self.errors: list[str] = []
        """What it has written to standard error."""
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=reads, daemon=True) for reads in (self._read, self._read_errors)
        ]
        for thread in self._threads:
            thread.start()
        if opens:
            self.hear("open")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.strip())

    @property
    def pid(self) -> int:
        """Its number on this machine."""
        return self.process.pid if self._on is None else inner(self.process.pid)

    def hear(self, *wanted: str, within_s: float = _HEAR_S_MAX) -> str:
        """Wait until it has said something that begins with one of several things; returns what it said."""
        until_s = time.monotonic() + within_s
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left_s)
            except queue.Empty:
                break
            if line is None:
                raise AssertionError(f"{self.name} ended without {wanted!r}: {self.said!r} {self.errors!r}")
            self.said.append(line)
            if any(line == one or line.startswith(f"{one} ") for one in wanted):
                return line
        raise AssertionError(
            f"{self.name} has not said {wanted!r} in {within_s} s: {self.said!r} {self.errors!r}"
        )

    def do(self, what: str) -> None:
        """Have it do something: a line of input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def go(self) -> None:
        """Let its agents begin."""
        self.do(f"work {self._count}")

    def end(self) -> None:
        """Have it bring its checkout up to date, and end."""
        self.do("end")
        assert self.process.wait(_HEAR_S_MAX) == 0, (self.said, self.errors)
        self.close()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Free what was used to talk with it."""
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def committed(log: str) -> list[str]:
    """Return the agents that the log says have committed."""
    watch = Watch(log, tail=None)
    for _ in watch.events():
        pass
    found = [one.name for one in watch.agents() if one.state == "committed"]
    watch.close()
    return found


def assert_serial(folder: Path, made: dict[str, int]) -> None:
    """Assert that each line is there once, each agent's in its order, and each file."""
    lines = (folder / "shared").read_text().splitlines()
    for name, count in made.items():
        assert [line for line in lines if line.startswith(f"{name} ")] == [
            f"{name} {n}" for n in range(count)
        ]
        assert {path.name for path in folder.glob(f"of-{name}/*")} == {str(n) for n in range(count)}
    assert len(lines) == sum(made.values())


def processes(
    log: str, folders: list[Path], hosts: list[NetHost], count: int = 0, **options: float
) -> list[Host]:
    """Start a process on each host, at the same time."""
    # Whoever comes first makes the tables, and what the others find differs with how far it has come.
    found = [
        Host(log, folder, name, count, on=host, opens=False, **options)  # type: ignore[arg-type]
        for folder, name, host in zip(folders, "ABC", hosts, strict=False)
    ]
    for one in found:
        one.hear("open")
    return found


def ended(log: str, name: str, state: str, within_s: float = 60.0) -> None:
    """Wait until the log says that an agent has come to its end in some way."""
    until_s = time.monotonic() + within_s
    while True:
        watch = Watch(log, tail=None)
        for _ in watch.events():
            pass
        found = {one.name: one.state for one in watch.agents()}
        watch.close()
        if found.get(name) == state:
            return
        assert time.monotonic() < until_s, found
        time.sleep(0.1)


def end(processes: Sequence[Host]) -> None:
    """Have all come to where the log is, and end."""
    for one in processes:
        one.do("settle")
        one.hear("settled")
    for one in processes:
        one.end()


def assert_one_tree(log: str, folders: Sequence[Path], more: int = 0) -> None:
    """Assert that all checkouts are one, and hold what those who committed have written, once and in order.

    Args:
        log: The log.
        folders: The checkouts.
        more: How many lines there are of agents that stayed.
    """
    done = committed(log)
    lines = (folders[0] / "shared").read_text().splitlines()
    for name in "ABC":
        numbers = [int(one[1:]) for one in done if one[0] == name and one[1:].isdecimal()]
        assert [line for line in lines if line.startswith(f"{name} ")] == [
            f"{name} {n}" for n in sorted(numbers)
        ]
        assert sorted(int(path.name) for path in folders[0].glob(f"of-{name}/*")) == sorted(numbers)
    stays = [line for line in lines if "-stays" in line]
    assert len(stays) == more
    assert len(lines) == more + sum(one[1:].isdecimal() for one in done)
    for folder in folders[1:]:
        assert content(folders[0]) == content(folder)
