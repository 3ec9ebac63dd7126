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
from pathlib import Path
from typing import IO

from coagent.errors import TargetError
from coagent.sandbox import launcher
from coagent.sandbox.confined import Confined

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
        self._compiled = compiled
        self._lock = threading.Lock()
        self._end: weakref.finalize[..., LaunchServer] | None = None
        self._requests: socket.socket | None = None
        self.tracer = ""

    def run(self, view: Confined, spec: Path, output: IO[bytes], timeout_s: float) -> int:
        """Run a command and return its exit code.

        Args:
            view: In which it runs.
            spec: That of its `spec`.
            output: Where both its streams go.
            timeout_s: How long it may take, in seconds; then it and all that it has begun is ended.

        Raises:
            TimeoutError: It has taken longer.
            TargetError: The server cannot be started.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, view.report() as report:
                self._send(view.way + bytes(spec), [output.fileno(), theirs.fileno(), report.fileno()])
            _, processes, _, _ = socket.recv_fds(ours, 5, 1, socket.MSG_CMSG_CLOEXEC)
            if not processes:
                return _KILLED
            try:
                return _waited(ours, processes[0], timeout_s)
            finally:
                os.close(processes[0])

    def close(self) -> None:
        """End the server, and with it the commands that still run."""
        with self._lock:
            self._stop()

    def _send(self, request: bytes, descriptors: list[int]) -> None:
        with self._lock:
            for _ in range(2):
                if self._requests is None:
                    self._start()
                assert self._requests is not None
                try:
                    socket.send_fds(self._requests, [request], descriptors)
                except OSError:  # it has died: it was killed, or memory was short
                    self._stop()
                else:
                    return
        raise TargetError("the process that begins commands dies", "See what kills it: is memory short?")

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryDirectory(prefix="coagent-trace-") as folder:
            library = _compiled(Path(folder)) if self._compiled else []
            argv = [sys.executable, "-IS", launcher.__file__, "--serve", str(theirs.fileno()), *library]
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
        self._end = weakref.finalize(self, _ended, process, ours)
        if not ready:
            self._stop()
            raise TargetError("the process that begins commands ends at once", "See what it says.")

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._end = self._requests = None


def _ended(process: subprocess.Popen[bytes], requests: socket.socket) -> None:
    requests.close()
    process.kill()
    process.wait()


def _waited(answer: socket.socket, process: int, timeout_s: float) -> int:
    answer.settimeout(timeout_s)
    try:
        code = answer.recv(4)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)  # its namespace of processes goes with it
        answer.settimeout(None)
        answer.recv(4)  # ends when they are gone
        raise
    return int.from_bytes(code, sys.byteorder, signed=True) if code else _KILLED


def _compiled(folder: Path) -> list[str]:
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
