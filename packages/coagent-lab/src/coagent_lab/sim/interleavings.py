"""Every interleaving of a small case, none left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from coagent.agents.scripted import Program, ScriptedAgent
from coagent.protocol.values import Value
from coagent.runtime.domain import open_domain
from coagent.targets.memory import Memory
from coagent_lab.sim.check import check_notices, check_outcome
from coagent_lab.sim.ledger import Ledger
from coagent_lab.sim.oracle import run_serially
from coagent_lab.sim.order import check_order, check_waiting
from coagent_lab.sim.stepper import Stepper
from coagent_lab.sim.targets import Still
from coagent_lab.sim.tools import TOOLS, outbox


@dataclass(frozen=True)
class Interleaving:
    """One way in which the agents may come to move.

    Args:
        schedule: The agents in the order of their steps.
        live: The state at the end.
        effects: The irreversible effects.
        notifications: How many notices there were.
        ended: The agents in the order in which they ended.
        violation: How it differs from the serial run; None where it does not.
    """

    schedule: tuple[str, ...]
    live: dict[str, Value]
    effects: list[tuple[str, str, Any]]
    notifications: int
    ended: tuple[str, ...]
    violation: str | None


async def interleavings(
    initial: Mapping[str, Value],
    programs: Mapping[str, Program],
    *,
    protocol: str = "mtpo",
    order: Literal["fixed", "early"] = "fixed",
    pinned: Collection[str] = (),
) -> AsyncIterator[Interleaving]:
    """Run the programs under every schedule of single steps, repairs included.

    An agent whose program has ended finishes along with its last step.

    Args:
        initial: The state before.
        programs: Agent to program, in rank order; they use the simulated world's tools.
        protocol: The protocol.
        order: As for `open_domain`.
        pinned: The agents that ask for their ranks.
    """
    case = _Case(initial, programs, protocol, order, pinned)
    choices: list[int] = []
    while True:
        widths: list[int] = []
        yield await _run(case, choices, widths)
        # The next path: go on from the last step at which there is another choice left.
        choices = choices + [0] * (len(widths) - len(choices))
        while choices and choices[-1] + 1 >= widths[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1


class _Case(NamedTuple):
    initial: Mapping[str, Value]
    programs: Mapping[str, Program]
    protocol: str
    order: Literal["fixed", "early"]
    pinned: Collection[str]


async def _run(case: _Case, choices: list[int], widths: list[int]) -> Interleaving:
    effects: list[tuple[str, str, Any]] = []
    outbox.set(effects)
    target = Memory(case.initial, schemes=("kv", "txt"))
    ledger = Ledger(case.initial, lambda key: None)
    schedule: list[str] = []
    violation = None
    async with open_domain(
        "memory:", targets=[target], tools=TOOLS, protocol=case.protocol, order=case.order, clock=Still()
    ) as domain:
        domain.observe(ledger.take)
        steppers = [Stepper(domain, ScriptedAgent(name, program)) for name, program in case.programs.items()]
        for rank, stepper in enumerate(steppers):
            await stepper.join(rank if stepper.agent.name in case.pinned else None)
        while not all(stepper.ended for stepper in steppers):
            movable = [stepper for stepper in steppers if stepper.may_step()]
            assert movable, "the agents wait for each other"
            assert len(widths) < 1000, "no quiescence"
            chosen = movable[choices[len(widths)] if len(widths) < len(choices) else 0]
            widths.append(len(movable))
            schedule.append(chosen.agent.name)
            did = await chosen.step()
            if case.protocol == "mtpo":
                domain.kernel.check_invariants()
            if chosen.may_step() and chosen.run.walker.idle and chosen.run.walker.failure is None:
                did = await chosen.step()
            try:
                if did == "finished" and case.protocol == "mtpo":
                    check_waiting(ledger, chosen.run.session.rank, case.order)
            except AssertionError as failure:
                violation = violation or str(failure)
        live = target.snapshot()
    for stepper in steppers:
        if stepper.run.report.state == "active":
            stepper.run.ended("committed")
    reports = [stepper.run.report for stepper in steppers]
    early = case.order == "early"
    ended = tuple(agent.name for agent in ledger.ended) if early else tuple(case.programs)
    serial = run_serially(case.initial, [(name, case.programs[name]) for name in ended], TOOLS)
    try:
        check_outcome(live, effects, reports, serial, (), grouped=early)
        if not early:
            check_notices(reports)
        check_order(ledger, case.order)
    except AssertionError as failure:
        violation = violation or str(failure)
    notifications = sum(report.tally.notifications for report in reports)
    return Interleaving(tuple(schedule), live, effects, notifications, ended, violation)
