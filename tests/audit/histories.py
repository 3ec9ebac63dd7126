"""Small histories in a mini-language, as the records of a log whose calls count as they arrive.

    A reads x      r(x)      B writes 1 to y    w(y,1)     C deletes z     d(z)
    A lists all    s()       A commits          c          B aborts        a

`"A:r(x) B:r(x) A:w(x,1) B:w(x,2) A:c B:c"`: reads see what is there, from an empty state.
"""

from __future__ import annotations

import re
from typing import Any

from generated import record_of, seen_of

from coagent.audit.audit import Audit, Report

_STEP = re.compile(r"(\w):(\w)(?:\((\w*)(?:,(\w+))?\))?")


def records_of(history: str) -> list[str]:
    """Return the records of a history."""
    steps = [match.groups() for match in _STEP.finditer(history)]
    names = sorted({step[0] for step in steps})
    records: list[list[Any]] = [["Joined", name, rank] for rank, name in enumerate(names)]
    writes: list[tuple[str, str, Any]] = []
    for name, act, key, value in steps:
        rank = names.index(name)
        live: dict[str, Any] = {}
        for _, written, left in writes:
            live[written] = left
        if act == "c":
            records += [["Finished", rank], ["Committed", rank]]
        elif act == "a":
            records.append(["Aborted", rank, "on purpose"])
            writes = [one for one in writes if one[0] != name]
        elif act == "r":
            seen = seen_of(reads=[[f"kv:{key}", None, live.get(key)]], value=live.get(key))
            records.append(["CallObserved", rank, "read", {}, seen])
        elif act == "s":
            keys = sorted(f"kv:{one}" for one, left in live.items() if left is not None)
            records.append(["CallObserved", rank, "list", {}, seen_of(scans=[["kv:", None, None, keys]])])
        else:
            left = None if act == "d" else value
            seen = seen_of(writes={f"kv:{key}": left}, bases={f"kv:{key}": live.get(key)})
            records.append(["CallObserved", rank, "put", {}, seen])
            writes.append((name, key, left))
    return [record_of(one) for one in records]


def report(history: str, protocol: str = "naive") -> Report:
    """Return what an audit finds in a history."""
    audit = Audit(protocol)
    for number, record in enumerate(records_of(history), 1):
        audit.feed(number, record)
    return audit.report()
