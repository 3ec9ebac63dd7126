"""Forgeries: one thing of an honest log changed, as by somebody who computes all checksums anew."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, TypeAlias

Records: TypeAlias = list[list[Any]]
"""Records as JSON lists, `[time, kind, field, …]`."""

_OBSERVATION = {"CallObserved": 5, "CallRan": 3, "CallReexecuted": 3, "CallAmended": 4}
_MAKING = ("CallObserved", "CallStaged", "CallBegun")
_READS, _SCANS, _WRITES, _ERROR = 0, 1, 2, 5


def loaded(texts: list[str]) -> Records:
    """Return records as lists."""
    return [json.loads(text) for text in texts]


def dumped(records: Records) -> list[str]:
    """Return the texts of records."""
    return [json.dumps(record, separators=(",", ":")) for record in records]


class Fates:
    """What became of the calls and agents of a log, so that what is forged is something that counts.

    Args:
        records: The log.
    """

    def __init__(self, records: Records) -> None:
        self.calls: dict[int, str] = {}
        """Record to the call that it is about."""
        self.last: dict[str, int] = {}
        """Call to the record of its last run."""
        self._rank: dict[str, int] = {}
        self._ends: dict[int, int] = {}
        names: dict[int, str] = {}
        numbers: dict[int, int] = {}
        for index, record in enumerate(records):
            kind, who = record[1], record[2]
            if kind == "Joined":
                names[record[3]], numbers[record[3]] = who, 0
            elif kind in _MAKING:
                numbers[who] += 1
                self.calls[index] = f"{names[who]}.{numbers[who]}"
                self._rank[self.calls[index]] = who
            elif kind.startswith("Call") or kind == "RunBegun":
                self.calls[index] = who
            elif kind == "Committed":
                self._ends[who] = index
            if kind in _OBSERVATION:
                self.last[self.calls[index]] = index
        gone = {record[2] for record in records if record[1] == "CallUndone"}
        irreversible = {
            self.calls[index]
            for index, record in enumerate(records)
            if record[1] == "CallStaged" or (record[1] in _MAKING and record[-1] is True)
        }
        self._lost = gone | irreversible

    def counts(self, call: str) -> bool:
        """Tell whether a call is one of an agent that committed, can be taken back, and was not."""
        return self._rank.get(call) in self._ends and call not in self._lost

    def committed(self, rank: int) -> bool:
        """Tell whether an agent has committed."""
        return rank in self._ends


def _observations(records: Records) -> Iterator[tuple[int, list[Any]]]:
    """Yield the runs that count: the last ones of calls that do."""
    fates = Fates(records)
    for call, index in fates.last.items():
        if fates.counts(call):
            yield index, records[index][_OBSERVATION[records[index][1]]]


def another(value: Any) -> Any:
    """Return another value of the same type, or one where there was none."""
    if value is None:
        return "forged"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}forged"
    if isinstance(value, dict):
        return {**value, "forged": 1}
    return [*value, "forged"]


def value_seen(records: Records, rng: random.Random) -> bool:
    """Let a read have seen something else."""
    reads = [read for _, seen in _observations(records) for read in seen[_READS]]
    if not reads:
        return False
    read = rng.choice(reads)
    read[2] = another(read[2])
    return True


def range_seen(records: Records, rng: random.Random) -> bool:
    """Let a scan have missed a key that it saw, or have seen one that was not there."""
    scans = [scan for _, seen in _observations(records) for scan in seen[_SCANS] if isinstance(scan[3], list)]
    scans = [scan for scan in scans if scan[3]]
    if not scans:
        return False
    scan = rng.choice(scans)
    scan[3].pop(rng.randrange(len(scan[3])))
    return True


def value_written(records: Records, rng: random.Random) -> bool:
    """Let a call have written something else."""
    writes = [seen[_WRITES] for _, seen in _observations(records) if seen[_WRITES] and seen[_ERROR] is None]
    if not writes:
        return False
    write = rng.choice(writes)
    key = rng.choice(sorted(write))
    write[key] = another(write[key])
    return True


def argument(records: Records, rng: random.Random) -> bool:
    """Let a call have had another argument."""
    found = [record[4] for record in records if record[1] == "CallObserved" and record[4]]
    if not found:
        return False
    arguments = rng.choice(found)
    name = rng.choice(sorted(arguments))
    arguments[name] = another(arguments[name])
    return True


def telling(records: Records, rng: random.Random) -> bool:
    """Let an agent that commits not have been told of what a call of it returns in the end."""
    fates = Fates(records)
    told: dict[str, int] = {}
    for index, record in enumerate(records):
        if record[1] == "NoticesDelivered":
            told.update(dict.fromkeys(record[3], index))
    found = {
        index
        for call, index in told.items()
        if fates.counts(call)
        and fates.last[call] < index
        and records[fates.last[call]][1] == "CallReexecuted"
    }
    if not found:
        return False
    del records[rng.choice(sorted(found))]
    return True


def rerun(records: Records, rng: random.Random) -> bool:
    """Let a call that counts not have run again the last time that it did."""
    fates = Fates(records)
    found = [
        index
        for call, index in fates.last.items()
        if fates.counts(call) and records[index][1] == "CallReexecuted"
    ]
    if not found:
        return False
    del records[rng.choice(found)]
    return True


def acknowledgement(records: Records, rng: random.Random) -> bool:
    """Let a target not have been seen to take what it was given last of an object."""
    last: dict[str, int] = {}
    for index, record in enumerate(records):
        if record[1] == "EffectApplied":
            last[record[2]] = index
    if not last:
        return False
    del records[rng.choice(sorted(last.values()))]
    return True


def _dropped(kind: str) -> Callable[[Records, random.Random], bool]:
    def drop(records: Records, rng: random.Random) -> bool:
        fates = Fates(records)
        found = [
            index
            for index, record in enumerate(records)
            if record[1] == kind and (kind != "Finished" or fates.committed(record[2]))
        ]
        if kind == "Finished":  # it may finish again after it was told something
            found = [
                index
                for index in found
                if all(records[at][2] != records[index][2] for at in found if at > index)
            ]
        if not found:
            return False
        del records[rng.choice(found)]
        return True

    return drop


def commits_exchanged(records: Records, rng: random.Random) -> bool:
    """Exchange two agents' commits."""
    found = [index for index, record in enumerate(records) if record[1] == "Committed"]
    if len(found) < 2:
        return False
    at = rng.randrange(len(found) - 1)
    one, other = found[at], found[at + 1]
    records[one], records[other] = records[other], records[one]
    return True


FORGERIES: dict[str, Callable[[Records, random.Random], bool]] = {
    "a value seen": value_seen,
    "a range seen": range_seen,
    "a value written": value_written,
    "an argument": argument,
    "a telling left out": telling,
    "a run again left out": rerun,
    "an acknowledgement left out": acknowledgement,
    "a join left out": _dropped("Joined"),
    "a finish left out": _dropped("Finished"),
    "a commit left out": _dropped("Committed"),
    "commits exchanged": commits_exchanged,
}


def forged(texts: list[str], kind: str, rng: random.Random) -> list[str] | None:
    """Return a log with one thing changed; None where it has nothing of the kind."""
    records = deepcopy(loaded(texts))
    return dumped(records) if FORGERIES[kind](records, rng) else None
