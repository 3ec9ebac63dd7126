"""The streams of a client whose command runs elsewhere: what is written there is also kept, for comparison.

Where both are files, as with Claude Code, the command writes into them itself and what it has written is read
there; else it writes into pipes, and threads of this process hand on what comes.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading

_PART_BYTES = 65536


class Streams:
    """Where a command writes.

    Args:
        output: A descriptor, which is closed with this object.
        errors: Another one, perhaps of the same file.
        kept_max: How many bytes are kept of what is written.
    """

    def __init__(self, output: int, errors: int, kept_max: int) -> None:
        self._given = (output, errors)
        self._kept_max = kept_max
        self._files: list[tuple[int, int]] = []  # descriptors for reading, and where to begin
        self._pipes: list[int] = []
        self._threads: list[threading.Thread] = []
        self._kept = [bytearray(), bytearray()]
        self._sizes = [0, 0]
        self.descriptors = self._open()
        """What the command is given."""

    def _open(self) -> tuple[int, int]:
        output, errors = (os.fstat(descriptor) for descriptor in self._given)
        same = (output.st_dev, output.st_ino) == (errors.st_dev, errors.st_ino)
        if stat.S_ISREG(output.st_mode) and (same or stat.S_ISREG(errors.st_mode)):
            with contextlib.suppress(OSError):
                for descriptor in self._given[: 1 if same else 2]:
                    held = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
                    self._files.append((held, os.fstat(descriptor).st_size))
                return self._given
        ends = [self._hand_on(number) for number in range(1 if same else 2)]
        return ends[0], ends[-1]

    def _hand_on(self, number: int) -> int:
        """Return the end of a pipe; what is written there is kept, and handed on."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._pipes.append(writing)

        def hand_on() -> None:
            with os.fdopen(reading, "rb", buffering=0) as source:
                while part := source.read(_PART_BYTES):
                    self._sizes[number] += len(part)
                    self._kept[number] += part[: self._kept_max - len(self._kept[number])]
                    with contextlib.suppress(OSError):  # nobody listens any more
                        while part:
                            part = part[os.write(self._given[number], part) :]

        thread = threading.Thread(target=hand_on, name="coagent-stream", daemon=True)
        thread.start()
        self._threads.append(thread)
        return writing

    def read_output(self) -> tuple[bytes, int]:
        """Return what the command, which has ended, has written: what is kept, and how many bytes it was."""
        for descriptor in self._pipes:
            os.close(descriptor)
        self._pipes.clear()
        for thread in self._threads:
            thread.join()
        for number, (held, begin) in enumerate(self._files):
            self._sizes[number] = max(0, os.fstat(held).st_size - begin)
            self._kept[number] = bytearray(os.pread(held, min(self._kept_max, self._sizes[number]), begin))
        return bytes(self._kept[0] + self._kept[1])[: self._kept_max], sum(self._sizes)

    def say(self, text: str) -> None:
        """Write something to the client's own standard error."""
        part = text.encode("utf-8", "replace")
        with contextlib.suppress(OSError):
            while part:
                part = part[os.write(self._given[1], part) :]

    def close(self) -> None:
        """Let go of everything."""
        for descriptor in (*self._given, *self._pipes, *(held for held, _ in self._files)):
            os.close(descriptor)
        self._pipes.clear()
        self._files.clear()
