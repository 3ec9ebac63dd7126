"""What a demo gives: for each protocol a run, to be drawn, tabulated or printed as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

MarkKind: TypeAlias = Literal["read", "write", "failed", "repair", "restart", "commit", "abort"]


class Mark(NamedTuple):
    """Something that an agent did at a point in time; `label` may be empty."""

    time_s: float
    kind: MarkKind
    label: str = ""


class Told(NamedTuple):
    """A notice on its way: who changed something when, and when the other one was told."""

    by: str
    changed_s: float
    told_s: float
    label: str


@dataclass
class Lane:
    """One agent's part of a run.

    Args:
        agent: Its name.
        marks: What it did, in order of time.
        thinking: When it was thinking, (from, to).
        told: The notices that it got.
        started_s: When it set out.
        finished_s: When it ended.
    """

    agent: str
    marks: list[Mark] = field(default_factory=list)
    thinking: list[tuple[float, float]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    started_s: float = 0.0
    finished_s: float = 0.0


@dataclass
class DemoRun:
    """One run of a demo.

    Args:
        protocol: Its protocol.
        order: The order of agents whose serial run ends in the same state; None where there is none.
        makespan_s: Virtual seconds from the first start to the last commit.
        tokens: What the agents' thinking cost.
        notifications: How many notices were told.
        repaired: How many calls were amended or undone.
        final: The final state, as JSON.
        outcome: The final state in a few words.
        sound: Whether the final state is one that its owner would want (pods run, tests pass).
        lanes: One an agent, in order of rank.
        details: Lines for who wants to look closer, by title.
        failure: Why it broke off; empty where it did not.
    """

    protocol: str
    order: list[str] | None
    makespan_s: float
    tokens: int
    notifications: int
    repaired: int
    final: Any
    outcome: str
    sound: bool
    lanes: list[Lane]
    details: dict[str, list[str]] = field(default_factory=dict)
    failure: str = ""

    @property
    def serializable(self) -> bool:
        """Whether some serial run ends in the same state."""
        return self.order is not None

    @property
    def as_expected(self) -> bool:
        """Whether it went as the demo wants to show: only "naive" goes wrong, and it does."""
        right = self.serializable and self.sound and not self.failure
        return right != (self.protocol == "naive")

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "protocol": self.protocol,
            "serializable": self.serializable,
            "order": self.order,
            "makespan_s": round(self.makespan_s, 3),
            "tokens": self.tokens,
            "notifications": self.notifications,
            "repaired_calls": self.repaired,
            "outcome": self.outcome,
            "as_expected": self.as_expected,
            "failure": self.failure,
            "final": self.final,
        }


@dataclass
class DemoReport:
    """What a demo gives.

    Args:
        demo: Its name.
        seed: What its think times were drawn from.
        agents: What each agent is to do, by name.
        runs: One for each protocol.
        outcome_title: What `DemoRun.outcome` is about.
        explanation: What happened, in two sentences.
        folder: Where it was carried out.
    """

    demo: str
    seed: int
    agents: dict[str, str]
    runs: list[DemoRun]
    outcome_title: str
    explanation: str
    folder: str

    @property
    def as_expected(self) -> bool:
        """Whether every run went as the demo wants to show."""
        return all(run.as_expected for run in self.runs)

    @property
    def serial_s(self) -> float | None:
        """The makespan under "serial", if that is among the runs."""
        return next((run.makespan_s for run in self.runs if run.protocol == "serial"), None)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"demo": self.demo, "seed": self.seed, "runs": [run.as_data() for run in self.runs]}
