"""Stands between clients and a PostgreSQL server as a network does: it is cut, hangs, or loses an answer."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from pathlib import Path

_NAME = ".s.PGSQL.5432"


class Proxy:
    """Passes on what clients of one Unix socket and the server behind another one say to each other.

    Args:
        server: The folder of the server's socket.
    """

    def __init__(self, server: Path) -> None:
        self._server = str(server / _NAME)
        self.folder = Path(tempfile.mkdtemp(prefix="coagent-proxy-"))
        self._listening: socket.socket | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._loses: bytes | None = None
        self._hangs = False
        self.lost = threading.Event()
        """Set when an answer was lost."""
        self.restore()

    def url(self, url: str) -> str:
        """Return a URL of the server with the way through here."""
        before, _, after = url.partition("host=")
        return f"{before}host={self.folder}{after[after.find('&') :] if '&' in after else ''}"

    def restore(self) -> None:
        """Let connections through again."""
        self._hangs = False
        place = self.folder / _NAME
        place.unlink(missing_ok=True)
        self._listening = listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(place))
        listening.listen()
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        """End all connections, and let none through."""
        if self._listening is not None:
            (self.folder / _NAME).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _end(*pair)

    def hang(self) -> None:
        """Pass nothing on any more, and end nothing."""
        self._hangs = True

    def lose_answer(self, to: bytes) -> None:
        """Have the connection cut that next says something, once the server has answered it.

        Args:
            to: Part of what it says.
        """
        self.lost.clear()
        self._loses = to

    def close(self) -> None:
        """End it."""
        self.cut()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                _end(client, server)
                continue
            with self._lock:
                self._pairs.append((client, server))
            doomed = threading.Event()
            for one, other, says in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(one, other, says, doomed), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, says: bool, doomed: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                if self._hangs:
                    continue
                if says and self._loses is not None and self._loses in data:
                    self._loses = None
                    doomed.set()
                elif not says and doomed.is_set():
                    self.lost.set()
                    break
                other.sendall(data)
        _end(one, other)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
