"""Many small texts in a temporary file: what a long story is made of, without holding it in memory."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from hashlib import blake2b


class Spool:
    """Texts by number, in the order in which they came; the file goes with the process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="coagent-story-")  # noqa: SIM115 - as long as this lives
        self._ends = array("Q")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, data: bytes) -> int:
        """Keep a text; returns its number, counted from 0."""
        end = self._ends[-1] if self._ends else 0
        self._file.seek(end)
        self._file.write(data)
        self._ends.append(end + len(data))
        return len(self._ends) - 1

    def get(self, number: int) -> bytes:
        """Return a text.

        Raises:
            IndexError: There is none of that number.
        """
        return next(self.between(number, number + 1))

    def between(self, first: int, end: int) -> Iterator[bytes]:
        """Yield the texts from one number to before another.

        Raises:
            IndexError: There are not so many.
        """
        if not 0 <= first <= end <= len(self._ends):
            raise IndexError(f"there are {len(self._ends)} texts, not {first} to {end}")
        start = self._ends[first - 1] if first else 0
        self._file.seek(start)
        for number in range(first, end):
            stop = self._ends[number]
            yield self._file.read(stop - start)
            start = stop

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


class Interned:
    """Texts by number, each kept once however often it comes."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._known: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._spool)

    def add(self, data: bytes) -> int:
        """Keep a text; returns its number."""
        digest = blake2b(data, digest_size=16).digest()
        number = self._known.get(digest)
        if number is None:
            number = self._known[digest] = self._spool.add(data)
        return number

    def get(self, number: int) -> bytes:
        """Return a text.

        Raises:
            IndexError: There is none of that number.
        """
        return self._spool.get(number)

    def close(self) -> None:
        """Remove the file."""
        self._spool.close()
