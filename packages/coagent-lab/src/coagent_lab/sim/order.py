"""Who may end before whom (rules 7 and 10), judged by footprints that the ledger has seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from coagent_lab.sim.check import Violation
from coagent_lab.sim.ledger import Agent, Ledger


def check_order(ledger: Ledger, order: str) -> None:
    """Check that nobody has come before somebody at work who may not be passed.

    Args:
        ledger: Knows who has passed whom, by what they were then.
        order: Of the domain.

    Raises:
        Violation: Somebody has.
    """
    for agent, other in ledger.overtakes:
        if order == "fixed" or agent.pinned or other.pinned:
            raise Violation(f"{agent.name} has passed {other.name}, which it may not")
    for agent, other in ledger.rushes:
        raise Violation(f"{agent.name} has committed before {other.name}, which comes first")


def check_waiting(ledger: Ledger, rank: int, order: str) -> None:
    """Check that an agent that has finished, and been told nothing, waits for somebody.

    Raises:
        Violation: It waits for nobody that it has anything to do with.
    """
    agent = ledger.agents[rank]
    below = [
        other
        for other in ledger.agents.values()
        if not other.ended and other.order < agent.order and other is not agent
    ]
    if order == "fixed" or agent.pinned or any(other.pinned for other in below):
        held_up = bool(below)
    else:
        staged = any(call.staged for call in agent.calls.values())
        held_up = any(_conflict(agent, other) or (staged and other.paid) for other in below)
    if not held_up:
        raise Violation(
            f"{agent.name} has finished and waits, though it has nothing to do with "
            f"{[other.name for other in below]}, which come before it"
        )


def _conflict(one: Agent, other: Agent) -> bool:
    return _writes_what(one, other) or _writes_what(other, one)


def _writes_what(writer: Agent, reader: Agent) -> bool:
    """Tell whether one agent writes what another one has read, found, or written."""
    written: set[str] = {key for call in writer.calls.values() for key in call.writes}
    touched: set[str] = {key for call in reader.calls.values() for key, _ in call.observation.reads}
    touched |= {key for call in reader.calls.values() for key in call.writes}
    return bool(written & touched) or any(_covers(scan, key) for scan in _scans(reader) for key in written)


def _scans(agent: Agent) -> Iterator[Any]:
    for call in agent.calls.values():
        yield from call.observation.scans


def _covers(scan: Any, key: str) -> bool:
    if not key.startswith(scan.prefix):
        return False
    wanted = None if scan.glob is None else re.escape(scan.glob).replace(r"\*", "[^/]*")
    return wanted is None or re.fullmatch(wanted, key.partition(":")[2]) is not None
