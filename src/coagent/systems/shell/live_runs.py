"""A command of a client that waits for it: it runs once for all to see, whatever becomes of its call."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coagent.protocol.keys import Key, Scan
from coagent.protocol.values import Selector, Value
from coagent.systems.shell.command_run import Command, CommandRun
from coagent.systems.shell.views.launch_server import LaunchServer


@dataclass(frozen=True, slots=True)
class Ended:
    """A live command that has ended.

    Args:
        run: What has come of it.
        reads: What it has seen, as premises of its call.
        scans: The same, of ranges.
    """

    run: CommandRun
    reads: Mapping[tuple[Key, Selector | None], Value]
    scans: Mapping[Scan, Any]


@dataclass(slots=True)
class LiveRun:
    """One live command.

    Args:
        command: As it runs for the client.
        again: As it runs where it has to run again.
        begun: Whether it has begun: then it never does so again.
        ended: What has come of it, once it has ended.
        run: Its run, once it has begun.
    """

    command: Command
    again: Command
    begun: bool = False
    ended: Ended | None = None
    run: CommandRun | None = None
    _server: LaunchServer | None = None
    _interrupted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run_begun(self, run: CommandRun, server: LaunchServer) -> None:
        """Note which run it has."""
        with self._lock:
            self.run, self._server = run, server
            if self._interrupted:
                run.interrupt(server)

    def interrupt(self) -> None:
        """End it, since its client has gone; what it has done until then is kept."""
        with self._lock:
            self._interrupted = True
            if self.run is not None and self._server is not None:
                self.run.interrupt(self._server)
