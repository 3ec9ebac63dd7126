"""One process of `launcher.py` that waits for its command, which may come at once or much later."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Sequence
from pathlib import Path

from coagent.systems.shell.views.confined import Frame
from coagent.systems.shell.views.overlay import remove_scratch

_END_S_MAX = 5


class Launch:
    """A process that has begun, or soon will.

    Args:
        frame: What is known of its command.
        scratch: The folder of its view.
        channel: The way to it.
    """

    def __init__(self, frame: Frame, scratch: Path, channel: socket.socket) -> None:
        self.scratch = scratch
        self.channel = channel
        self._frame = frame
        self._root = _identity(frame.root)
        self._mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)

    def stands(self, frame: Frame) -> bool:
        """Tell whether a command with a frame may be given to it: what it has mounted is as it would be now.

        Source: proc_pid_mountinfo(5), which tells by poll(2) that something was mounted meanwhile.
        """
        if self._frame != frame or self._root != _identity(frame.root) or is_closed(self.channel):
            return False
        changed = select.poll()
        changed.register(self._mounts, select.POLLPRI)
        return not changed.poll(0)

    def start(self, streams: Sequence[int]) -> int | None:
        """Have it run the command of its view's spec.

        Args:
            streams: Descriptors: where both its streams go, or each.

        Returns:
            A descriptor of the process, to be closed; None where it has died.
        """
        os.close(self._mounts)
        try:
            socket.send_fds(self.channel, [b"1"], streams)
            _, processes, _, _ = socket.recv_fds(self.channel, 5, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return None
        return processes[0] if processes else None

    def discard(self) -> None:
        """Let it go without a command; what it still makes in its folder would stay, so it ends first."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)
            self.channel.settimeout(_END_S_MAX)
            while self.channel.recv(16):
                pass
        self.close()
        remove_scratch(self.scratch)

    def close(self) -> None:
        """Let it go, and leave its folder."""
        os.close(self._mounts)
        self.channel.close()


def is_closed(channel: socket.socket) -> bool:
    """Tell whether nobody is at the other end of a channel any more."""
    closed = select.poll()
    closed.register(channel, 0)  # it is always told
    return bool(closed.poll(0))


def _identity(place: str) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        status = os.stat(place)
        return status.st_dev, status.st_ino
    return None
