"""How a world is run: everything but the world itself that follows from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from coagent_lab.sim.faults import FAULTS
from coagent_lab.sim.world import Dialect

Kind: TypeAlias = Literal[
    "plain",
    "outside",
    "early",
    "inside",
    "racing",
    "declared",
    "failing",
    "crash",
    "owners",
    "restored",
    "swarm",
]
KINDS: tuple[Kind, ...] = (
    "plain", "outside", "early", "inside", "racing", "declared", "failing", "crash", "owners", "restored",
    "swarm",
)  # fmt: skip
"""What runs are about: agents alone; outsiders who change objects; `order = "early"`; agents that join right
after others, as sub-agents do; agents that undo, amend and are ended while calls are under way; declared
tools, in both ways; live systems that fail; processes that are killed at any point; processes that are killed
or stopped at any point, whose agents others recover by their leases, and that come back; kernels restored
from checkpoints, in runs of the other kinds; and all of it in one run, on several hosts (`swarm.py`)."""

_RESTORED_KINDS: tuple[Kind, ...] = ("plain", "outside", "early", "racing", "declared", "failing")

Mode: TypeAlias = Literal["stepped", "concurrent"]


@dataclass(frozen=True)
class Options:
    """How a world is run; all but the first four follow from the seed.

    Args:
        dialect: Which kind of target holds the state.
        log: "memory", or the directory for SQLite logs.
        protocol: The protocol.
        kind: What the run is about.
        mode: "stepped": a schedule says who moves next; "concurrent": tasks of their own, over a target that
            takes its time.
        joining: "first": all join in rank order before anybody moves; "pinned": in another order, with pinned
            ranks; "late": each with its first move; "mixed": late, and some with a rank of their own;
            "inside": late, and most of them right after another one, as sub-agents do.
        patience: How long one agent tends to stay on the move (1: no longer than by chance).
        eager: Whether higher ranks tend to move first, so that nearly every call of a lower one comes late.
        idling: Whether the first agent moves only when nobody else can.
        fumbling: How likely a step is a needless one of the agent's own.
        aborting: How likely a step ends the agent from outside.
        moving: How likely it is, with a shared log, that an agent goes on in the other process.
        crashing: How likely a process is replaced by a new one that reads the log.
        outside: How likely an outsider writes before a step.
        looking: How likely it is that somebody looks for it at once.
        crashes: At how many of the points where it may, a process is killed, each in a run of its own; 0: at
            all of them.
        failing: How likely a target, or a system behind declared tools, fails.
        restoring: How likely, after an event, a kernel is restored from a checkpoint.
        faults: What may go wrong in a run of kind "swarm" (`weather.FAULTS`).
        watched: Whether invariants and the replay are checked after every event.
    """

    dialect: Dialect = "memory"
    log: str = "memory"
    protocol: str = "mtpo"
    kind: Kind = "plain"
    order: Literal["fixed", "early"] = "fixed"
    mode: Mode = "stepped"
    joining: Literal["first", "pinned", "late", "mixed", "inside"] = "first"
    patience: int = 1
    eager: bool = False
    idling: bool = False
    fumbling: float = 0.0
    aborting: float = 0.0
    moving: float = 0.0
    crashing: float = 0.0
    outside: float = 0.0
    looking: float = 0.0
    failing: float = 0.0
    crashes: int = 6
    restoring: float = 0.0
    faults: frozenset[str] = frozenset()
    watched: bool = False

    @property
    def called(self) -> Kind:
        """The kind that was asked for."""
        return "restored" if self.restoring and self.kind != "inside" else self.kind


def options_of(
    seed: int,
    dialect: Dialect = "memory",
    log: str = "memory",
    protocol: str = "mtpo",
    kind: Kind = "plain",
) -> Options:
    """Draw the options of a seed."""
    if kind == "swarm":
        rng = random.Random(f"swarm {seed}")
        share = rng.choice((0.15, 0.3, 0.6))
        faults = frozenset(fault for fault in FAULTS if rng.random() < share)
        return Options(kind=kind, order=rng.choice(("fixed", "early")), faults=faults)
    if kind == "restored":
        rng = random.Random(f"restored {seed}")
        options = options_of(seed, dialect, log, protocol, rng.choice(_RESTORED_KINDS))
        return replace(options, restoring=rng.choice((0.02, 0.1, 0.5)))
    rng = random.Random(f"options {seed}")
    options = Options(
        dialect,
        log,
        protocol,
        kind,
        joining=rng.choice(("first", "first", "pinned", "late")),
        patience=rng.choice((1, 1, 1, 3, 8)),
        eager=rng.random() < 0.25,
        fumbling=rng.choice((0.0, 0.0, 0.1, 0.3)),
        aborting=rng.choice((0.0, 0.0, 0.0, 0.02)),
        moving=rng.choice((0.0, 0.1, 0.5)),
        crashing=rng.choice((0.0, 0.0, 0.05)),
        watched=rng.random() < 0.15,
    )
    if protocol == "mtpo" and log == "memory" and dialect == "memory" and rng.random() < 0.25:
        options = replace(options, mode="concurrent", joining="first")
    if protocol != "mtpo":
        options = replace(options, fumbling=0.0, aborting=0.0, watched=False)
    return _of_kind(options, kind, rng)


def _of_kind(options: Options, kind: Kind, rng: random.Random) -> Options:
    """Return the options of a run that is about something."""
    if kind == "outside":
        options = replace(
            options,
            mode="stepped",
            order=rng.choice(("fixed", "fixed", "early")),
            outside=rng.choice((0.05, 0.2, 0.5)),
            looking=rng.choice((0.0, 0.0, 0.3, 1.0)),
        )
    if kind in ("racing", "failing") or (kind == "declared" and rng.random() < 0.7):
        options = replace(
            options,
            mode="concurrent",
            joining="first",
            order=rng.choice(("fixed", "early")),
            fumbling=rng.choice((0.0, 0.1, 0.3)),
            aborting=rng.choice((0.0, 0.2, 0.5)),
            watched=rng.random() < 0.3,
        )
    if kind == "failing":
        options = replace(
            options,
            failing=rng.choice((0.0, 0.02, 0.1)),
            fumbling=rng.choice((0.0, 0.0, 0.2)),
            aborting=rng.choice((0.0, 0.0, 0.2)),
        )
    elif kind == "declared" and options.mode != "concurrent":
        options = replace(options, mode="stepped", order=rng.choice(("fixed", "early")))
    if kind in ("crash", "owners"):
        options = replace(options, mode="stepped", crashing=0.0, watched=False)
    if kind == "inside":
        options = replace(
            options,
            mode="stepped",
            order=rng.choice(("fixed", "early")),
            joining="inside",
            aborting=rng.choice((0.0, 0.02, 0.05)),
            restoring=rng.choice((0.0, 0.0, 0.1)) if options.log == "memory" else 0.0,
        )
    if kind == "early":
        options = replace(
            options,
            mode="stepped",
            order="early",
            joining=rng.choice(("first", "first", "late", "late", "pinned", "mixed", "mixed")),
            idling=rng.random() < 0.5,
        )
    return options
