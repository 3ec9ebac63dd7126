"""What an audit finds: findings as data, with their names in the literature's words, and what it counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Class: TypeAlias = Literal[
    "damaged log", "protocol", "judgement", "ungoverned writer", "failed inverse", "unknown effect"
]
"""Why a state is not the serial one, or may not be.

damaged log: records were changed, exchanged or lost, or something happened that may not.
protocol: a call saw what its place in the order does not show, or agents depend on each other in a circle.
judgement: an agent went on after it was told that a premise had changed, with the old value in a later call.
ungoverned writer: the live state holds what no call wrote.
failed inverse: what was to be taken back is still there.
unknown effect: a call whose process died may have had its effect or not.
"""

KEPT: Final = 100
"""How many findings of each class are kept in full; all are counted."""


class Anomaly(NamedTuple):
    """A name of Adya's (1999), with what it is called in English."""

    name: str
    code: str


DIRTY_WRITE: Final = Anomaly("dirty write", "G0")
ABORTED_READ: Final = Anomaly("aborted read", "G1a")
INTERMEDIATE_READ: Final = Anomaly("intermediate read", "G1b")
CIRCULAR_FLOW: Final = Anomaly("circular information flow", "G1c")
LOST_UPDATE: Final = Anomaly("lost update", "G-single")
READ_SKEW: Final = Anomaly("read skew", "G-single")
WRITE_SKEW: Final = Anomaly("write skew", "G2-item")
PHANTOM: Final = Anomaly("phantom", "G2")
STALE_READ: Final = Anomaly("stale read", "rw against the order")
FUTURE_READ: Final = Anomaly("read of a later agent's write", "wr against the order")
UNEXPLAINED_READ: Final = Anomaly("read of a value that nobody wrote", "G1a")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that a person should look at.

    Args:
        cls: Why it matters.
        what: What it is called: an anomaly's name, or a few words.
        text: What has happened, in a sentence.
        number: The record by which it shows; 0: it shows in the live state.
        code: Adya's name for it; empty where it is no anomaly of his.
        agents: Who is concerned.
        calls: Which calls made it so.
        key: Which object; empty where it is about several.
        failing: Whether the state is not the serial one because of it, or cannot be said to be.
        picture: A drawing of it, line by line.
    """

    cls: Class
    what: str
    text: str
    number: int
    code: str = ""
    agents: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    key: str = ""
    failing: bool = True
    picture: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "class": self.cls, "what": self.what, "code": self.code or None, "text": self.text,
            "record": self.number or None, "agents": list(self.agents), "calls": list(self.calls),
            "key": self.key or None, "failing": self.failing, "picture": list(self.picture),
        }  # fmt: skip


@dataclass
class Tally:
    """What was looked at.

    Args:
        records: How many records there were.
        joined: How many agents joined.
        committed: Of them.
        aborted: Of them.
        calls: How many calls agents made.
        reads: How many reads and scans of committed calls were derived and compared.
        unchecked: How many could not be, since they rest on a merge or on what no record holds.
        notices: Of how many calls agents were told that they return something else now.
        edges: How many dependencies between agents were followed, also those through lists and queries.
        outside: How many changes from outside the log holds.
        between: How many objects were found changed that nobody at work had touched.
        passed_over: How many events changed nothing, since they may not happen.
    """

    records: int = 0
    joined: int = 0
    committed: int = 0
    aborted: int = 0
    calls: int = 0
    reads: int = 0
    unchecked: int = 0
    notices: int = 0
    edges: int = 0
    outside: int = 0
    between: int = 0
    passed_over: int = 0


@dataclass
class Findings:
    """What was found so far; the first of each class are kept, all are counted."""

    kept: list[Finding] = field(default_factory=list)
    counts: dict[Class, int] = field(default_factory=dict)
    failing: int = 0

    def add(self, finding: Finding) -> None:
        """Take a finding in."""
        count = self.counts[finding.cls] = self.counts.get(finding.cls, 0) + 1
        self.failing += finding.failing
        if count <= KEPT:
            self.kept.append(finding)
