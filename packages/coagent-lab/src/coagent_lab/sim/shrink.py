"""Makes a failing run small: what can be left out of it, without it ceasing to fail, is left out.

Whatever is left out, the schedule becomes another one; so a smaller world gets several schedules before it is
taken for a good one (delta debugging, Zeller & Hildebrandt 2002, under chance).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from coagent_lab.sim.options import Options
from coagent_lab.sim.trial import Trial, Verdict
from coagent_lab.sim.world import Line, World

T = TypeVar("T")
SCHEDULES = 8
RUNS_MAX = 3000


def shrink(
    failed: Verdict, run: Callable[[Trial], Verdict], *, schedules: int = SCHEDULES, runs_max: int = RUNS_MAX
) -> Verdict:
    """Return the smallest failing run that is found by leaving out one thing after another.

    Args:
        failed: A run that fails.
        run: Runs another one.
        schedules: How many schedules a smaller world gets.
        runs_max: After how many runs the smallest one so far has to do.

    Returns:
        A failing run, of which nothing can be left out.
    """
    runs = at = 0
    while True:
        candidates = list(_smaller(failed.trial))
        for step in range(len(candidates)):
            # It goes on from where it was: what could not be left out before will hardly be so now.
            here = (at + step) % len(candidates)
            world, options = candidates[here]
            found = None
            for schedule in (failed.trial.schedule, *range(schedules)):
                if runs >= runs_max:
                    return failed
                runs += 1
                verdict = run(Trial(failed.seed, options, world.copied(), schedule))
                if verdict.violation is not None:
                    found = verdict
                    break
            if found is not None:
                failed, at = found, here
                break
        else:
            return failed


def _smaller(trial: Trial) -> Iterator[tuple[World, Options]]:
    """Return what is one thing smaller, the most promising first."""
    world, options = trial.world, trial.options
    for name in world.programs:
        others = {other: lines for other, lines in world.programs.items() if other != name}
        if others:
            yield replace(world, programs=others), options
    for name, lines in world.programs.items():
        for shorter in _without_some(lines):
            if shorter:
                yield replace(world, programs={**world.programs, name: shorter}), options
    for calmer in _calmer(options):
        yield world, calmer
    for key in world.initial:
        initial = {other: value for other, value in world.initial.items() if other != key}
        yield replace(world, initial=initial), options
    for name, lines in world.programs.items():
        for at, line in enumerate(lines):
            for plainer in _plainer(line):
                changed = [*lines[:at], plainer, *lines[at + 1 :]]
                yield replace(world, programs={**world.programs, name: changed}), options


def _without_some(items: Sequence[T]) -> Iterator[list[T]]:
    """Return the items without half of them, without a quarter, and so on, down to one."""
    size = len(items)
    while size > 1:
        size = (size + 1) // 2
        for start in range(0, len(items), size):
            yield [*items[:start], *items[start + size :]]
        if size == 1:
            return


def _calmer(options: Options) -> Iterator[Options]:
    """Return the options with less of what makes runs lively."""
    plain = Options()
    for fault in sorted(options.faults):
        yield replace(options, faults=options.faults - {fault})
    for name in ("order", "joining", "patience", "eager", "idling", "fumbling", "aborting", "moving",
                 "crashing", "outside", "looking", "failing"):  # fmt: skip
        if getattr(options, name) != getattr(plain, name):
            yield replace(options, **{name: getattr(plain, name)})


def _plainer(line: Line) -> Iterator[Line]:
    if line.only_if is not None:
        yield line._replace(only_if=None)
    if line.quits:
        yield line._replace(quits="")
    if line.heeded:
        yield line._replace(heeded=False)
    if not line.caught:
        yield line._replace(caught=True)
    if line.kind != "follow" and any(len(set(keys)) > 1 for keys in line.keys):
        yield line._replace(keys=tuple(keys[:1] for keys in line.keys))
