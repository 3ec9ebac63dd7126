"""Every interleaving of a small case, none left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from coagent.agents.scripted import Program, ScriptedAgent
from coagent.protocol.values import Value
from coagent.runtime.domain import open_domain
from coagent.sim.check import check_notices, check_outcome
from coagent.sim.oracle import SerialRun, run_serially
from coagent.sim.stepper import Stepper
from coagent.sim.tools import TOOLS, outbox
from coagent.targets.memory import Memory


@dataclass(frozen=True)
class Interleaving:
    """One way in which the agents may come to move.

    Args:
        schedule: The agents in the order of their steps.
        live: The state at the end.
        effects: The irreversible effects.
        notifications: How many notices there were.
        violation: How it differs from the serial run; None where it does not.
    """

    schedule: tuple[str, ...]
    live: dict[str, Value]
    effects: list[tuple[str, str, Any]]
    notifications: int
    violation: str | None


async def interleavings(
    initial: Mapping[str, Value], programs: Mapping[str, Program], *, protocol: str = "mtpo"
) -> AsyncIterator[Interleaving]:
    """Run the programs under every schedule of single steps, repairs included.

    An agent whose program has ended finishes along with its last step.

    Args:
        initial: The state before.
        programs: Agent to program, in rank order; they use the simulated world's tools.
        protocol: The protocol.
    """
    serial = run_serially(initial, programs.items(), TOOLS)
    choices: list[int] = []
    while True:
        widths: list[int] = []
        yield await _run(initial, programs, protocol, serial, choices, widths)
        # The next path: go on from the last step at which there is another choice left.
        choices = choices + [0] * (len(widths) - len(choices))
        while choices and choices[-1] + 1 >= widths[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1


async def _run(
    initial: Mapping[str, Value],
    programs: Mapping[str, Program],
    protocol: str,
    serial: SerialRun,
    choices: list[int],
    widths: list[int],
) -> Interleaving:
    effects: list[tuple[str, str, Any]] = []
    outbox.set(effects)
    target = Memory(initial, schemes=("kv", "txt"))
    schedule: list[str] = []
    async with open_domain("memory:", targets=[target], tools=TOOLS, protocol=protocol) as domain:
        steppers = [Stepper(domain, ScriptedAgent(name, program)) for name, program in programs.items()]
        for stepper in steppers:
            await stepper.join()
        while not all(stepper.ended for stepper in steppers):
            movable = [stepper for stepper in steppers if stepper.may_step()]
            assert movable, "the agents wait for each other"
            assert len(widths) < 1000, "no quiescence"
            chosen = movable[choices[len(widths)] if len(widths) < len(choices) else 0]
            widths.append(len(movable))
            schedule.append(chosen.agent.name)
            await chosen.step()
            domain.kernel.check_invariants()
            if chosen.may_step() and chosen.run.walker.idle and chosen.run.walker.failure is None:
                await chosen.step()
        live = target.snapshot()
    for stepper in steppers:
        if stepper.run.report.state == "active":
            stepper.run.ended("committed")
    reports = [stepper.run.report for stepper in steppers]
    violation = None
    try:
        check_outcome(live, effects, reports, serial, ())
        check_notices(reports)
    except AssertionError as failure:
        violation = str(failure)
    notifications = sum(report.tally.notifications for report in reports)
    return Interleaving(tuple(schedule), live, effects, notifications, violation)
