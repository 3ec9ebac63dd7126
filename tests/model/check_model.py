"""`make model`: explores every case, and says how many situations there are and what is wrong in any."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

from befalling import Case
from cases import CASES
from exploring import Explored, explore
from telling import told

_SAID_EVERY_S = 10.0
_TWICE_EVERY = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 nothing is wrong, 1 something is, 2 bad usage."""
    parser = argparse.ArgumentParser(prog="make model", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="which cases (default: all)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--list", action="store_true", help="list the cases and what they are there for")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: 2)"
    )
    parser.add_argument("--states-max", type=int, default=1_000_000, help="give a case up beyond that")
    parser.add_argument(
        "--twice-every",
        type=int,
        default=_TWICE_EVERY,
        metavar="N",
        help=f"in every Nth situation try restored kernels and illegal events too (default: {_TWICE_EVERY})",
    )
    options = parser.parse_args(arguments)
    chosen = [case for case in CASES if not options.cases or case.name in options.cases]
    unknown = set(options.cases) - {case.name for case in chosen}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))} (--list names them)")
    if options.list:
        for case in CASES:
            print(f"{case.name:22} {case.about}")
        return 0
    started = time.monotonic()
    results = []
    for found in _explored(chosen, options):
        results.append(found)
        if not options.json:
            print(_line(found), flush=True)
            if found.violation is not None:
                print(told(next(case for case in chosen if case.name == found.case), found.violation))
    wrong = [found for found in results if found.violation is not None]
    complete = all(found.complete for found in results)
    if options.json:
        print(json.dumps({"complete": complete, "cases": [_as_data(found) for found in results]}, indent=2))
    else:
        states, transitions = sum(one.states for one in results), sum(one.transitions for one in results)
        verdict = f"{len(wrong)} with a violation" if wrong else "no violation"
        extent = "every one that can be reached" if complete else "NOT all that can be reached"
        print(
            f"{len(results)} cases, {states} states ({extent}), {transitions} transitions, "
            f"depth up to {max(one.depth for one in results)}: {verdict} "
            f"({time.monotonic() - started:.0f} s)"
        )
    return 1 if wrong else 0


def _explored(chosen: Sequence[Case], options: argparse.Namespace) -> Iterator[Explored]:
    """Yield what is found in each case, in their order, each in a process of its own."""
    names = [case.name for case in chosen]
    explore_one = partial(_explore, states_max=options.states_max, twice_every=options.twice_every)
    if options.jobs < 2 or len(names) < 2:
        yield from map(explore_one, names)
        return
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        yield from pool.imap(explore_one, names)


def _explore(name: str, states_max: int, twice_every: int) -> Explored:
    case = next(case for case in CASES if case.name == name)
    last = [time.monotonic()]

    def say(found: Explored, waiting: int) -> None:
        if time.monotonic() - last[0] > _SAID_EVERY_S:
            last[0] = time.monotonic()
            print(
                f"  … {name}: {found.states} states, {found.transitions} transitions, depth {found.depth}, "
                f"{waiting} to go on from",
                file=sys.stderr,
                flush=True,
            )

    found = explore(case, states_max=states_max, twice_every=twice_every, on_progress=say)
    found.forget()
    return found


def _line(found: Explored) -> str:
    if found.violation is not None:
        verdict = f"VIOLATION after {len(found.violation.trace)} steps"
    else:
        verdict = "ok" if found.complete else "not complete"
    if found.overtaken:
        verdict += f" ({found.overtaken} ends not compared)"
    return (
        f"{found.case:22} {found.states:7} states {found.transitions:8} transitions  depth {found.depth:2}  "
        f"{found.ends:4} ends  {verdict}"
    )


def _as_data(found: Explored) -> dict[str, object]:
    violation = found.violation
    return {
        "case": found.case,
        "states": found.states,
        "transitions": found.transitions,
        "depth": found.depth,
        "ends": found.ends,
        "overtaken": found.overtaken,
        "complete": found.complete,
        "violation": None if violation is None else violation.what,
        "trace": None if violation is None else [str(action) for action in violation.trace],
    }


if __name__ == "__main__":
    sys.exit(main())
