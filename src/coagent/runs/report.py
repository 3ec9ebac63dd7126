"""What a run has come to: per agent, per object, and the verdict; as data and as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from coagent.masking.mask import Mask
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.runs.history import Act, History, RecordedAgent
from coagent.runs.verdict import Verdict
from coagent.runtime.domain import Domain
from coagent.runtime.notices import Notification
from coagent.wording.quoting import one_line

_LINE_LENGTH_MAX = 2000


@dataclass(frozen=True)
class AgentReport:
    """One agent's part in a run.

    Args:
        order: Its place among the agents, from 0.
        kind: "model" or "script".
        state: "committed" or "aborted".
        reason: Why it was aborted.
        calls: How many calls it made.
        notices: How often it was told that something it had read has changed.
        repairs: How many of its calls it amended or undid.
        acts: All that it did and was told, in order.
        answer: What the model said last.
        kept: Calls that still carry a value of which the agent was told that it is no longer so.
    """

    name: str
    order: int
    kind: str
    what: str
    state: str
    reason: str
    calls: int
    notices: int
    repairs: int
    requests: int
    input_tokens: int
    output_tokens: int
    seconds: float
    answer: str = ""
    kept: list[str] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list, repr=False)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        data = asdict(self)
        data["acts"] = [
            {
                "seconds": round(act.seconds, 3),
                "act": act.kind,
                "calls": list(act.call_ids),
                "detail": act.detail,
            }
            for act in self.acts
        ]
        data["seconds"] = round(self.seconds, 3)
        return data


@dataclass(frozen=True)
class Change:
    """An object that is not what it was before the run."""

    status: Literal["added", "modified", "deleted"]
    key: Key


@dataclass(frozen=True)
class RunReport:
    """A run. `stopped` says why it was cut short, if it was."""

    protocol: str
    agents: list[AgentReport]
    changes: list[Change]
    verdict: Verdict
    seconds: float
    stopped: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether every agent committed and the state is the serial one."""
        return self.verdict.kind == "serial" and all(agent.state == "committed" for agent in self.agents)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "succeeded": self.succeeded,
            "protocol": self.protocol,
            "verdict": asdict(self.verdict),
            "stopped": self.stopped,
            "seconds": round(self.seconds, 3),
            "agents": [agent.as_data() for agent in self.agents],
            "changes": [asdict(change) for change in self.changes],
        }

    def lines(self) -> Iterator[str]:
        """Yield it as lines of text, each on one line whatever agents have put into it."""
        for line in self._lines():
            yield one_line(line, _LINE_LENGTH_MAX)

    def _lines(self) -> Iterator[str]:
        for agent in self.agents:
            yield from _agent_lines(agent)
        yield ""
        yield "changed:" if self.changes else "nothing was changed"
        for change in self.changes:
            yield f"  {change.status[0].upper()} {change.key}"
        yield ""
        if self.stopped:
            yield f"stopped: {self.stopped}"
        absent = sum(agent.state != "committed" for agent in self.agents)
        if any(agent.kept for agent in self.agents):
            yield "look at what was kept: whether it is still right is a judgement that nobody has checked"
        if absent:
            whose = "its" if absent == 1 else "their"
            yield f"{absent} of {len(self.agents)} agents did not commit; {whose} work was withdrawn"
        yield f"verdict: {self.verdict}{_basis(self.verdict)}"


def count(number: int, noun: str) -> str:
    """Return for instance `1 call` or `2 calls`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


async def changes_of(domain: Domain, history: History) -> list[Change]:
    """Return what is not as it was, by comparing the written objects' first and live values."""
    found: list[Change] = []
    for key in sorted(history.written & history.initial.keys()):
        before, after = history.initial[key], await domain.targets.of(key).get(key)
        if not same(before, after):
            found.append(
                Change("added" if before is None else "deleted" if after is None else "modified", key)
            )
    return found


def kept_of(agent: RecordedAgent, notices: Iterable[Notification], mask: Mask) -> list[str]:
    """Return which of its calls an agent kept although an old value that it was told of stands in them.

    Args:
        agent: The agent.
        notices: What it was told.
        mask: Of the output that this is for.
    """
    standing = {call.call_id: call for call in agent.standing()}
    kept: dict[str, None] = {}
    for notice in notices:
        for stale in notice.stale_literals:
            call = standing.get(stale.call_id)
            if call is not None and _carries(call.arguments.get(stale.argument), stale.old):
                old, new = mask.changed(stale.old, stale.new, notice.key, stale.argument)
                now = "" if new is None else f" ({notice.key} is now {new!r})"
                line = f"{stale.call_id} still carries {old!r} in argument {stale.argument!r}{now}"
                kept[mask.text(line)] = None
    return list(kept)


def repairs_of(agent: RecordedAgent) -> int:
    """Return how many of its calls an agent amended or undid."""
    return len({act.call_ids for act in agent.acts if act.kind in ("amend", "undo")})


_MARKS = {"call": "", "stage": "staged: ", "amend": "amended ", "undo": "undid ", "told": "was told of "}


def _agent_lines(agent: AgentReport) -> Iterator[str]:
    spent = [count(agent.calls, "call"), count(agent.notices, "notice"), count(agent.repairs, "repair")]
    if agent.kind == "model":
        spent.append(
            f"{count(agent.requests, 'request')}, {agent.input_tokens:,}+{agent.output_tokens:,} tokens"
        )
    yield ""
    yield f"{agent.name} ({agent.what}): {agent.state}, {', '.join(spent)}, {agent.seconds:.1f} s"
    if agent.reason:
        yield f"  why: {agent.reason}"
    for act in agent.acts:
        if act.kind in ("call", "stage"):
            yield f"  {act.call_ids[0]} {_MARKS[act.kind]}{act.detail}"
        elif act.kind == "restart":
            yield "  was undone by the protocol and began again"
        elif act.kind in _MARKS:
            yield f"  {_MARKS[act.kind]}{act.detail}"
    for kept in agent.kept:
        yield f"  kept: {kept}"
    if agent.answer:
        yield f"  said: {' '.join(agent.answer.split())[:300]}"


def _basis(verdict: Verdict) -> str:
    if verdict.kind == "unknown" or not verdict.order:
        return ""
    return f" (as {', then '.join(verdict.order)}; {count(verdict.calls, 'call')} run again to compare)"


def _carries(value: Value, literal: str) -> bool:
    if isinstance(value, dict):
        return any(_carries(item, literal) for item in value.values())
    if isinstance(value, list):
        return any(_carries(item, literal) for item in value)
    return literal in value if isinstance(value, str) and len(literal) >= 3 else str(value) == literal
