"""`python -m coagent_lab.sim`: simulate many random runs and report every seed that fails."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from typing import get_args

from coagent_lab.sim.options import KINDS
from coagent_lab.sim.run import run_seed, run_trial
from coagent_lab.sim.shrink import shrink
from coagent_lab.sim.targets import Systems
from coagent_lab.sim.trial import Verdict
from coagent_lab.sim.world import Dialect

_SHARE = 2000
"""How many seeds a process runs before it says how it went."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 all runs are serial, 1 some are not."""
    logging.getLogger("coagent").setLevel(logging.ERROR)  # what warns a person is what is tried here
    parser = argparse.ArgumentParser(prog="python -m coagent_lab.sim", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="how many seeds (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--target", choices=get_args(Dialect), default="memory", help="where the state lives")
    parser.add_argument("--log", choices=("memory", "sqlite"), default="memory", help="where events go")
    parser.add_argument("--protocol", choices=("mtpo", "naive", "serial"), default="mtpo")
    parser.add_argument(
        "--kind",
        choices=(*KINDS, "mixed"),
        default="plain",
        help="what runs are about; mixed: one after another",
    )
    parser.add_argument("--verbose", action="store_true", help="show the world and the timelines of failures")
    parser.add_argument("--shrink", action="store_true", help="make failures small first, and show them")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes share the seeds (default: 1)")
    options = parser.parse_args(arguments)
    if options.log != "memory" and options.kind != "plain":
        # What is serial there is found out by who sees each event as it is recorded, in one process.
        parser.error(f"runs of kind {options.kind!r} have their own logs: --log is for kind plain")
    if options.jobs > 1:
        return _shared_out(options)
    return _run_all(options)


def _shared_out(options: argparse.Namespace) -> int:
    """Have several processes run a part of the seeds each, one after another; returns the exit code."""
    firsts = range(options.seed, options.seed + options.runs, _SHARE)
    last = options.seed + options.runs
    shares = [
        argparse.Namespace(**vars(options) | {"seed": first, "runs": min(_SHARE, last - first)})
        for first in firsts
    ]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("fork")) as pool:
        return max(pool.map(_run_all, shares), default=0)


def _run_all(options: argparse.Namespace) -> int:
    """Run the seeds; returns the exit code."""
    started = last_said = time.monotonic()
    failed: list[Verdict] = []
    notices = events = overtaken = 0
    with ExitStack() as stack:
        log = "memory"
        if options.log == "sqlite":
            log = stack.enter_context(tempfile.TemporaryDirectory(prefix="coagent-sim-"))
        systems = stack.enter_context(Systems(options.target))
        for number in range(options.runs):
            seed = options.seed + number
            kind = KINDS[seed % len(KINDS)] if options.kind == "mixed" else options.kind
            verdict = run_seed(seed, options.target, log, options.protocol, systems, kind=kind)
            notices += verdict.notifications
            events += verdict.events
            overtaken += verdict.overtaken
            if verdict.violation is not None:
                failed.append(verdict)
                _show(verdict, options)
                if options.shrink:
                    _show_small(shrink(verdict, partial(run_trial, systems=systems)))
            now = time.monotonic()
            if now - last_said > 5:
                last_said = now
                print(f"{number + 1} of {options.runs} runs, {len(failed)} failed", file=sys.stderr)
    passed = options.runs - len(failed)
    print(
        f"{passed} of {options.runs} runs ended in the serial state ({time.monotonic() - started:.0f} s; "
        f"{notices / max(options.runs, 1):.1f} notices and {events / max(options.runs, 1):.0f} events a run)"
    )
    if overtaken:
        why = "an outsider came to count below what cannot be taken back"
        print(f"{overtaken} of them were not compared: {why}")
    return 1 if failed else 0


def _show(verdict: Verdict, options: argparse.Namespace) -> None:
    extra = "".join(
        f" --{name} {value}"
        for name, value in (
            ("target", options.target),
            ("log", options.log),
            ("protocol", options.protocol),
            ("kind", verdict.trial.options.called),
        )
        if value not in ("memory", "mtpo", "plain")
    )
    print(f"seed {verdict.seed}: {verdict.violation}")
    print(f"  again: python -m coagent_lab.sim --runs 1 --seed {verdict.seed}{extra} --verbose")
    if options.verbose:
        print("\n".join(verdict.describe()))


def _show_small(verdict: Verdict) -> None:
    print(f"the smallest run found: {verdict.violation}")
    print("\n".join(verdict.describe()))


if __name__ == "__main__":
    sys.exit(main())
