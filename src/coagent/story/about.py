"""What a step says beside its words: of its call, of what caused it, of what it has changed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Any

from coagent.masking.mask import Mask
from coagent.protocol.calls import Call, Cause, Observation, Rank
from coagent.protocol.events import (
    AbortBegun,
    Aborted,
    Blocked,
    CallAmended,
    CallBegun,
    CallObserved,
    CallRan,
    CallReexecuted,
    CallReversed,
    CallStaged,
    CallUndone,
    Committed,
    EffectRefused,
    Event,
    Joined,
    NoticesDelivered,
    OutsideWrite,
    Promoted,
    Resolved,
    Restarted,
    RunBegun,
    Said,
    Stuck,
)
from coagent.protocol.inbox import Moved
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import Value
from coagent.runtime.changes import change_of
from coagent.story.trajectories import Trajectories, uid_of
from coagent.story.values import Values

_TEXT_MAX = 2_000
_PREMISES_MAX = 200
_NOTICES_MAX = 50
_ENDED_KEPT = 256
_STATES = {
    CallPhase.STAGED: "staged",
    CallPhase.RUNNING: "running",
    CallPhase.UNKNOWN: "unknown",
    CallPhase.REVERSING: "running",
    CallPhase.REVERSED: "reversed",
    CallPhase.WITHDRAWN: "undone",
}


class About:
    """Says it for each event of a domain: `note` before the kernel takes one, `step` after.

    Args:
        kernel: The protocol's state.
        mask: Of the output that it is for.
        values: Where the values are kept.
    """

    def __init__(self, kernel: Kernel, mask: Mask, values: Values) -> None:
        self._kernel, self._mask = kernel, mask
        self._trajectories = Trajectories(kernel, values)
        self._touched: list[Key] = []
        self._call: Call | None = None
        self._notices: list[dict[str, Any]] = []
        self._uids: dict[str, str] = {}  # by id, of calls that there have been, the last one of each id
        self._last: dict[str, int] = {}  # the number of the last step about a call or agent, or from outside
        self._ended: deque[Rank] = deque()
        self._calls_of: dict[Rank, list[tuple[str, str]]] = {}

    def begin(self) -> dict[str, Any]:
        """Return the calls that stand when a story begins in its middle, and the trajectories."""
        calls = [call for agent in self._kernel.agents.values() for call in agent.calls.values()]
        for call in calls:
            self._known(call)
        keys = self._kernel.tracked_keys()
        return {
            "calls": [{**self._called(call), "rank": call.rank, "call": uid_of(call)} for call in calls],
            "ops": list(self._trajectories.operations(keys)),
        }

    # ---- before --------------------------------------------------------------------------------------------

    def note(self, event: Event, call: Call | None, moved: Sequence[Moved]) -> None:
        """Look up what an event is about, which may be gone once the kernel has taken it.

        Args:
            event: The event.
            call: The call that it is about.
            moved: What it tells an agent of.
        """
        self._call, self._notices = call, []
        self._touched = [] if call is None else [*call.writes, *call.seen.writes]
        if isinstance(event, NoticesDelivered):
            self._notices = [self._notice(premise) for premise in moved[:_NOTICES_MAX]]
        elif isinstance(event, Committed | Aborted | Restarted):
            agent = self._kernel.agents.get(event.rank)
            calls = [] if agent is None else agent.calls.values()
            self._touched = [key for call in calls for key in call.writes]

    def _notice(self, moved: Moved) -> dict[str, Any]:
        stuck = any(news.kind == "stuck" for news in moved.calls)
        diff = str(moved.after) if stuck else change_of(self._mask, moved.key, moved.before, moved.after)
        return {
            "key": moved.key,
            "part": moved.part,
            "kind": moved.calls[0].kind.replace("result_", "") if moved.calls else "changed",
            "cause": self._cause(moved.cause, moved.key),
            "own": moved.own,
            "calls": [self._uid(news.call_id) for news in moved.calls],
            "dependents": [self._uid(call) for call in moved.dependents[:_PREMISES_MAX]],
            "stale": [
                self._stale(literal.call_id, literal.argument, literal.old, literal.new)
                for literal in moved.stale_literals
            ],
            "diff": self._bounded(diff),
        }

    def _stale(self, call_id: str, argument: str, old: str, new: str | None) -> dict[str, Any]:
        old, new = self._mask.changed(old, new, name=argument)
        return {"call": self._uid(call_id), "argument": argument, "old": old, "new": new}

    def _cause(self, cause: Cause, key: str) -> dict[str, Any]:
        uid = None if cause.call_id is None else self._uid(cause.call_id)
        outside = cause.rank < 0
        # What an agent's end has changed came with that, and not with its call.
        steps = [self._last.get(f"outside {key}") if outside else self._last.get(uid or "")]
        steps.append(None if outside else self._last.get(f"end {cause.rank}"))
        number = max((step for step in steps if step is not None), default=None)
        return {"rank": None if outside else cause.rank, "call": uid, "name": cause.agent, "n": number}

    def _uid(self, call_id: str) -> str:
        return self._uids.get(call_id, call_id)

    # ---- after ---------------------------------------------------------------------------------------------

    def step(self, event: Event, number: int, call_id: str | None) -> dict[str, Any]:
        """Return what there is to say of an event that the kernel has taken.

        Args:
            event: The event.
            number: Of its record.
            call_id: Of the call that it is told to be about.
        """
        said: dict[str, Any] = {}
        rank = getattr(event, "rank", None)
        call = self._about(event, call_id)
        if call is not None:
            rank = call.rank
            uid = self._known(call)
            said |= {"call": uid, **self._called(call, event)}
            self._last[uid] = number
        if (took_ms := getattr(event, "took_ms", None)) is not None:
            said["took_ms"] = took_ms
        if ago_ms := getattr(event, "ago_ms", 0):
            said["ago_ms"] = ago_ms
        if rank is not None:
            said["rank"] = rank
        match event:
            case NoticesDelivered():
                said["notices"] = self._notices
            case AbortBegun():
                said["reason"] = self._bounded(event.reason)
            case Aborted():
                said["reason"] = self._bounded(event.reason)
                self._last[f"end {event.rank}"] = number
                self._forget_old(event.rank)
            case Committed():
                self._forget_old(event.rank)
            case Restarted():
                self._last[f"end {event.rank}"] = number
            case Said():
                said |= {"said": self._bounded(event.text), "goal": event.goal}
            case Blocked():
                said["by"] = list(event.by)
            case CallUndone():
                said |= _by_person(event.person)
            case OutsideWrite() | Resolved():
                said["key"] = event.key
                said |= _by_person(event.person if isinstance(event, OutsideWrite) else "")
                self._last[f"outside {event.key}"] = number
            case CallReversed():
                said["cause"] = self._cause(event.cause, "")
            case CallReexecuted() if call is not None and call.cause is not None:
                said["cause"] = self._cause(call.cause, next(iter(call.writes), ""))
            case EffectRefused() | Stuck():
                said["key"] = event.key
            case _:
                pass
        return said

    def _known(self, call: Call) -> str:
        uid = uid_of(call)
        if self._uids.get(call.id) != uid:
            self._uids[call.id] = uid
            self._calls_of.setdefault(call.rank, []).append((call.id, uid))
        return uid

    def _forget_old(self, ended: Rank) -> None:
        """Forget calls of an agent that has ended so long ago that nobody is told of it any more."""
        self._ended.append(ended)
        if len(self._ended) > _ENDED_KEPT:
            rank = self._ended.popleft()
            self._last.pop(f"end {rank}", None)
            for call_id, uid in self._calls_of.pop(rank, ()):
                self._last.pop(uid, None)
                if self._uids.get(call_id) == uid:
                    del self._uids[call_id]

    def _about(self, event: Event, call_id: str | None) -> Call | None:
        if isinstance(event, CallObserved | CallStaged | CallBegun):
            agent = self._kernel.agents.get(event.rank)
            return None if agent is None or not agent.calls else next(reversed(agent.calls.values()))
        if call_id is None:
            return None
        return self._call or self._kernel.call(call_id) or self._kernel.underway(call_id)  # type: ignore[arg-type]

    def _called(self, call: Call, event: Event | None = None) -> dict[str, Any]:
        seen: Observation = getattr(event, "observation", call.seen)
        said: dict[str, Any] = {
            "id": call.id,
            "tool": call.tool,
            "state": self._state(call, seen),
            "irreversible": call.irreversible,
            "error": None if seen.error is None else self._bounded(seen.error),
        }
        if event is None or isinstance(event, CallObserved | CallStaged | CallBegun | CallAmended | RunBegun):
            shown = self._mask.arguments(call.arguments, call.seen.writes)
            said["args"] = {name: self._text(value) for name, value in shown.items()}
        if event is None or isinstance(event, CallObserved | CallRan | CallReexecuted | CallAmended):
            said |= self._footprint(call, seen)
        return said

    def _state(self, call: Call, seen: Observation) -> str:
        if call.phase in (CallPhase.STAGED, CallPhase.REVERSED):
            return _STATES[call.phase]
        if call.phase in _STATES and self._kernel.underway(call.id) is not None:
            return _STATES[call.phase]
        if self._kernel.call(call.id) is None:
            return "undone"
        return "done" if seen.error is None else "failed"

    def _footprint(self, call: Call, seen: Observation) -> dict[str, Any]:
        numbered = self._trajectories.number_of
        writes = call.writes or ({} if seen.error is not None else seen.writes)
        result = None if seen.error is not None else self._mask.result(seen.value, call.arguments)
        return {
            "result": None if result is None else self._text(result),
            "reads": [
                {"key": key, "part": None if part is None else str(part)}
                for key, part in list(seen.reads)[:_PREMISES_MAX]
            ],
            "scans": [
                {"prefix": scan.prefix, "part": _part(scan)} for scan in list(seen.scans)[:_PREMISES_MAX]
            ],
            "writes": [
                {"key": key, "v": numbered(key, value, declared=seen.declared)}
                for key, value in writes.items()
            ],
        }

    def operations(self, event: Event) -> list[list[Any]]:
        """Return what an event that the kernel has taken has changed in the trajectories."""
        keys = list(self._touched)
        observation = getattr(event, "observation", None)
        if observation is not None:
            keys += [*observation.writes, *observation.bases, *(key for key, _ in observation.reads)]
        if self._call is not None:
            keys += self._call.writes
        if isinstance(event, OutsideWrite | Resolved | EffectRefused | Stuck):
            keys.append(event.key)
        if isinstance(event, Promoted) or (isinstance(event, Joined) and event.after is not None):
            keys += self._trajectories.tracked()
        return list(self._trajectories.operations(keys, committed=isinstance(event, Committed)))

    # ---- texts ---------------------------------------------------------------------------------------------

    def _text(self, value: Value) -> str:
        if not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False, default=str)
        return self._bounded(value)

    def _bounded(self, text: str) -> str:
        cut = text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"
        return self._mask.text(cut).encode("utf-8", "replace").decode()


def _by_person(name: str) -> dict[str, str]:
    return {"person": name} if name else {}


def _part(scan: Any) -> str | None:
    parts = [scan.glob, None if scan.selector is None else str(scan.selector)]
    return ", ".join(part for part in parts if part) or None
