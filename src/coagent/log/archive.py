"""Old records of a log: moved out of its file once a checkpoint stands for them, and still readable.

They lie beside the log, in `NAME.archive/FIRST-LAST.jsonl.gz`: one record a line, as `[number, checksum,
record]`.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from coagent.errors import LogError
from coagent.log.codec import checksum
from coagent.log.sqlite_schema import connected

_SEGMENT_RECORDS = 20_000
_BUSY_TIMEOUT_MS = 10_000
KEPT_RECORDS = 20_000
"""How many records before the last checkpoint stay in the log itself, for who looks back a little."""


class Archive:
    """The archived records of a log.

    Args:
        log: The log's file.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._folder = log.with_name(f"{log.name}.archive")

    def fill(self) -> int:
        """Move whole segments of records that no checkpoint needs into the archive; returns how many records.

        A segment is written and synced before its records are deleted, so a crash leaves them in both places.

        Raises:
            LogError: It cannot be written; nothing is lost.
        """
        try:
            connection = connected(self._log)
            connection.execute(f"pragma busy_timeout = {_BUSY_TIMEOUT_MS}")
            try:
                return self._fill(connection)
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise LogError(
                f"old records of log {str(self._log)!r} cannot be archived: {error}",
                "They stay where they are; free some disk space, and they will be archived later.",
            ) from error

    def _fill(self, connection: sqlite3.Connection) -> int:
        needed = connection.execute("select min(number) from coagent_checkpoints").fetchone()[0] or 0
        moved = 0
        while True:
            first = connection.execute("select min(number) from coagent_records").fetchone()[0]
            if first is None or first + _SEGMENT_RECORDS > needed - KEPT_RECORDS:
                return moved
            last = first + _SEGMENT_RECORDS - 1
            rows = connection.execute(
                "select number, checksum, record from coagent_records where number between ? and ? "
                "order by number",
                (first, last),
            ).fetchall()
            self._write(first, last, rows)
            connection.execute("delete from coagent_records where number <= ?", (last,))
            moved += len(rows)

    def _write(self, first: int, last: int, rows: list[tuple[int, int, str]]) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{first:012}-{last:012}.jsonl.gz"
        partial = path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=5, mtime=0) as packed:
                packed.writelines(json.dumps(row).encode() + b"\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def records(self) -> Iterator[tuple[int, int, str]]:
        """Yield the archived records: number, checksum and text.

        Raises:
            LogError: A segment is damaged, or a record is missing or not in its place.
        """
        chain, number = 0, 0
        for path in sorted(self._folder.glob("*.jsonl.gz")) if self._folder.is_dir() else ():
            try:
                with gzip.open(path, "rt", encoding="utf-8") as lines:
                    for line in lines:
                        found, stored, record = json.loads(line)
                        if number and found != number + 1:
                            raise LogError(f"archive {str(path)!r} lacks record {number + 1}")
                        if number and checksum(record, chain) != stored:
                            raise LogError(f"record {found} in archive {str(path)!r} is damaged")
                        number, chain = found, stored
                        yield found, stored, record
            except (OSError, EOFError, ValueError) as error:
                raise LogError(
                    f"archive {str(path)!r} cannot be read: {error}", "Restore a copy of it."
                ) from None
