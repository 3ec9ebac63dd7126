"""Records are numbered without gaps and chained by checksums: what is damaged, exchanged or missing shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from coagent.errors import LogError
from coagent.log.codec import checksum


class Gap(LogError):
    """The next record is not where it was looked for, though later ones are: it may be archived."""


class Position(NamedTuple):
    """A place in a log: the number of a record, and the checksum of it and all before it."""

    number: int
    chain: int


def followed(
    rows: Sequence[tuple[int, int, str]], at: Position, log: str, cure: str, *, chained: bool = True
) -> tuple[list[str], Position]:
    """Return the texts of the records that follow a place, and the place after them.

    What is before a damaged record is returned; whoever asks for more is told of that.

    Args:
        rows: Their numbers, checksums and texts, in order.
        at: The place.
        log: The log, for messages.
        cure: What to do about a damaged one.
        chained: Whether the checksum of each covers all before it.

    Raises:
        Gap: The next record is not there.
        LogError: It is damaged.
    """
    records: list[str] = []
    number, chain = at
    for recorded, stored, record in rows:
        if recorded != number + 1:
            if records:
                break
            raise Gap(f"log {log!r} lacks record {number + 1}", cure)
        made = checksum(record, chain if chained else 0) if isinstance(record, str) else -1
        if made != stored:
            if records:
                break
            raise LogError(f"record {recorded} of log {log!r} is damaged, or not in its place", cure)
        number, chain = recorded, made
        records.append(record)
    return records, Position(number, chain)
