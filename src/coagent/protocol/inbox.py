"""What an agent has to be told: premises that moved, coalesced by object, and what may rest on them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeAlias

from coagent.protocol.calls import Call, Cause, Position
from coagent.protocol.differences import replaced_literals
from coagent.protocol.keys import Key, Scan
from coagent.protocol.participants import Participant
from coagent.protocol.values import Traced, Value, same

News: TypeAlias = Literal["result_changed", "withdrawn", "failure_changed", "would_succeed"]

# A notice is for reading: beyond these, more of the same only costs.
_LOOKED_THROUGH_MAX = 200
_STALE_MAX = 50
_UNKNOWN = Cause("outside", None, None, -1)


class CallNews(NamedTuple):
    """How one of the agent's calls ends now, and how it ended when the agent last heard of it.

    `kind` is "withdrawn" where it fails now, so that its writes are undone, and "would_succeed" where it had
    failed and would go through now: it has no effect until the agent amends it or calls again.
    """

    call_id: str
    tool: str
    kind: News
    before: Value
    after: Value


class StaleLiteral(NamedTuple):
    """An argument of a later write in which the old value still stands, and the new one if that is clear."""

    call_id: str
    argument: str
    old: str
    new: str | None


@dataclass
class Moved:
    """A premise that moved: one object, or one range of objects, and all the agent's calls that saw it."""

    key: Key
    part: str | None
    before: Value
    after: Value
    cause: Cause
    calls: list[CallNews] = field(default_factory=list)
    dependents: list[str] = field(default_factory=list)
    stale_literals: list[StaleLiteral] = field(default_factory=list)


def moved_premises(agent: Participant) -> list[Moved]:
    """Return what the agent has to be told, in the order in which its calls first saw it."""
    found: dict[tuple[Key, str | None], list[Moved]] = {}
    for call in sorted(agent.pending.values(), key=_by_position):
        news = _news(call)
        for key, part, before, after in _changes(call):
            alike = found.setdefault((key, part), [])
            moved = next((one for one in alike if same(one.before, before) and same(one.after, after)), None)
            if moved is None:
                moved = Moved(key, part, before, after, call.cause or _UNKNOWN)
                alike.append(moved)
            moved.cause = call.cause or moved.cause
            moved.calls.append(news)
    writes = sorted((call for call in agent.calls.values() if call.writes or call.staged), key=_by_position)
    premises = [moved for alike in found.values() for moved in alike]
    for moved in premises:
        first = agent.calls[moved.calls[0].call_id]
        later = writes[bisect_right(writes, first.position, key=_by_position) :]
        moved.dependents = [call.id for call in later]
        moved.stale_literals = list(islice(_stale_literals(moved, later[:_LOOKED_THROUGH_MAX]), _STALE_MAX))
    return premises


def _by_position(call: Call) -> Position:
    return call.position


def _news(call: Call) -> CallNews:
    if call.error is not None:
        kind: News = "withdrawn" if call.told_error is None else "failure_changed"
    else:
        kind = "would_succeed" if call.dormant else "result_changed"
    before = call.told_value if call.told_error is None else call.told_error
    after = call.value if call.error is None else call.error
    return CallNews(call.id, call.tool, kind, before, after)


def _changes(call: Call) -> Iterator[tuple[Key, str | None, Value, Value]]:
    """Yield (key or range, part, seen when told, seen now) for what the call read and that differs."""
    news = _news(call)
    any_change = False
    sides: list[tuple[Any, Any]] = [(call.told_reads, call.reads), (call.told_scans, call.scans)]
    for told, now in sides:
        for premise, seen in now.items():
            if isinstance(premise, Scan) and isinstance(premise.selector, Traced):
                continue  # what a program looked at says little; what it gave is what its agent knows
            if premise in told and not same(told[premise], seen):
                any_change = True
                key, part = _named(premise)
                if call.declared:  # what it read are tokens that mean nothing to anybody else
                    yield key, "result", news.before, news.after
                    return
                yield key, part, told[premise], seen
    if not any_change:  # it read something else altogether, or its target refused it: show the results
        key = next(iter(call.writes), None) or next((key for key, _ in call.reads), None) or f"call:{call.id}"
        yield key, "result", news.before, news.after


def _named(premise: Any) -> tuple[Key, str | None]:
    if len(premise) == 2:  # (key, selector)
        return premise[0], None if premise[1] is None else str(premise[1])
    scan = premise
    parts = [scan.glob, None if scan.selector is None else str(scan.selector)]
    return scan.prefix, ", ".join(part for part in parts if part) or None


def _stale_literals(moved: Moved, later: list[Call]) -> Iterator[StaleLiteral]:
    literals = replaced_literals(moved.before, moved.after)
    for call in later:
        for argument, value in call.arguments.items():
            for old, new in literals:
                if _carries(value, old):
                    yield StaleLiteral(call.id, argument, old, new)


def _carries(value: Value, literal: str) -> bool:
    """Tell whether the literal stands in a value: as a whole scalar, or within a text."""
    if type(value) is str:
        return value == literal or (len(literal) >= 3 and literal in value)
    if type(value) in (int, float):
        return str(value) == literal
    if type(value) is dict:
        return any(_carries(item, literal) for item in value.values())
    if type(value) is list:
        return any(_carries(item, literal) for item in value)
    return False
