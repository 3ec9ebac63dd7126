"""A log of a SQLite file, for reading alone: it changes nothing, also while others write."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from coagent.errors import LogError, NotPrivate
from coagent.log.codec import FORMAT
from coagent.log.sqlite import read_after
from coagent.private import check_private
from coagent.protocol.events import Event


class SqliteReader:
    """Reads events as they come.

    Args:
        path: The file.

    Raises:
        LogError: It is no log, cannot be read, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head = 0
        try:
            check_private(path)
            self._connection = sqlite3.connect(
                f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, isolation_level=None
            )
            meta = dict(self._connection.execute("select name, value from coagent_log_meta").fetchall())
        except NotPrivate as error:
            raise LogError(error.cause, error.cure) from None
        except (sqlite3.Error, OSError) as error:
            raise LogError(
                f"{str(path)!r} cannot be read as a log: {error}", "Name a log of CoAgent's."
            ) from error
        if int(meta.get("format", 0)) > FORMAT:
            self._connection.close()
            raise LogError(
                f"log {str(path)!r} has format {meta['format']}, this version of CoAgent knows {FORMAT}",
                "Upgrade CoAgent: pip install --upgrade coagent-mtpo",
            )
        self.protocol: str = meta["protocol"]

    def read(self) -> Sequence[Event]:
        """Return the events since the last time.

        Raises:
            LogError: A record is missing or damaged.
        """
        try:
            found = read_after(self._connection, self._head, self._path)
        except sqlite3.Error as error:
            raise LogError(f"log {str(self._path)!r} cannot be read: {error}") from error
        self._head += len(found)
        return found

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
