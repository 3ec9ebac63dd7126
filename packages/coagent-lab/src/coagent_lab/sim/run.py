"""One simulated run: a world, a schedule and the verdict, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import anyio

from coagent_lab.sim.crash import CrashSimulation
from coagent_lab.sim.failing import keep_apart
from coagent_lab.sim.options import Kind, options_of
from coagent_lab.sim.owning import OwnersSimulation
from coagent_lab.sim.simulation import Simulation
from coagent_lab.sim.swarm import SwarmSimulation
from coagent_lab.sim.targets import Systems
from coagent_lab.sim.trial import Trial, Verdict
from coagent_lab.sim.virtual import run_virtually
from coagent_lab.sim.world import Dialect, make_world

_KINDS: dict[Kind, type[Simulation]] = {
    "crash": CrashSimulation,
    "owners": OwnersSimulation,
    "swarm": SwarmSimulation,
}


def run_seed(
    seed: int,
    dialect: Dialect = "memory",
    log: str = "memory",
    protocol: str = "mtpo",
    systems: Systems | None = None,
    *,
    kind: Kind = "plain",
    watched: bool | None = None,
) -> Verdict:
    """Run one seed and judge it.

    Args:
        seed: Everything follows from it, the world, the options and the schedule.
        dialect: Which kind of target holds the state.
        log: "memory", or a directory for SQLite logs.
        protocol: The protocol.
        systems: Where targets other than memory come from; made and closed here where it is None.
        kind: What the run is about.
        watched: Whether to check invariants and replay after every event; by default the seed decides.

    Returns:
        The verdict; it never raises for what the run did.
    """
    options = options_of(seed, dialect, log, protocol, kind)
    kind = options.kind
    if watched is not None:
        options = replace(options, watched=watched)
    failing = kind == "failing"
    declared = kind == "declared" or (kind in ("failing", "swarm") and seed % 2 == 0)
    world = make_world(
        seed, dialect, headed=options.outside > 0, declared=declared, final=kind not in ("crash", "owners")
    )
    if failing and seed % 3:
        keep_apart(world, random.Random(f"apart {seed}"))
    return run_trial(Trial(seed, options, world, seed), systems)


def run_trial(trial: Trial, systems: Systems | None = None) -> Verdict:
    """Make a run, and judge it; as `run_seed`."""
    with _given(systems, trial.options.dialect) as given:
        run = run_virtually if trial.options.kind == "swarm" else anyio.run
        return run(_KINDS.get(trial.options.kind, Simulation)(trial, given).verdict)


@contextmanager
def _given(systems: Systems | None, dialect: Dialect) -> Iterator[Systems]:
    if systems is not None:
        yield systems
    else:
        with Systems(dialect) as made:
            yield made
