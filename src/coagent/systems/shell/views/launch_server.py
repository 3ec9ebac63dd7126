"""Keeps one `launcher.py` that forks for each command, so that a command need not wait for a new Python.

Its tracer in C is compiled here, where there is a compiler, for each process anew and loaded before the first
command: a library that is kept in a cache could be written by a command that may write to caches, and it runs
outside of all views.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import IO

from coagent.errors import TargetError
from coagent.scratch import new_folder, process_folder
from coagent.systems.shell.resource_monitor import PERIOD_S, LimitExceeded, ResourceMonitor
from coagent.systems.shell.views import launcher
from coagent.systems.shell.views.confined import Confined, Frame
from coagent.systems.shell.views.launch import Launch, is_closed
from coagent.systems.shell.views.overlay import remove_scratch

_COMPILE_S_MAX = 30
_START_S_MAX = 30
_KILLED = 128 + signal.SIGKILL


class LaunchServer:
    """A process that begins commands; it is started with the first one, and anew when it has died.

    It ends with `close`, or with this process.

    `tracer` says which one it has: "c" or "python", and nothing before the first command.

    Args:
        compiled: Whether the tracer in C is used where it can be compiled.
    """

    def __init__(self, *, compiled: bool = True) -> None:
        self._compiles = compiled
        self._lock = threading.Lock()
        self._end: weakref.finalize[..., LaunchServer] | None = None
        self._requests: socket.socket | None = None
        self._waiting: list[Launch] = []  # one at most
        self._chosen: dict[Path, Launch] = {}
        self.tracer = ""
        self._running_lock = threading.Lock()
        self._running: dict[Path, tuple[int, signal.Signals]] = {}
        self._interrupted: set[Path] = set()

    def scratch(self, frame: Frame) -> Path:
        """Return a new folder for a view with a frame; mostly a process waits there for its command."""
        with self._lock:
            for scratch in [
                scratch for scratch in self._chosen if not scratch.exists()
            ]:  # its view has run nothing
                self._chosen.pop(scratch).discard()
            if self._requests is not None and is_closed(self._requests):
                self._stop()  # it was killed, or memory was short
            if self._waiting:
                waiting = self._waiting.pop()
                if waiting.stands(frame):
                    self._chosen[waiting.scratch] = waiting
                    return waiting.scratch
                waiting.discard()
        return new_folder("bash")

    def run(self, view: Confined, output: IO[bytes], timeout_s: float) -> int:
        """Run the command of a view's `spec` and return its exit code.

        Args:
            view: In which it runs.
            output: Where both its streams go.
            timeout_s: How long it may take, in seconds; then it and all that it has begun is ended.

        Raises:
            TimeoutError: It has taken longer.
            LimitExceeded: It has used more than its frame allows; it is ended, too.
            TargetError: The server cannot be started.
        """
        return self.run_into(view, [output.fileno()], timeout_s)

    def run_into(self, view: Confined, streams: Sequence[int], timeout_s: float | None) -> int:
        """Run the command of a view's `spec` and return its exit code.

        Args:
            view: In which it runs.
            streams: Descriptors: where both its streams go, or each.
            timeout_s: As for `run`; None where somebody else sees to its end (`interrupt`).

        Raises:
            TimeoutError: It has taken longer.
            LimitExceeded: It has used more than its frame allows; it is ended, too.
            TargetError: The server cannot be started.
        """
        with self._lock:
            launch = self._chosen.pop(view.scratch, None)
        for _ in range(2):
            launch = launch or self._begin(view.frame, view.scratch)
            with launch.channel:
                process = launch.start(streams)
                if process is not None:
                    following = _Asked(view.frame, new_folder("bash"))
                    try:
                        with self._killable(view, process):
                            monitor = self._monitor(view)
                            return _wait(launch.channel, process, timeout_s, monitor)
                    finally:
                        self._begin_ahead(following)
            launch = None  # it has died while it waited
        raise TargetError("the process that begins commands dies", "See what kills it: is memory short?")

    def interrupt(self, scratch: Path) -> None:
        """End the command of a view, or have it end as soon as it begins; without waiting for its end.

        Args:
            scratch: The folder of the view.
        """
        with self._running_lock:
            self._interrupted.add(scratch)
            if scratch in self._running:
                _kill(*self._running[scratch])

    def process(self, scratch: Path) -> int | None:
        """Return the id of a process in the namespaces of a view's command; None where none runs."""
        with self._running_lock:
            if scratch not in self._running:
                return None
            with open(f"/proc/self/fdinfo/{self._running[scratch][0]}", encoding="ascii") as file:
                found = next(int(line[4:]) for line in file if line.startswith("Pid:"))
        return found if found > 0 else None  # it has ended

    def _monitor(self, view: Confined) -> ResourceMonitor | None:
        """Return what watches the command of a view; None where that is as free as the machine."""
        process = None if view.frame.open else self.process(view.scratch)
        return None if process is None else ResourceMonitor(process, view.scratch, view.frame.limits)

    @contextlib.contextmanager
    def _killable(self, view: Confined, process: int) -> Iterator[None]:
        """Let a process be interrupted while it runs; closes its descriptor."""
        scratch = view.scratch
        how = signal.SIGTERM if view.frame.open else signal.SIGKILL
        with self._running_lock:
            self._running[scratch] = process, how
            if scratch in self._interrupted:
                _kill(process, how)
        try:
            yield
        finally:
            with self._running_lock:
                del self._running[scratch]
                self._interrupted.discard(scratch)
                os.close(process)

    def start(self) -> None:
        """Start the server, where it does not run, before it is needed.

        Raises:
            TargetError: It cannot be started.
        """
        with self._lock:
            if self._requests is None:
                self._start()

    def close(self) -> None:
        """End the server, and with it the commands that still run."""
        with self._lock:
            self._stop()

    def _begin(self, frame: Frame, scratch: Path) -> Launch:
        """Have a process made for a view."""
        with self._lock:
            for _ in range(2):
                if self._requests is None:
                    self._start()
                assert self._requests is not None
                asked = _Asked(frame, scratch)
                try:
                    return asked.send(self._requests)
                except OSError:
                    asked.close()
                    self._stop()
        raise TargetError("the process that begins commands dies", "See what kills it: is memory short?")

    def _begin_ahead(self, asked: _Asked) -> None:
        """Have a process made for the next command, which is likely to be of the same kind."""
        with self._lock:
            if self._requests is not None and not self._waiting:
                with contextlib.suppress(OSError):  # the next command will see to it
                    self._waiting.append(asked.send(self._requests))
                    return
        asked.close()
        remove_scratch(asked.scratch)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryDirectory(prefix="trace-", dir=process_folder()) as folder:
            library = _compile(Path(folder)) if self._compiles else []
            argv = [sys.executable, "-IS", launcher.__file__, str(theirs.fileno()), *library]
            try:
                with theirs:
                    process = subprocess.Popen(
                        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/", env={},
                        pass_fds=[theirs.fileno()], start_new_session=True,
                    )  # fmt: skip
                ours.settimeout(_START_S_MAX)
                ready = ours.recv(16)  # from here on the library is loaded
                ours.settimeout(None)
            except OSError as error:
                ours.close()
                raise TargetError(
                    f"the process that begins commands cannot be started: {error}", "Free some memory."
                ) from error
        self._requests, self.tracer = ours, ready.decode("ascii")
        self._end = weakref.finalize(self, _ended, process, ours, self._waiting, self._chosen)
        if not ready:
            self._stop()
            raise TargetError("the process that begins commands ends at once", "See what it says.")

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._end = self._requests = None


class _Asked:
    """What the server is asked for a process with; made while there is time.

    Args:
        frame: What is known of its command.
        scratch: The folder of its view.
    """

    def __init__(self, frame: Frame, scratch: Path) -> None:
        self.scratch = scratch
        self._message = frame.message(scratch)
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._launch = Launch(frame, scratch, ours)

    def send(self, requests: socket.socket) -> Launch:
        """Ask; raises OSError where the server has died."""
        with self._theirs:
            socket.send_fds(requests, [self._message], [self._theirs.fileno()])
        return self._launch

    def close(self) -> None:
        """Do without the process."""
        self._theirs.close()
        self._launch.close()


def _ended(
    process: subprocess.Popen[bytes],
    requests: socket.socket,
    waiting: list[Launch],
    chosen: dict[Path, Launch],
) -> None:
    requests.close()
    process.kill()  # and with it all that it has begun
    process.wait()
    for launch in (*waiting, *chosen.values()):
        launch.discard()
    waiting.clear()
    chosen.clear()


def _wait(
    answer: socket.socket, process: int, timeout_s: float | None, monitor: ResourceMonitor | None
) -> int:
    end = None if timeout_s is None else monotonic() + timeout_s
    while True:
        left = None if end is None else max(end - monotonic(), 0.001)
        answer.settimeout(left if monitor is None else min(left or PERIOD_S, PERIOD_S))
        try:
            code = answer.recv(4)
        except ConnectionError:  # it was killed
            code = b""
        except TimeoutError:
            try:
                if end is not None and monotonic() >= end:
                    raise
                if monitor is not None:
                    monitor.check()
                continue
            except (TimeoutError, LimitExceeded):
                _kill(process)
                answer.settimeout(None)
                answer.recv(4)  # ends when they are gone
                raise
        return int.from_bytes(code, sys.byteorder, signed=True) if code else _KILLED


def _kill(process: int, how: signal.Signals = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, how)  # its namespace of processes goes with it, or it sees to that


def _compile(folder: Path) -> list[str]:
    """Return the place of the tracer in C, compiled; nothing where that cannot be had."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        return []
    place = folder / "trace.so"
    source = Path(launcher.__file__).with_name("trace.c")
    argv = [compiler, "-O1", "-shared", "-fPIC", "-o", str(place), str(source)]
    try:
        done = subprocess.run(
            argv, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=_COMPILE_S_MAX
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(place)] if done.returncode == 0 else []
