"""What came of the trials, counted for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from coagent_lab.bench.race.adapter import NAME
from coagent_lab.bench.race.measure import SERIAL, Published, Trial


def summed(trials: Iterable[Trial]) -> dict[str, dict[str, Any]]:
    """Return the means over the trials of each strategy, and of "serial": the scripts in the task's order."""
    by_strategy: dict[str, list[Trial]] = {}
    first: set[str] = set()
    for trial in trials:
        if trial.strategy == SERIAL and trial.case in first:
            continue  # of the serial runs only the one in the task's order, which comes first
        first.add(trial.case)
        by_strategy.setdefault(trial.strategy, []).append(trial)
    return {strategy: _figures(of) for strategy, of in by_strategy.items()}


def _figures(trials: Sequence[Trial]) -> dict[str, Any]:
    def mean(name: str) -> float:
        return round(statistics.fmean(float(getattr(one, name)) for one in trials), 4)

    reads = sum(one.reads for one in trials)
    known = reads + sum(one.reads_unseen for one in trials)
    return {
        "trials": len(trials),
        "in_order": mean("in_order"),
        "some_order": mean("some_order"),
        "correct": mean("correct"),
        "wall_s": mean("wall_s"),
        "stalls": mean("stalls"),
        "false_stalls": mean("false_stalls"),
        "notices": mean("notices"),
        "wasted": mean("wasted"),
        "reads_seen": round(reads / known, 4) if known else None,
        "unfinished": sum(bool(one.unfinished) for one in trials),
    }


def apart(trials: Iterable[Trial]) -> list[Trial]:
    """Return CoAgent's trials that did not end as the scripts in order, or in which an agent waited."""
    return [
        one for one in trials if one.strategy == NAME and (not one.in_order or one.stalls or one.unfinished)
    ]


def serially_wrong(trials: Iterable[Trial]) -> list[str]:
    """Return the cases whose scripts fail the hidden tests even one after another, in the task's order.

    Their scripts write whole files made up beforehand, so the last one undoes what the others did.
    """
    seen: set[str] = set()
    found = []
    for trial in trials:
        if trial.strategy == SERIAL and trial.case not in seen:
            seen.add(trial.case)
            if not trial.correct:
                found.append(trial.case)
    return found


def table(trials: Sequence[Trial]) -> Table:
    """Return the means by strategy."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("strategy", no_wrap=True)
    for name in ("in order", "serial", "tests", "wall s", "stalls", "false", "notices", "wasted", "seen"):
        shown.add_column(name, justify="right", no_wrap=True)
    for strategy, figures in summed(trials).items():
        shown.add_row(strategy, *_row(figures))
    return shown


def told_of(published: Sequence[Published]) -> str:
    """Return a line about what was published with a model."""
    each = (f"{one.strategy} {one.correct:.2f} in {one.wall_s:.0f} s" for one in published)
    return f"Published by RaceBench's authors, with a language model, on all its tasks: {', '.join(each)}."


def _row(figures: dict[str, Any]) -> list[str]:
    seen = figures["reads_seen"]
    return [
        f"{figures['in_order']:.0%}",
        f"{figures['some_order']:.0%}",
        f"{figures['correct']:.0%}",
        f"{figures['wall_s']:.2f}",
        f"{figures['stalls']:.2f}",
        f"{figures['false_stalls']:.2f}",
        f"{figures['notices']:.2f}",
        f"{figures['wasted']:.1%}",
        "-" if seen is None else f"{seen:.0%}",
    ]
