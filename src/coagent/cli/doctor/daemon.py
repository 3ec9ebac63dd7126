"""The daemon of a workspace: whether it runs, answers, and is of this version."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import coagent
from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.other_version import version_beside
from coagent.cli.doctor.place import Place
from coagent.masking.spans import masked_text

_ABOUT = "daemon"
_ANSWER_S_MAX = 1.0
_LOG_BYTES_MAX = 4000
_QUESTION = b'{"event": {"session_id": "coagent-doctor", "hook_event_name": "CoAgentDoctor"}}\n'
"""An event of no kind that sessions have: the daemon answers it and does nothing."""


def daemon(place: Place) -> Iterator[Finding]:
    """Yield what the daemon of the workspace is like, asked over its socket; it is never started."""
    from coagent.gateways.claude.hook import socket_path

    if not place.is_workspace:
        return
    path = socket_path(str(place.root))
    began_s = time.monotonic()
    try:
        owner, answer = _asked(path)
    except FileNotFoundError:
        yield from _none(place)
    except ConnectionRefusedError:
        yield from _dead(place, path)
    except TimeoutError:
        pid = _pid(place)
        text = f"it does not answer within {_ANSWER_S_MAX:g} s{f' (process {pid})' if pid else ''}"
        yield Finding(_ABOUT, "problem", text, _end(pid))
    except OSError as error:
        yield Finding(_ABOUT, "problem", f"{path} cannot be asked: {error.strerror}")
    else:
        took_ms = (time.monotonic() - began_s) * 1000
        if owner is not None and owner != os.geteuid():
            text = f"user {owner} listens at {path}"
            yield Finding(_ABOUT, "problem", text, "End that program, or set XDG_RUNTIME_DIR.")
        elif not _is_answer(answer):
            text = f"what listens at {path} gives no answer of a daemon"
            yield Finding(_ABOUT, "problem", text, _end(_pid(place)))
        else:
            yield from _alive(place, took_ms)


def _asked(path: str) -> tuple[int | None, bytes]:
    """Return who listens at a socket, and what they answer; nobody else than ourselves is asked anything.

    Raises:
        OSError: Nobody listens, or there is no answer in time.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(_ANSWER_S_MAX)
        connection.connect(path)
        owner = None
        if hasattr(socket, "SO_PEERCRED"):
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid (unix(7))
            owner = int.from_bytes(peer[4:8], sys.byteorder)
            if owner != os.geteuid():
                return owner, b""
        connection.sendall(_QUESTION)
        received = b""
        deadline = time.monotonic() + _ANSWER_S_MAX
        while not received.endswith(b"\n"):
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            part = connection.recv(1 << 16)
            if not part:
                break
            received += part
        return owner, received


def _is_answer(received: bytes) -> bool:
    try:
        found = json.loads(received)
    except ValueError:
        return False
    return isinstance(found, dict) and "answer" in found


def _none(place: Place) -> Iterator[Finding]:
    failure = _last_line(place)
    if failure.startswith("error:"):
        yield Finding(_ABOUT, "problem", f"it did not start: {failure.removeprefix('error:').strip()}")
    else:
        yield Finding(_ABOUT, "ok", "none runs: the first session starts it")


def _dead(place: Place, path: str) -> Iterator[Finding]:
    pid = _pid(place)
    failure = _last_line(place)
    if pid:
        yield Finding(_ABOUT, "problem", f"process {pid} lives and does not listen at {path}", _end(pid))
    elif failure.startswith("error:"):
        yield Finding(_ABOUT, "problem", f"it does not start: {failure.removeprefix('error:').strip()}")
    else:
        text = f"it was killed, and left {path}: the next session's hook starts another"
        yield Finding(_ABOUT, "warning", text, f"rm '{path}', if no session is to come")


def _alive(place: Place, took_ms: float) -> Iterator[Finding]:
    pid = _pid(place)
    if pid is None:
        yield Finding(_ABOUT, "ok", f"it runs and answers in {took_ms:.0f} ms")
        return
    state = f"process {pid}, answers in {took_ms:.0f} ms"
    python, changed_since = _python_of(pid), _is_older(pid)
    ours = _is_ours(python)
    if python and not ours:
        version = version_beside(python) or "a version that it does not tell"
        yield Finding(_ABOUT, "warning", f"{state}, and is of another installation ({version}, {python})",
                      f"{_end(pid)} (the next hook starts another; no work is lost)")  # fmt: skip
    elif changed_since:
        text = f"{state}, and was started before CoAgent was last changed"
        yield Finding(_ABOUT, "warning", text, f"{_end(pid)} (the next hook starts another; no work is lost)")
    else:
        yield Finding(_ABOUT, "ok", f"{state}, of this version")


def _pid(place: Place) -> int | None:
    """Return the process of the daemon, if it lives; the number in its lock file may be another's by now."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((place.root / ".coagent" / "daemon.lock").read_text(encoding="ascii"))
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"coagent.gateways.claude.daemon" in words:
            return pid
    return None


def _python_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0])
    return ""


def _is_ours(python: str) -> bool:
    return os.path.abspath(python) == os.path.abspath(sys.executable)


def _is_older(pid: int) -> bool:
    """Tell whether a process has begun before a file of CoAgent's was last changed."""
    with contextlib.suppress(OSError):
        began_s = os.stat(f"/proc/{pid}").st_mtime
        package = Path(coagent.__file__).parent
        return any(path.stat().st_mtime > began_s + 1 for path in package.rglob("*.py"))
    return False


def _last_line(place: Place) -> str:
    with contextlib.suppress(OSError), open(place.root / ".coagent" / "daemon.log", "rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - _LOG_BYTES_MAX))
        lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return masked_text(lines[-1]) if lines else ""
    return ""


def _end(pid: int | None) -> str:
    return f"kill {pid}" if pid else "coagent init --remove, then coagent init"
