"""Names of clients, kept for them between two pieces of work: whose name it is holds a lock.

While an agent is at work, its process' lease keeps others from it; between two pieces of work there is no
agent. The lock goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import IO

from coagent.errors import JoinRefused
from coagent.private import open_private, private_folder


class Claims:
    """The names that the clients of this process have, in the domain behind one log.

    Args:
        url: The log. Only a log in a file is shared with other processes.
    """

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition(":")
        self._folder = Path(path).expanduser().resolve().parent / "claims" if scheme == "sqlite" else None
        self._held: dict[str, IO[bytes]] = {}

    def take(self, name: str) -> None:
        """Take an agent.

        Raises:
            JoinRefused: Another process serves it.
        """
        if self._folder is None or name in self._held:
            return
        place = private_folder(self._folder) / hashlib.sha256(name.encode()).hexdigest()[:16]
        lock = os.fdopen(open_private(place), "r+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise JoinRefused(
                f"agent {name!r} is served by another process", "End that one, or choose another name."
            ) from None
        self._held[name] = lock

    def free(self, name: str) -> bool:
        """Take an agent, unless another process serves it; returns whether it was free."""
        try:
            self.take(name)
        except JoinRefused:
            return False
        return True

    def give_back(self, name: str) -> None:
        """Give an agent back."""
        lock = self._held.pop(name, None)
        if lock is not None:
            lock.close()
