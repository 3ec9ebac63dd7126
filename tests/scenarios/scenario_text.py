"""Results, events and states as lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from coagent import CoAgentError, Notification, Outcome
from coagent.protocol.calls import Cause, Footprint, Observation
from coagent.protocol.events import CallBegun, CallObserved, CallStaged, Event, Joined
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Scan
from coagent.protocol.participants import Participant

_NOTICE = "| "


def shown(value: Any) -> str:
    """Return a value as text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def outcome_lines(outcome: Outcome) -> list[str]:
    """Return what a call, an undo or an amendment gave."""
    head = f"{outcome.call_id or 'no call'} {outcome.status}"
    if outcome.value is not None:
        head += f" {shown(outcome.value)}"
    changed = [f"changed: {call_id} returns {shown(value)}" for call_id, value in outcome.changed.items()]
    return [head, *changed, *notice_lines(outcome.notifications)]


def notice_lines(notifications: Iterable[Notification]) -> list[str]:
    """Return notices as a model is shown them."""
    return [f"{_NOTICE}{line}".rstrip() for notice in notifications for line in notice.text.splitlines()]


def error_lines(error: CoAgentError) -> list[str]:
    """Return an error as a model is shown it, with the notices that came with it."""
    call = f" ({error.call_id})" if error.call_id else ""
    return [f"{type(error).__name__}{call}: {error}", *notice_lines(error.notifications)]


def difference_lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what has become of the live state."""
    return [
        f"live: {key} {shown(before.get(key))} -> {shown(after.get(key))}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def agent_lines(agents: Iterable[Participant]) -> list[str]:
    """Return how far agents and their calls have come."""
    lines = []
    for agent in agents:
        order = "" if agent.order == agent.rank else f" order {agent.order}"
        lines.append(f"{agent.name}: rank {agent.rank}{order} {agent.phase.value}")
        for call in agent.calls.values():
            arguments = " ".join(shown(value) for value in call.arguments.values())
            told = "" if call.id not in agent.pending else " (its agent has something to read)"
            lines.append(f"  {call.id} {call.tool} {arguments} {call.phase.value}{told}")
    return lines


def event_line(event: Event, kernel: Kernel) -> str:
    """Return an event that the kernel has just taken."""
    parts = [type(event).__name__]
    if isinstance(event, CallObserved | CallStaged | CallBegun):
        agent = kernel.agents[event.rank]
        parts.append(f"{agent.name}.{agent.next_sequence - 1}")
        parts.append(" ".join([event.tool, *(shown(value) for value in event.arguments.values())]))
    if isinstance(event, Joined):
        after = "" if event.after is None else f" after rank {event.after}"
        return f"log: Joined {event.agent} rank {event.rank}" + (" pinned" if event.pinned else "") + after
    new = isinstance(event, CallObserved | CallStaged | CallBegun)
    for name, value in zip(event._fields, event, strict=True):
        if name in ("took_ms", "ago_ms"):
            continue  # the same scenario takes another time on another day
        known = (new and name in ("rank", "tool", "arguments")) or (name == "heard" and value)
        text = "" if known else _field(name, value, kernel)
        if text:
            parts.append(text)
    return "log: " + " ".join(parts)


def _field(name: str, value: Any, kernel: Kernel) -> str:
    if isinstance(value, Observation):
        return _observation(value)
    if isinstance(value, Footprint):
        return _footprint(value)
    if isinstance(value, Cause):
        return f"because of {value.call_id or value.agent}"
    if name == "rank":
        agent = kernel.agents.get(value)
        return f"rank {value}" if agent is None else agent.name
    if name == "by":
        return "by " + " ".join(kernel.agents[rank].name for rank in value)
    if name == "irreversible":
        return name if value else ""
    if name in ("intent", "owner"):
        return ""  # another one each time
    if name in ("call_id", "key", "how"):
        return str(value)
    if name in ("call_ids", "keys"):
        return " ".join(map(str, value))
    if name == "arguments":
        return " ".join(shown(item) for item in (value or {}).values())
    return "" if value in ("", (), None) else f"{name} {shown(value)}"


def _observation(seen: Observation) -> str:
    reads = [f"{_part(key, selector)}={shown(value)}" for (key, selector), value in seen.reads.items()]
    scans = [f"{_scan(scan)}={shown(value)}" for scan, value in seen.scans.items()]
    writes = [f"{key}={shown(value)}" for key, value in seen.writes.items()]
    bases = [f"{key}={shown(value)}" for key, value in seen.bases.items()]
    parts = [("reads", reads), ("scans", scans), ("writes", writes), ("before", bases)]
    text = " ".join(f"{name} {' '.join(found)}" for name, found in parts if found)
    end = f"returns {shown(seen.value)}" if seen.error is None else f"fails {shown(seen.error)}"
    return f"{text} {end}".strip()


def _footprint(footprint: Footprint) -> str:
    parts = [
        ("reads", sorted(footprint.reads)),
        ("scans", sorted(map(_scan, footprint.scans))),
        ("writes", sorted(footprint.writes)),
    ]
    return " ".join(f"{name} {' '.join(found)}" for name, found in parts if found)


def _part(key: str, selector: Any) -> str:
    return key if selector is None else f"{key}[{' '.join(map(str, selector))}]"


def _scan(scan: Scan) -> str:
    return _part(scan.prefix if scan.glob is None else f"{scan.prefix}{scan.glob}", scan.selector)
