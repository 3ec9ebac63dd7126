"""`python tests/crashes/crashes.py`: kill and stop real processes at random points, and judge what is left.

One line for each run that fails, and how often what was done to processes at the end. `--broken NAME` breaks
the product on purpose (`crash_breaks.py`); then runs fail, or the test is good for nothing.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    _TESTS = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(_TESTS / "crashes"), str(_TESTS / "systems" / "sql")]

from crash_breaks import BREAKS
from crash_plan import LOGS, POINTS, TARGETS, WAYS, Wanted, plan_of
from crash_run import Run
from crash_systems import Systems


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 all runs are right, 1 some are not."""
    parser = argparse.ArgumentParser(prog="crashes", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="how many seeds (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only these systems")
    parser.add_argument("--log", choices=LOGS, action="append", help="only these logs")
    parser.add_argument("--processes", type=int, choices=(1, 2, 3), action="append", help="only so many")
    parser.add_argument("--point", choices=POINTS, action="append", help="shots only there")
    parser.add_argument("--way", choices=WAYS, help="only kills, or only stops")
    parser.add_argument("--broken", choices=sorted(BREAKS), default="", help="what is broken on purpose")
    parser.add_argument("--keep", type=Path, help="where the files of runs that fail are kept")
    parser.add_argument("--verbose", action="store_true", help="say what each run is")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are ended too
    wanted = Wanted(
        options.target or TARGETS,
        options.log or LOGS,
        options.processes or (1, 2, 3),
        options.point or POINTS,
        (options.way,) if options.way else WAYS,
    )
    began_s = said_s = time.monotonic()
    failed = 0
    done: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="coagent-crashes-") as name, Systems(Path(name)) as systems:
        for seed in range(options.seed, options.seed + options.runs):
            plan = plan_of(seed, wanted)
            folder = Path(name) / f"run-{seed}"
            one_s = time.monotonic()
            result = Run(plan, systems, folder, options.broken).make()
            done += result.done
            kinds.update((f"{plan.target} on {plan.log}", f"{len(plan.agents)} processes"))
            if options.verbose:
                print(
                    f"seed {seed}: {plan}: {dict(result.done)}, {result.events} events, "
                    f"{time.monotonic() - one_s:.1f} s",
                    flush=True,
                )
            if result.faults:
                failed += 1
                print(f"seed {seed} fails ({plan}): {' | '.join(result.faults)}", flush=True)
                if options.keep is not None:
                    shutil.copytree(folder, options.keep / f"run-{seed}", dirs_exist_ok=True, symlinks=True)
            shutil.rmtree(folder, ignore_errors=True)
            if time.monotonic() - said_s > 10:
                said_s = time.monotonic()
                print(f"{seed - options.seed + 1} of {options.runs} runs, {failed} failed", file=sys.stderr)
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items())))
    print(", ".join(f"{what}: {count}" for what, count in sorted(done.items())))
    print(f"{options.runs - failed} of {options.runs} runs are right ({time.monotonic() - began_s:.0f} s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
