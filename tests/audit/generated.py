"""Long logs, made one record after another without a kernel: many agents, a few of them at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

CALLS = 6


def generated(records: int, *, keys: int = 500, at_once: int = 4) -> Iterator[str]:
    """Yield the texts of so many records of a right log, or a few more.

    Agents come in rounds. Each reads and writes objects of its own among many, the first of a round also one
    that all others of the round have read, who are told of that.

    Args:
        records: How many.
        keys: How many objects there are.
        at_once: How many agents are at work at a time.
    """
    values: dict[str, int] = {}
    rank = number = version = 0

    def record(*fields: Any) -> str:
        nonlocal number
        number += 1
        return json.dumps([1_700_000_000_000 + number, *fields], separators=(",", ":"))

    while number < records:
        ranks = list(range(rank, rank + at_once))
        rank += at_once
        shared = f"kv:shared/{rank % keys}"
        old = values.get(shared)
        yield from (record("Joined", f"a{one}", one, False, None, "", "abort") for one in ranks)
        for one in ranks[1:]:
            yield record(
                "CallObserved", one, "read", {"key": shared}, seen_of(reads=[[shared, None, old]]), False
            )
        new = values[shared] = rank
        seen = seen_of(reads=[[shared, None, old]], writes={shared: new}, bases={})
        yield record("CallObserved", ranks[0], "put", {"key": shared, "value": new}, seen, False)
        version += 1
        yield record("EffectApplied", shared, version)
        for one in ranks[1:]:
            again = seen_of(reads=[[shared, None, new]], value=new)
            yield record("CallReexecuted", f"a{one}.1", again)
            yield record("NoticesDelivered", one, [f"a{one}.1"], [])
        for one in ranks:
            for call in range(CALLS):
                key = f"kv:{one % at_once}/{(one * 7 + call) % keys}"
                before = values.get(key)
                values[key] = one * CALLS + call
                seen = seen_of(reads=[[key, None, before]], writes={key: values[key]})
                yield record("CallObserved", one, "put", {"key": key, "value": values[key]}, seen, False)
                version += 1
                yield record("EffectApplied", key, version)
            yield record("Finished", one)
        yield from (record("Committed", one) for one in ranks)


def record_of(fields: list[Any]) -> str:
    """Return the text of a record of format 4."""
    return json.dumps([0, *fields], separators=(",", ":"))


def seen_of(**parts: Any) -> list[Any]:
    """Return an observation, of which all parts are empty that are not given."""
    names = ("reads", "scans", "writes", "bases", "value", "error", "declared", "prepared")
    empty: dict[str, Any] = {"reads": [], "scans": [], "writes": {}, "bases": {}, "declared": False}
    return [{**empty, **parts}.get(name) for name in names]
