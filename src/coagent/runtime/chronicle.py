"""The events of a domain in words, one line each, for people and programs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from coagent.errors import ConfigurationError
from coagent.masking.mask import Mask
from coagent.protocol.calls import OUTSIDE, Call, Cause, Observation, Rank, parsed_call_id
from coagent.protocol.events import (
    AbortBegun,
    Aborted,
    Attached,
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
    EffectApplied,
    EffectRefused,
    Event,
    Finished,
    Joined,
    NoticesDelivered,
    OutsideWrite,
    Promoted,
    Resolved,
    Restarted,
    ReversalBegun,
    ReversalFailed,
    RunBegun,
    RunLost,
    Said,
    StagedAmended,
    Stuck,
)
from coagent.protocol.inbox import Moved
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.phases import AgentPhase
from coagent.protocol.values import UNLOADED, Value
from coagent.runtime.changes import change_of
from coagent.runtime.learning import learn, learn_state
from coagent.runtime.watch import Watch
from coagent.wording.durations import duration
from coagent.wording.quoting import one_line

_ARGUMENTS_LENGTH_MAX = 120
_ARGUMENT_LENGTH_MAX = 40
_LINE_LENGTH_MAX = 2000
_KEYS_SHOWN_MAX = 6
_TOLD_MS_MIN = 1000


class Chronicle:
    """Tells the events of a domain.

    Args:
        watch: The domain.
        agent: Only what this agent did or was told.
        key: Only what touches this object; a prefix if it ends in "/" or ":", or a glob.
        mask: Of the output that it is for; it learns the secrets that the events hold.
        after: Only what came after the event of this number.
        names: Agents that are known to have joined before, by rank.
    """

    def __init__(
        self,
        watch: Watch,
        *,
        agent: str | None = None,
        key: str | None = None,
        mask: Mask | None = None,
        after: int = 0,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self._watch = watch
        self._mask = Mask() if mask is None else mask
        if watch.saved is not None:
            learn_state(self._mask, watch.saved)
        self._agent, self._key, self._after = agent, key, after
        agents = watch.kernel.agents
        self._names: dict[int, str] = dict(sorted((names or {}).items()))
        self._names.update({rank: one.name for rank, one in agents.items()})
        self._committed: set[int] = {rank for rank, agent in agents.items() if agent.ended}
        self.call: Call | None = None
        """The call that the last event noted is about."""
        self._before: Value = UNLOADED
        self._passed: list[str] = []
        self.moved: list[Moved] = []
        """What the last event noted told an agent of."""

    def entries(self, until: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield what has happened since the last time: number, agent, kind, call, keys and text.

        What somebody outside wrote comes with its difference.

        Args:
            until: The number of the last event to be told; nothing can be told after that.
        """
        for event in self._watch.events(self.note, lambda event: learn(self._mask, event)):
            entry = self.tell(event)
            if self._watch.number <= self._after:
                continue
            if entry is not None and self._wanted(entry):
                yield entry
            if until is not None and self._watch.number >= until:
                return
            for _, commit in self.commits():
                if self._wanted(commit):
                    yield commit

    def check_agent(self) -> None:
        """Say so where the agent that is asked for has never joined.

        Raises:
            ConfigurationError: It has not; names the nearest one.
        """
        if self._agent is None or self._agent in self._names.values():
            return
        close = difflib.get_close_matches(self._agent, self._names.values(), 1)
        known = _few(dict.fromkeys(self._names.values())) or "nobody"
        raise ConfigurationError(
            f"no agent {self._agent!r} has joined this domain",
            f"Did you mean {close[0]!r}?" if close else f"There was {known}.",
        )

    def note(self, event: Event) -> None:
        """Look up what an event is about, which may be gone once the kernel has taken it."""
        kernel = self._watch.kernel
        call_id = getattr(event, "call_id", None)
        self.call = kernel.call(call_id) or kernel.underway(call_id) if call_id is not None else None
        self.moved = list(_delivered(kernel, event)) if isinstance(event, NoticesDelivered) else []
        if isinstance(event, OutsideWrite | Resolved):
            self._before = kernel.live_value(event.key)
        elif isinstance(event, Promoted):
            own = kernel.agents[event.rank].order
            self._passed = [
                one.name for one in kernel.agents.values() if not one.ended and event.order <= one.order < own
            ]

    def commits(self) -> Iterator[tuple[Rank, dict[str, Any]]]:
        """Yield the agents that have committed since without an event of their own, as in format 1."""
        if not self._watch.kernel.commits_itself:
            return
        for rank, one in self._watch.kernel.agents.items():
            if one.phase is AgentPhase.COMMITTED and rank not in self._committed:
                self._committed.add(rank)
                yield rank, self._made(one.name, "commit", None, (), "committed")

    def tell(self, event: Event) -> dict[str, Any] | None:
        """Return an event as it is told, once the kernel has taken it; None where it is no news.

        Args:
            event: That `note` was told of before.
        """
        if isinstance(event, Joined):
            self._names[event.rank] = event.agent
        match event:
            case Joined():
                pinned = ", and nobody passes it" if event.pinned and self._watch.kernel.early else ""
                return self._made(event.agent, "join", None, (), f"joined with rank {event.rank}{pinned}")
            case CallObserved() | CallStaged() | CallBegun():
                return self._called(event)
            case EffectApplied():
                return None  # no news
            case Stuck() | Resolved() | OutsideWrite() | EffectRefused():
                return self._about_an_object(event)
            case (
                Attached()
                | Said()
                | NoticesDelivered()
                | Finished()
                | Promoted()
                | Committed()
                | AbortBegun()
                | Aborted()
                | Blocked()
                | Restarted()
            ):
                return self._about_an_agent(event)
            case _:
                return self._about_a_call(event)

    def _about_an_object(self, event: Stuck | Resolved | OutsideWrite | EffectRefused) -> dict[str, Any]:
        key, kind, change = event.key, "stuck", None
        match event:
            case Stuck():
                text = f"{key} is stuck, and a person has to decide: {event.error}"
            case EffectRefused() if key in self._watch.kernel.stuck:
                text = f"{key} is stuck, and a person has to decide: {event.error}"
            case EffectRefused():
                kind, text = "refused", f"{key} was refused by its target: {event.error}"
            case Resolved(how="retry"):
                kind, text = "resolve", f"a person had {key} tried again"
            case Resolved():
                kind, text = "resolve", f"a person accepted what is there for {key}"
                change = change_of(self._mask, key, self._before, event.value)
            case OutsideWrite():
                act = "removed" if event.value is None else "made" if self._before is None else "changed"
                kind, text = "outside", f"{_whoever(event.person)} {act} {key}"
                change = change_of(self._mask, key, self._before, event.value)
        entry = self._made(None, kind, None, (key,), text)
        return entry if change is None else {**entry, "difference": change}

    def _about_an_agent(
        self,
        event: (
            Attached
            | Said
            | NoticesDelivered
            | Finished
            | Promoted
            | Committed
            | AbortBegun
            | Aborted
            | Blocked
            | Restarted
        ),
    ) -> dict[str, Any]:
        keys: tuple[Key, ...] = ()
        match event:
            case Attached(owner=""):
                kind, text = "left", "waits for somebody to take it up"
            case Attached():
                kind, text = "attach", "was taken up by another process"
            case Said():
                kind, text = "said", f"{'is to' if event.goal else 'says'}: {event.text}"
            case NoticesDelivered():
                kind = "told"
                keys = tuple(dict.fromkeys([*event.keys, *(one.key for one in self.moved)]))
                parts = [f"that {_few(event.call_ids)} {_gives(event.call_ids)} something else now"]
                parts = parts if event.call_ids else []
                if event.keys:
                    parts.append(f"what has become of {_few(event.keys)}")
                text = f"was told {', and '.join(parts)}" if parts else "was told that there is nothing new"
                if self.moved:
                    text += f": {_few(f'{one.key}, by {_causing(one.cause)}' for one in self.moved)}"
            case Finished():
                kind, text = "finish", "has finished"
            case Promoted():
                whom = f" for {_few(self._passed)}" if self._passed else ""
                kind, text = "promote", f"need not wait{whom}: they have nothing to do with each other"
            case Committed():
                kind, text = "commit", "committed"
            case AbortBegun():
                why = f": {event.reason}" if event.reason else ""
                kind, text = "aborting", f"is being aborted, and what it has done is taken back{why}"
            case Aborted():
                kind, text = "abort", f"aborted: {event.reason}" if event.reason else "aborted"
            case Blocked():
                who = _few(self._names.get(rank, f"rank {rank}") for rank in event.by)
                kind, text = "block", f"has to wait for {who}"
            case Restarted():
                kind, text = "restart", "was undone, and begins again"
        return self._made(self._names.get(event.rank, f"rank {event.rank}"), kind, None, keys, text)

    def _called(self, event: CallObserved | CallStaged | CallBegun) -> dict[str, Any]:
        name = self._names[event.rank]
        agent = self._watch.kernel.agents.get(event.rank)
        call = None if agent is None or not agent.calls else next(reversed(agent.calls.values())).id
        if isinstance(event, CallStaged):
            text = f"{event.tool}({self._short(event.arguments)}) is staged until commit"
            return self._made(name, "stage", call, (), text)
        if isinstance(event, CallBegun):
            text = f"{event.tool}({self._short(event.arguments)}) begins"
            return self._made(name, "start", call, tuple(event.footprint.writes), text)
        keys = _touched(event.observation)
        arguments = self._short(event.arguments, event.observation)
        text = f"{event.tool}({arguments}){self._outcome(event.observation)}{_took(event.took_ms)}"
        return self._made(name, "call", call, keys, text)

    def _about_a_call(self, event: Event) -> dict[str, Any]:
        call_id: str = event.call_id  # type: ignore[union-attr]  # all that are left have one
        parsed = parsed_call_id(call_id)
        name = "" if parsed is None else parsed[0]
        told = call_id if self.call is None else f"{call_id} {self.call.tool}"
        match event:
            case CallReexecuted():
                because = "" if self.call is None else _because(self.call.cause)
                return self._made(
                    name,
                    "again",
                    call_id,
                    _touched(event.observation),
                    f"{told} ran again{because}{self._outcome(event.observation, ', and')}"
                    f"{_took(event.took_ms)}",
                )
            case CallAmended():
                became = f"became ({self._short(event.arguments, event.observation)})"
                text = f"{told} {became if event.heard else 'stands, though it was only tried again'}"
                text += self._outcome(event.observation, ", and")
                return self._made(name, "amend", call_id, _touched(event.observation), text)
            case StagedAmended():
                text = f"{told} became ({self._short(event.arguments)})"
                return self._made(name, "amend", call_id, (), text)
            case CallUndone():
                by = f" by {_whoever(event.person)}" if event.person else ""
                return self._made(name, "undo", call_id, self._written(), f"{told} was undone{by}")
            case CallReversed():
                text = f"{told} was taken back{_because(event.cause)}, and has to run again"
                return self._made(name, "reverse", call_id, self._written(), text)
            case RunBegun():
                return self._made(
                    name, "start", call_id, tuple(event.footprint.writes), f"{told} begins to run"
                )
            case ReversalBegun():
                keys = tuple(event.footprint.writes)
                return self._made(name, "start", call_id, keys, f"{told} begins to be taken back")
            case RunLost():
                text = f"{told} may have run or not: its process has died"
                return self._made(name, "lost", call_id, self._written(), text)
            case ReversalFailed():
                text = f"{told} could not be taken back, and a person has to decide: {event.error}"
                return self._made(name, "stuck", call_id, self._written(), text)
            case CallRan():
                keys = _touched(event.observation)
                text = f"{told} has run{self._outcome(event.observation, ', and')}"
                return self._made(name, "ran", call_id, keys, text)
            case _:
                return self._made(name, type(event).__name__, call_id, (), told)

    def _written(self) -> tuple[Key, ...]:
        """Return what the call wrote that the event is about."""
        return () if self.call is None else tuple(self.call.writes)

    def _made(
        self, agent: str | None, kind: str, call_id: str | None, keys: Iterable[Key], text: str
    ) -> dict[str, Any]:
        return {
            "number": self._watch.number,
            "agent": None if agent is None else one_line(agent),
            "kind": kind,
            "call": call_id,
            "keys": list(keys),
            "text": one_line(self._mask.text(text), _LINE_LENGTH_MAX),
        }

    def _wanted(self, entry: dict[str, Any]) -> bool:
        if self._agent is not None and entry["agent"] != self._agent:
            return False
        return self._key is None or any(_matches(self._key, one) for one in entry["keys"])

    def _outcome(self, observation: Observation, joint: str = "") -> str:
        if observation.error is not None:
            return f"{joint} failed: {self._mask.text(observation.error)[:_ARGUMENTS_LENGTH_MAX]}"
        if observation.writes:
            return f"{joint} wrote {_few(observation.writes)}"
        return ""

    def _short(self, arguments: Mapping[str, Value], observation: Observation | None = None) -> str:
        shown = self._mask.arguments(arguments, () if observation is None else observation.writes)
        text = ", ".join(
            f"{name}={self._mask.as_json(value, _ARGUMENT_LENGTH_MAX)}" for name, value in shown.items()
        )
        return text if len(text) <= _ARGUMENTS_LENGTH_MAX else f"{text[:_ARGUMENTS_LENGTH_MAX]}…"


def _touched(observation: Observation) -> tuple[Key, ...]:
    keys = [key for key, _ in observation.reads]
    return tuple(
        dict.fromkeys([*observation.writes, *keys, *(Key(scan.prefix) for scan in observation.scans)])
    )


def _few(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - _KEYS_SHOWN_MAX} more" if len(names) > _KEYS_SHOWN_MAX else ""
    return ", ".join(names[:_KEYS_SHOWN_MAX]) + rest


def _delivered(kernel: Kernel, event: NoticesDelivered) -> Iterator[Moved]:
    """Yield what an agent is being told of, which is known until the kernel has taken that."""
    agent = kernel.agents.get(event.rank)
    if agent is not None:
        told, keys = set(event.call_ids), set(event.keys)
        for one in kernel.inbox(agent, apart=False).moved:
            if one.key in keys or any(news.call_id in told for news in one.calls):
                yield one


def _causing(cause: Cause) -> str:
    if cause == OUTSIDE:
        return "somebody outside"
    return cause.agent if cause.call_id is None else f"{cause.call_id} {cause.tool}"


def _because(cause: Cause | None) -> str:
    if cause is None:
        return ""
    return ", for somebody outside" if cause == OUTSIDE else f", for {cause.agent}"


def _whoever(person: str) -> str:
    return f"{person} (a person)" if person else "somebody outside"


def _took(took_ms: int | None) -> str:
    """Return how long a run took, where that is worth a word."""
    return f" in {duration(took_ms)}" if took_ms is not None and took_ms >= _TOLD_MS_MIN else ""


def _gives(names: Sequence[str]) -> str:
    return "gives" if len(names) == 1 else "give"


def _matches(wanted: str, key: Key) -> bool:
    if wanted.endswith(("/", ":")):
        return key.startswith(wanted)
    return key == wanted or fnmatchcase(key, wanted) or (key.endswith(("/", ":")) and wanted.startswith(key))
