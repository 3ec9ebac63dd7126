"""What an agent has to be told: premises that moved, by object, and what may rest on them (rule 4)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeAlias

from coagent.protocol.calls import OUTSIDE, Call, CallId, Cause, Observation, Position
from coagent.protocol.differences import difference
from coagent.protocol.keys import Key, Scan
from coagent.protocol.literals import carries, merged_literals, replaced_literals, with_literals
from coagent.protocol.participants import Participant
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import UNLOADED, Traced, Unloaded, Value, same

News: TypeAlias = Literal[
    "result_changed",
    "withdrawn",
    "merged",
    "failure_changed",
    "would_succeed",
    "took_effect",
    "overruled",
    "stuck",
]

# A notice is for reading: beyond these, more of the same only costs.
_LOOKED_THROUGH_MAX = 200
_STALE_MAX = 50
_DEPENDENTS_MAX = 1000
_COMPARED_MAX = 20
_TRACED_MAX = 50


Base: TypeAlias = Callable[[Key], Value | Unloaded]
"""What lies below all writes of an object, as far as that is known."""


class CallNews(NamedTuple):
    """How one of the agent's calls ends now, and how it ended when the agent last heard of it.

    `kind` is "withdrawn" where it fails now, so that its writes are undone, "would_succeed" where it had
    failed and would go through now: it has no effect until the agent amends it or calls again. It is
    "took_effect" where it had failed and stands now: it was tried again, and could not be taken back. It is
    "merged" where it could not be made again, and what it had changed was merged with what is there now
    (rule 11): `after` is the difference that it makes there.
    "overruled" and "stuck" are as in `Disturbance`.
    """

    call_id: CallId
    tool: str
    kind: News
    before: Value
    after: Value


class StaleLiteral(NamedTuple):
    """An argument of a later write in which the old value still stands, and the new one if that is clear."""

    call_id: CallId
    argument: str
    old: str
    new: str | None


class Proposal(NamedTuple):
    """A later call as it would be with the new values in the place of the old ones that stand in it.

    It is right only if what the call carries came from there, which its agent alone knows.
    """

    call_id: CallId
    tool: str
    arguments: dict[str, Value]
    """Those to change, whole, as `amend` takes them."""


@dataclass
class Moved:
    """A premise that moved: one object, or one range of objects, and all the agent's calls that saw it."""

    key: Key
    part: str | None
    before: Value
    after: Value
    cause: Cause
    calls: list[CallNews] = field(default_factory=list)
    dependents: list[CallId] = field(default_factory=list)
    stale_literals: list[StaleLiteral] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    own: bool = False
    """Whether the agent has changed it itself: a staged call of its own has run, or a repair has gone on."""


class Inbox(NamedTuple):
    """What an agent is to be told with its next result.

    Args:
        moved: What others have changed, in the order in which its calls first saw it.
        changed: What the agent has changed itself, by a repair: its own later calls, and how they end now.
        call_ids: All its calls that this speaks of.
        keys: The objects whose disturbances this speaks of.
    """

    moved: list[Moved]
    changed: list[CallNews]
    call_ids: tuple[CallId, ...]
    keys: tuple[Key, ...]


def inbox(
    agent: Participant,
    *,
    apart: bool = True,
    said: str = "",
    base: Base | None = None,
) -> Inbox:
    """Return what the agent has to be told.

    Args:
        agent: The agent.
        apart: Whether what it has changed itself comes apart, as news to one that has just made a repair.
        said: What the agent has been asked to do: values that stand in it are no stale ones.
        base: Returns what lies below all writes of an object; UNLOADED where that is not known any more.
    """
    pending = sorted(agent.pending.values(), key=_by_position)
    # What its staged calls have done when they ran is news to it, though nobody else's: it had been told
    # nothing.
    own = [call for call in pending if call.cause is not None and call.cause.rank == agent.rank]
    promised = {call.id for call in own if apart and not _was_staged(agent, call.cause)}
    others = [call for call in pending if call.id not in promised]
    moved = [*_moved_premises(agent, others, said, base or (lambda key: UNLOADED)), *_disturbances(agent)]
    for premise in moved:
        premise.own = premise.cause.rank == agent.rank
    changed = [news_of(call) for call in own if call.id in promised]
    return Inbox(moved, changed, tuple(agent.pending), tuple(agent.disturbed))


def _was_staged(agent: Participant, cause: Cause | None) -> bool:
    call = None if cause is None or cause.call_id is None else agent.calls.get(cause.call_id)
    return call is not None and call.irreversible


def _moved_premises(agent: Participant, pending: Iterable[Call], said: str, base: Base) -> list[Moved]:
    """Return the premises behind those calls that moved, with what may rest on them."""
    found: dict[tuple[Key, str | None], list[Moved]] = {}
    written: dict[Key, Moved] = {}
    for call in pending:
        news = news_of(call)
        for key, part, before, after in _changes(call, base):
            moved = written.get(key)
            if moved is None:
                alike = found.setdefault((key, part), [])
                # Only the last ones are looked at: values that come again far apart are rare.
                moved = next(
                    (told for told in alike[-2:] if same(told.before, before) and same(told.after, after)),
                    None,
                )
                if moved is None:
                    moved = Moved(key, part, before, after, call.cause or OUTSIDE)
                    alike.append(moved)
            moved.cause = call.cause or moved.cause
            moved.calls.append(news)
            # What the agent reads of its own writes moved because of what it had read before it wrote them.
            written.update(dict.fromkeys(call.writes, moved))
    premises = [moved for alike in found.values() for moved in alike]
    _add_dependents(agent, premises, said)
    return premises


def _disturbances(agent: Participant) -> list[Moved]:
    found = []
    for key, disturbed in agent.disturbed.items():
        call = agent.calls.get(disturbed.call_id)
        tool = "" if call is None else call.tool
        news = CallNews(disturbed.call_id, tool, disturbed.kind, disturbed.before, disturbed.after)
        found.append(Moved(key, None, disturbed.before, disturbed.after, disturbed.cause, [news]))
    return found


def _add_dependents(agent: Participant, premises: list[Moved], said: str) -> None:
    writes = sorted(
        (call for call in agent.calls.values() if call.writes or call.phase is CallPhase.STAGED),
        key=_by_position,
    )
    for moved in premises:
        first = agent.calls[moved.calls[0].call_id]
        start = bisect_right(writes, first.position, key=_by_position)
        moved.dependents = [call.id for call in writes[start : start + _DEPENDENTS_MAX]]
        later = writes[start : start + _LOOKED_THROUGH_MAX]
        moved.stale_literals = list(islice(_stale_literals(moved, later, said), _STALE_MAX))
        moved.proposals = list(_proposals(moved, later))


def _by_position(call: Call) -> Position:
    return call.position


def news_of(call: Call) -> CallNews:
    """Return how a call ends now, beside how it ended when its agent was told."""
    seen, told = call.seen, call.told
    if seen.error is not None:
        kind: News = "withdrawn" if told.error is None else "failure_changed"
    elif call.phase is CallPhase.LAPSED:
        kind = "would_succeed"
    elif seen.merged:
        return CallNews(call.id, call.tool, "merged", told.value, _made_by_merge(seen))
    else:
        kind = "result_changed" if told.error is None or call.lapsed else "took_effect"
    before = told.value if told.error is None else told.error
    after = seen.value if seen.error is None else seen.error
    return CallNews(call.id, call.tool, kind, before, after)


def _made_by_merge(seen: Observation) -> str:
    """Return what a merged edit changes now, for reading."""
    return "\n".join(difference(seen.reads[key, None], value) for key, value in seen.writes.items())


def _changes(call: Call, base: Base) -> Iterator[tuple[Key, str | None, Value, Value]]:
    """Yield (key or range, part, seen when told, seen now) for what the call read and that differs."""
    news = news_of(call)
    any_change = False
    sides: list[tuple[Any, Any]] = [(call.told.reads, call.seen.reads), (call.told.scans, call.seen.scans)]
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
    if any_change:
        return
    traced = list(islice(_traced_changes(call, base), _TRACED_MAX))
    known = [change for change in traced if not same(change[2], change[3])]
    yield from known
    if not known:  # it read something else altogether, or its target refused it: show the results
        forgotten = next((key for key, *_ in traced), None)
        # What came from outside is in none of an agent's writes: those only became known meanwhile.
        named = forgotten if call.cause is not None and call.cause.rank >= 0 else None
        yield named or _shown_by_result(call), "result", news.before, news.after


def _shown_by_result(call: Call) -> Key:
    """Return what a change is named by where only the call's result shows it."""
    # Of a program nothing says which of what it looked at is another: what it wrote or read may be as it was.
    if not any(isinstance(scan.selector, Traced) for scan in call.seen.scans):
        for key in (*call.writes, *(key for key, _ in call.seen.reads)):
            return key
    return Key(f"call:{call.id}")


def _traced_changes(call: Call, base: Base) -> Iterator[tuple[Key, str | None, Value, Value]]:
    """Yield what has changed of the objects that a traced program has opened, or else only looked for."""
    found: set[Key] = set()
    for selector in (Traced("content"), Traced("name")):
        for scan in [candidate for candidate in call.seen.scans if candidate.selector == selector]:
            told, now = call.told.scans.get(scan, {}), call.seen.scans[scan]
            for key in dict.fromkeys([*now, *told]):
                if key in found or (key in told and key in now and same(told[key], now[key])):
                    continue
                found.add(key)
                # What is in none of them was below all that agents had written.
                below = None if key in told and key in now else base(key)
                if below is UNLOADED:  # forgotten since: whether it has changed cannot be said
                    yield key, None, None, None
                    continue
                sides = (_content(side[key] if key in side else selector.of(below)) for side in (told, now))
                before, after = sides
                if not same(before, after):
                    yield key, None if selector.part == "content" else "name", before, after


def _content(traced: Value) -> Value:
    return traced[0] if type(traced) is list else traced


def _named(premise: Any) -> tuple[Key, str | None]:
    if len(premise) == 2:  # (key, selector)
        return premise[0], None if premise[1] is None else str(premise[1])
    scan = premise
    parts = [scan.glob, None if scan.selector is None else str(scan.selector)]
    return scan.prefix, ", ".join(part for part in parts if part) or None


def _stale_literals(moved: Moved, later: list[Call], said: str) -> Iterator[StaleLiteral]:
    changes = [(moved.before, moved.after)]
    # What a tool made of what it read is what its agent knows: rows, sums, lines of a search.
    changes += [
        (news.before, news.after) for news in moved.calls[:_COMPARED_MAX] if news.kind == "result_changed"
    ]
    literals = merged_literals(replaced_literals(before, after) for before, after in changes)
    # What its task says, it has from there.
    literals = [literal for literal in literals if not carries(said, literal[0])]
    for call in later:
        for argument, value in call.arguments.items():
            found = []
            for old, new in literals:
                if carries(value, old):
                    found.append(StaleLiteral(call.id, argument, old, new))
            # Words of a longer value that stands there say nothing more.
            yield from (
                stale
                for stale in found
                if not any(carries(other.old, stale.old) for other in found if other is not stale)
            )


def _proposals(moved: Moved, later: list[Call]) -> Iterator[Proposal]:
    """Yield what those calls would be with the new values, where it is clear for all that they carry."""
    stale: dict[CallId, dict[str, str | None]] = {}
    for literal in moved.stale_literals:
        stale.setdefault(literal.call_id, {})[literal.old] = literal.new
    for call in later:
        found = stale.get(call.id, {})
        if None in found.values():
            continue
        replace = {old: new for old, new in found.items() if new is not None}
        changed = {name: with_literals(value, replace) for name, value in call.arguments.items()}
        changed = {name: value for name, value in changed.items() if not same(value, call.arguments[name])}
        if changed:
            yield Proposal(call.id, call.tool, changed)
