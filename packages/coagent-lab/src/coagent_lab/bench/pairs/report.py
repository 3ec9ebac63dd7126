"""What came of the pairs, counted for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from coagent_lab.bench.pairs.measure import Merge, Pair
from coagent_lab.bench.pairs.suites import Verdict


@dataclass
class Counts:
    """How the merges of one repository, or of all, ended in one way.

    Args:
        merges: How many there were.
        applied: Both features went in without anybody's judgement.
        green: And both features' tests are green.
        red_told: And a test is red, of which the later agent had been told.
        red_untold: And a test is red, and nobody was told.
        left: It was left to an agent, or for git: to a person.
    """

    merges: int = 0
    applied: int = 0
    green: int = 0
    red_told: int = 0
    red_untold: int = 0
    left: int = 0

    def add(self, merge: Merge) -> None:
        """Count a merge."""
        self.merges += 1
        self.applied += merge.applied
        self.left += not merge.applied
        if merge.applied and merge.tests is Verdict.green:
            self.green += 1
        elif merge.applied and merge.tests is Verdict.red:
            self.red_told += merge.told > 0
            self.red_untold += merge.told == 0


def counted(pairs: Iterable[Pair]) -> dict[str, dict[str, Counts]]:
    """Return counts by repository, and for "all", of "git" and of "coagent" (both orders of each pair)."""
    found: dict[str, dict[str, Counts]] = {}
    for pair in pairs:
        for merge in pair.merges:
            way = "git" if merge.way == "git" else "coagent"
            for group in (pair.task.partition("/")[0], "all"):
                found.setdefault(group, {"git": Counts(), "coagent": Counts()})[way].add(merge)
    return found


def missed(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs that git merges and that were left to an agent in one order at least."""
    return [
        pair
        for pair in pairs
        if pair.merges and pair.merges[0].applied and not all(merge.applied for merge in pair.merges)
    ]


def table(pairs: Sequence[Pair]) -> Table:
    """Return the counts as a table: one line for git, which knows no order, and one for both of CoAgent's."""
    shown = Table(title="gold patches, two at a time")
    for name in ("repository", "way", "merges", "applied", "green", "red, told", "red, untold", "left"):
        shown.add_column(name, justify="left" if name in ("repository", "way") else "right")
    for group, ways in counted(pairs).items():
        for way, counts in ways.items():
            told = "" if way == "git" else str(counts.red_told)
            shown.add_row(
                group, way, str(counts.merges), str(counts.applied), str(counts.green), told,
                str(counts.red_untold), str(counts.left),
            )  # fmt: skip
    return shown
