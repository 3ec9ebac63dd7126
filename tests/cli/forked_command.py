"""A command that `command_line_process.py` runs: asked for, waited for, ended.

As a program it stands for such a command where something else starts it: forked_command.py SOCKET ARGUMENT...
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from types import FrameType


class ForkedCommand:
    """A command that runs.

    Args:
        place: The socket of what runs it.
        arguments: Those of `coagent`.
        descriptors: Its input, output and errors.
        cwd: Where it starts.
        environment: All of its variables.
    """

    def __init__(
        self,
        place: str,
        arguments: Sequence[str],
        descriptors: Sequence[int],
        cwd: str,
        environment: Mapping[str, str],
    ) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(place)
        asked = {"arguments": list(arguments), "cwd": cwd, "environment": dict(environment)}
        socket.send_fds(self._connection, [json.dumps(asked).encode()], descriptors)
        self._pid = int(self._connection.recv(20))

    def send_signal(self, number: int) -> None:
        """Send it a signal; nobody else gets its number until it has been waited for."""
        os.kill(self._pid, number)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        with self._connection:
            return int(self._connection.recv(20))


def main() -> int:
    """Be a command, for what has started this program."""
    place, *arguments = sys.argv[1:]
    command = ForkedCommand(place, arguments, (0, 1, 2), os.getcwd(), os.environ)

    def hand_on(number: int, _frame: FrameType | None) -> None:
        command.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    for descriptor in (0, 1, 2):  # they are its own: who waits for their end waits for it
        os.close(descriptor)
    return command.wait()


if __name__ == "__main__":
    os._exit(main() & 0xFF)
