"""What is shown: the steps of a story folded into a lane for each agent, notices and latest steps.

It is pure, and bounded: of what is long ago it keeps counts alone. Where agents stand right now (who waits
for whom, what is unread, what is stuck) is not in steps; it comes beside them, as the log's `Watch` tells.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from coagent.runtime.watch import Standing, StuckObject, UnknownCall

_MARKS_MAX = 200
_NOTICES_MAX = 1_000
_ROWS_MAX = 10_000
_TEXT_MAX = 300
_KEYS_MAX = 20
_NAMES_MAX = 3


class Mark(Enum):
    """What a step was, in one sign."""

    READ = "read"
    WROTE = "wrote"
    TOLD = "told"
    REPAIRED = "repaired"
    AGAIN = "ran again"
    GOOD = "finished, committed"
    BAD = "failed, aborted"


_KIND_MARKS = {
    "told": Mark.TOLD,
    "undo": Mark.REPAIRED,
    "amend": Mark.REPAIRED,
    "again": Mark.AGAIN,
    "reverse": Mark.AGAIN,
    "restart": Mark.AGAIN,
    "finish": Mark.GOOD,
    "commit": Mark.GOOD,
    "aborting": Mark.BAD,
    "abort": Mark.BAD,
    "lost": Mark.BAD,
    "stuck": Mark.BAD,
    "refused": Mark.BAD,
}
_UNSEEN = frozenset({"effect", "said", "begin", "block", "promote", "join", "left", "attach"})
"""The kinds that leave no mark in a lane."""
_CALLING = frozenset({"call", "stage", "start", "ran", "again", "amend"})
"""What an agent does as it has said."""
_STANDING = frozenset({"done", "failed", "staged", "running", "unknown", "reversed"})
"""The states of calls that have not been undone."""


@dataclass
class Lane:
    """An agent, as its steps tell of it.

    Args:
        state: "active", "finished", "aborting", "committed" or "aborted".
        calls: How many of its calls stand.
        failed: How many of those have failed.
        told: How many notices it has been told.
        repairs: How many of its calls it has amended or undone; not those that a person has.
        last: What it did last, or said as it began to do it.
        said: What it said, until something comes to it.
        blocked: The ranks that it has to wait for, where its protocol says so in steps.
    """

    rank: int
    name: str
    order: int
    state: str = "active"
    calls: int = 0
    failed: int = 0
    told: int = 0
    repairs: int = 0
    last: str = ""
    said: str = ""
    blocked: tuple[int, ...] = ()
    marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=_MARKS_MAX))
    states: dict[str, str] = field(default_factory=dict)
    """Of its calls, by UID, until it has ended."""

    @property
    def ended(self) -> bool:
        """Whether it has committed or aborted."""
        return self.state in ("committed", "aborted")

    @property
    def calling(self) -> bool:
        """Whether a call of it is under way."""
        return not self.ended and "running" in self.states.values()


@dataclass(frozen=True, slots=True)
class Row:
    """A step in the list of steps; the whole of it is read from the story when somebody looks."""

    n: int
    at: int | None
    kind: str
    rank: int | None
    name: str
    text: str
    keys: tuple[str, ...]
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that an agent was told."""

    n: int
    at: int | None
    kind: str
    source: str
    rank: int
    name: str
    key: str
    diff: str


@dataclass(frozen=True)
class Now:
    """Where agents stand at a moment.

    Args:
        agents: All of them.
        stuck: What a person has to decide about.
        unknown: The calls of which nobody knows whether they have run.
    """

    agents: Sequence[Standing] = ()
    stuck: Sequence[StuckObject] = ()
    unknown: Sequence[UnknownCall] = ()


@dataclass(frozen=True)
class Wanted:
    """Which steps and notices are asked for.

    Args:
        rank: Of this agent alone; None: of all.
        words: All of these stand in the agent's name, the text or a key; no case is told apart.
    """

    rank: int | None = None
    words: str = ""

    def __bool__(self) -> bool:
        return self.rank is not None or bool(self.words.strip())

    def row(self, row: Row) -> bool:
        """Tell whether a step is wanted."""
        return self._fits(row.rank, row.name, row.text, *row.keys)

    def told(self, told: Told) -> bool:
        """Tell whether a notice is wanted."""
        return self._fits(told.rank, told.name, told.source, told.key, told.diff)

    def _fits(self, rank: int | None, *texts: str) -> bool:
        if self.rank is not None and rank != self.rank:
            return False
        if not self.words:
            return True
        text = "\n".join(texts).casefold()
        return all(word in text for word in self.words.casefold().split())


class Board:
    """All that is shown of a domain."""

    def __init__(self) -> None:
        self.lanes: dict[int, Lane] = {}
        self.rows: deque[Row] = deque(maxlen=_ROWS_MAX)
        self.notices: deque[Told] = deque(maxlen=_NOTICES_MAX)
        self.steps = 0
        """How many steps there were; more than there are rows, once the oldest are gone."""
        self.told = 0
        """How many notices there were."""
        self.now = Now()
        self._standing: dict[int, Standing] = {}

    # ---- what happens --------------------------------------------------------------------------------------

    def take(self, step: Mapping[str, Any]) -> None:
        """Take a step of the story."""
        kind = step["kind"]
        if kind == "begin":
            self._begin(step)
        elif kind == "join":
            self.lanes[step["rank"]] = Lane(step["rank"], step["name"], step["order"])
        for rank, order in step.get("orders", ()):
            if rank in self.lanes:
                self.lanes[rank].order = order
        if kind == "effect":
            return
        if kind == "refused":
            self._refused(step)
        lane = self.lanes.get(step.get("rank", -1))
        mark = self._mark(step)
        if lane is not None:
            self._moved(lane, step, mark)
        self._tell(step, lane, mark)

    def _begin(self, step: Mapping[str, Any]) -> None:
        for agent in step["agents"]:
            lane = Lane(agent["rank"], agent["name"], agent["order"], agent["phase"])
            self.lanes[lane.rank] = lane
        for call in step.get("calls", ()):
            lane = self.lanes[call["rank"]]
            if not lane.ended:
                _stands(lane, call["call"], call["state"])

    def _refused(self, step: Mapping[str, Any]) -> None:
        """Count the calls as failed whose writes are gone, as their target does not take them."""
        gone = [operation for operation in step.get("ops", ()) if operation[0] == "del"]
        for _, _, order, sequence, _ in gone:
            for lane in self.lanes.values():
                uid = f"{lane.rank}:{sequence}"
                if lane.order == order and not lane.ended and uid in lane.states:
                    _stands(lane, uid, "failed")

    def _mark(self, step: Mapping[str, Any]) -> Mark | None:
        kind = step["kind"]
        if kind in _UNSEEN:
            return None
        if step.get("error") is not None and kind not in ("undo", "reverse"):
            return Mark.BAD
        if kind in _KIND_MARKS:
            return _KIND_MARKS[kind]
        wrote = bool(step.get("writes")) or bool(step.get("irreversible")) or kind in ("outside", "resolve")
        return Mark.WROTE if wrote else Mark.READ

    def _moved(self, lane: Lane, step: Mapping[str, Any], mark: Mark | None) -> None:
        kind = step["kind"]
        if kind == "said" and not step["goal"]:
            lane.said = step["said"]
        elif kind not in _CALLING:
            lane.said = ""
        lane.last = lane.said or step["text"][:_TEXT_MAX]
        if mark is not None:
            lane.marks.append(mark)
        if kind in ("undo", "amend") and not step.get("person"):
            lane.repairs += 1
        lane.blocked = tuple(step.get("by", ())) if kind == "block" else ()
        call = step.get("call")
        # What runs now may have stood before: staged, or being taken back.
        new = kind in ("call", "stage", "amend", "undo") or (kind == "start" and call not in lane.states)
        if call is not None and not lane.ended:
            _stands(lane, call, step["state"])
        if kind == "told":
            lane.told += len(step["notices"])
            lane.state = "active"  # who had finished goes on working
        elif kind == "finish":
            lane.state = "finished"
        elif kind == "commit":
            lane.state = "committed"
            lane.states.clear()
        elif kind == "aborting":
            lane.state = "aborting"
        elif kind in ("abort", "restart"):
            lane.state = "aborted" if kind == "abort" else "active"
            lane.states.clear()
            lane.calls = lane.failed = 0
        elif new and not lane.ended and lane.state != "aborting":
            lane.state = "active"

    def _tell(self, step: Mapping[str, Any], lane: Lane | None, mark: Mark | None) -> None:
        number, at, name = step["n"], step["at"], "" if lane is None else lane.name
        if lane is None and "rank" in step:
            name = f"rank {step['rank']}"
        self.steps += 1
        keys = _keys(step)
        rank = step.get("rank")
        self.rows.append(Row(number, at, step["kind"], rank, name, step["text"][:_TEXT_MAX], keys, mark))
        for notice in step.get("notices", ()):
            self.told += 1
            source = "outside" if notice["cause"]["rank"] is None else notice["cause"]["name"]
            diff = one_line_difference(notice["diff"])
            self.notices.append(
                Told(number, at, notice["kind"], source, step["rank"], name, notice["key"], diff)
            )

    # ---- how it stands -------------------------------------------------------------------------------------

    def settle(self, now: Now) -> None:
        """Take where agents stand."""
        self.now = now
        self._standing = {agent.rank: agent for agent in now.agents}

    def agents(self, *, ended: bool = True) -> list[Lane]:
        """Return the agents in serialization order.

        Args:
            ended: Also those that have committed or aborted.
        """
        shown = [lane for lane in self.lanes.values() if ended or not lane.ended]
        return sorted(shown, key=lambda lane: (lane.order, lane.rank))

    def unread(self, lane: Lane) -> int:
        """Return how many notices an agent has yet to read."""
        standing = self._standing.get(lane.rank)
        return 0 if standing is None or lane.ended else standing.notices

    def phase(self, lane: Lane) -> str:
        """Return what an agent is at, in few words."""
        if lane.ended:
            return lane.state
        standing = self._standing.get(lane.rank)
        if standing is not None:
            if standing.unknown:
                return "may have run or not"
            if standing.served == "dead":
                return "process has died"
            if standing.stuck and lane.state in ("finished", "aborting"):
                return f"stuck: {_few(standing.stuck)}"
        if lane.state == "aborting":
            return "being aborted"
        if unread := self.unread(lane):
            return f"{unread} to read"
        if lane.calling:
            return "calling"
        if lane.state == "finished":
            waits = standing.waits_for if standing is not None else []
            if waits:
                return f"waits for {_few(waits)}"
            if standing is not None and standing.untaken:
                return f"waits until {_few(standing.untaken)} is written"
            return "finished"
        if lane.blocked:
            return f"waits for {_few([self._name(rank) for rank in lane.blocked])}"
        if standing is not None and standing.served == "nobody":
            return "served by no process"
        if lane.marks and lane.marks[-1] is Mark.TOLD:
            return "was told"
        return "thinking"

    def _name(self, rank: int) -> str:
        lane = self.lanes.get(rank)
        return f"rank {rank}" if lane is None else lane.name

    def counts(self) -> dict[str, int]:
        """Return how many agents there are in each state, in the order in which they come about."""
        found = dict.fromkeys(("active", "finished", "aborting", "committed", "aborted"), 0)
        for lane in self.lanes.values():
            found[lane.state] += 1
        return found

    def alerts(self) -> list[tuple[str, str]]:
        """Return what a person has to decide about, each with the command that decides."""
        found = []
        for stuck in self.now.stuck:
            found.append((f"{stuck.key} is stuck: {stuck.error}", f"coagent resolve {quoted(stuck.key)}"))
        for lost in self.now.unknown:
            text = f"{lost.call} {lost.tool} may have run or not: its process has died"
            found.append((text, f"coagent resolve {quoted(lost.call)}"))
        return found

    def call_name(self, uid: str) -> str:
        """Return what people call a call, by its UID."""
        rank, _, sequence = uid.partition(":")
        lane = self.lanes.get(int(rank)) if rank.isdecimal() else None
        return uid if lane is None or not sequence else f"{lane.name}.{sequence}"


def _stands(lane: Lane, call: str, state: str) -> None:
    before = lane.states.pop(call, None)
    if state in _STANDING:
        lane.states[call] = state
    lane.calls += (state in _STANDING) - (before is not None)
    lane.failed += (state == "failed") - (before == "failed")


def _keys(step: Mapping[str, Any]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name, part in (("writes", "key"), ("reads", "key"), ("scans", "prefix"), ("notices", "key")):
        found.update((entry[part], None) for entry in list(step.get(name, ()))[:_KEYS_MAX])
    if "key" in step:
        found[step["key"]] = None
    return tuple(found)[:_KEYS_MAX]


def _few(names: Sequence[str]) -> str:
    more = f" +{len(names) - _NAMES_MAX}" if len(names) > _NAMES_MAX else ""
    return ", ".join(names[:_NAMES_MAX]) + more


def quoted(text: str) -> str:
    """Return a word for a shell."""
    return shlex.quote(text)


def one_line_difference(diff: str) -> str:
    """Return a difference on one line: what is gone first, and what has come."""
    lines = [line for line in diff.splitlines() if not line.startswith(("@@", "---", "+++", " "))]
    gone = [line[1:].strip() for line in lines if line.startswith("-")]
    come = [line[1:].strip() for line in lines if line.startswith("+")]
    if not gone and not come:
        return " ".join(diff.split())[:_TEXT_MAX]
    more = len(gone) + len(come) - bool(gone) - bool(come)
    parts = [f"-{gone[0]}"] if gone else []
    parts += [f"+{come[0]}"] if come else []
    text = "  ".join(parts) + (f"  and {more} more" if more > 0 else "")
    return text[:_TEXT_MAX]
