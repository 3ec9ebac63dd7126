"""What is not touched because nobody knows what is there: a person decides first."""

from __future__ import annotations

from collections.abc import Iterable

from coagent.errors import TargetError
from coagent.protocol.calls import Call, Footprint
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.phases import CallPhase


def stuck_in(kernel: Kernel, footprint: Footprint) -> Key | None:
    """Return a stuck object that a call touches."""
    stuck = kernel.stuck
    if not stuck:
        return None
    touched = footprint.reads | footprint.writes
    return next(
        (key for key in stuck if key in touched or any(scan.covers(key) for scan in footprint.scans)),
        None,
    )


def refuse_stuck(kernel: Kernel, footprint: Footprint) -> None:
    """Refuse to touch what is stuck.

    Raises:
        TargetError: Something is.
    """
    key = stuck_in(kernel, footprint)
    if key is not None:
        raise TargetError(
            f"what {key!r} holds is not known: {kernel.stuck[key]}",
            "A person has to decide what becomes of it: coagent resolve.",
        )


def refuse_unknown(calls: Iterable[Call]) -> None:
    """Refuse to touch, or to take back, what a call has to do with that may have run or not.

    Raises:
        TargetError: There is one.
    """
    for call in calls:
        if call.phase is CallPhase.UNKNOWN:
            raise TargetError(
                f"nobody knows whether call {call.id!r} ({call.tool}) has run: its process has died",
                f"A person has to decide: coagent resolve {call.id}",
            )
