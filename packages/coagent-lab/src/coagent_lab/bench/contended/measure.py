"""Runs workloads under protocols, trial by trial, and sums up what they gave."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio

from coagent_lab.bench.contended.checks import Check
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.runner import Runner, Simulated
from coagent_lab.bench.contended.trial import Trial
from coagent_lab.bench.contended.variants import ONE
from coagent_lab.bench.contended.workload import Workload

PROTOCOLS = ("serial", "naive", "2pl", "occ", "mtpo")


@dataclass(frozen=True)
class Plan:
    """What to run.

    Args:
        workloads: Each with its family.
        protocols: Their names; "serial" is run in any case, to compare with.
        trials: How many seeds a workload and protocol.
        runner: What stands behind the agents.
        seed: The first seed.
    """

    workloads: Sequence[tuple[Workload, Family]]
    protocols: Sequence[str] = PROTOCOLS
    trials: int = 20
    runner: Runner = field(default_factory=Simulated)
    seed: int = 0


class Lane(NamedTuple):
    """What one agent did: (seconds, kind of event), in order."""

    agent: str
    events: list[tuple[float, str]]


@dataclass
class Measured:
    """What was measured.

    Args:
        plan: What was run.
        trials: Workload and protocol to trials.
        failures: Workload to why it could not be run at all.
    """

    plan: Plan
    trials: dict[tuple[str, str], list[Trial]]
    failures: dict[str, str]

    def protocols_of(self, workload: str) -> dict[str, dict[str, Any]]:
        """Return the figures of a workload, by protocol."""
        return {
            protocol: _figures(trials, self.trials[workload, "serial"])
            for (one, protocol), trials in self.trials.items()
            if one == workload
        }

    def timelines(self, workload: str) -> dict[str, list[Lane]]:
        """Return what each agent did and when, by protocol, in the first trial of a workload."""
        return {
            protocol: [
                Lane(agent.name, [(event.time_s, event.kind) for event in agent.tally.timeline])
                for agent in trials[0].agents
            ]
            for (one, protocol), trials in self.trials.items()
            if one == workload
        }

    def as_data(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        ids = list(dict.fromkeys(workload for workload, _ in self.trials))
        workloads: list[dict[str, Any]] = [{"id": one, "protocols": self.protocols_of(one)} for one in ids]
        return {
            "parameters": {
                "trials": self.plan.trials,
                "first_seed": self.plan.seed,
                "protocols": list(self.plan.protocols),
                **self.plan.runner.parameters(),
            },
            "workloads": workloads,
            "failed_workloads": self.failures,
            "summary": {
                protocol: _mean(
                    [one["protocols"][protocol] for one in workloads if protocol in one["protocols"]]
                )
                for protocol in self.plan.protocols
            },
        }


async def measure(plan: Plan, progress: Callable[[str, str, int], None]) -> Measured:
    """Run a plan.

    Args:
        plan: What to run.
        progress: Called before each trial with workload, protocol and the number of trials done.
    """
    measured = Measured(plan, {}, {})
    protocols = list(dict.fromkeys(["serial", *plan.protocols]))
    done = 0
    for workload, family in plan.workloads:
        check = Check(workload)
        for protocol in protocols:
            trials = []
            for seed in range(plan.seed, plan.seed + plan.trials):
                progress(workload.id, protocol, done)
                trial = await _bounded(workload, family, protocol, seed, plan)
                trial.accepted = None if trial.failure else check.accepts(trial.final)
                trials.append(trial)
                done += 1
            measured.trials[workload.id, protocol] = trials
            if protocol == "serial" and plan.runner.exact and (fault := _unsound(workload, trials)):
                measured.failures[workload.id] = fault
                del measured.trials[workload.id, "serial"]
                done += plan.trials * (len(protocols) - 1)
                break
    return measured


async def _bounded(workload: Workload, family: Family, protocol: str, seed: int, plan: Plan) -> Trial:
    runner = plan.runner
    with anyio.move_on_after(math.inf if runner.seconds_max is None else runner.seconds_max):
        return await runner.run(workload, family, protocol, seed)
    return Trial(
        workload.id,
        protocol,
        seed,
        failure=f"it did not end within {runner.seconds_max:.0f} seconds of real time",
    )


def _unsound(workload: Workload, trials: Iterable[Trial]) -> str:
    """Say why a workload cannot be judged: its agents alone fail, or do not lead where it says."""
    for trial in trials:
        if trial.failure:
            return f"its agents fail even one after another: {trial.failure}"
        if not trial.serial_in_order:
            names = ", ".join(agent.name for agent in workload.agents)
            return f"its agents one after another ({names}) do not lead to the final state that it gives"
    return ""


def _figures(trials: Sequence[Trial], serial: Sequence[Trial]) -> dict[str, Any]:
    ended = [one for one in trials if not one.failure] or list(trials)
    serial = [one for one in serial if not one.failure] or list(serial)

    def mean(name: str, of: Sequence[Trial]) -> float:
        return statistics.fmean(float(getattr(one, name)) for one in of)

    makespan = mean("makespan_s", ended)
    bound = mean("busy_s", serial)
    return {
        "trials": len(trials),
        "serial_in_order": mean("serial_in_order", trials),
        "serial_any_order": mean("serial_any_order", trials),
        "accepted": _share([one.accepted for one in trials]),
        "makespan_s": round(makespan, 3),
        "speedup": _ratio(mean("makespan_s", serial), makespan),
        "bound_s": round(bound, 3),
        "over_bound": _ratio(makespan, bound),
        "done_with_same_tokens": round(_done(ended, serial), 4),
        "tokens_ratio": _ratio(mean("tokens", ended), mean("tokens", serial)),
        "tokens_ratio_cached": _ratio(mean("cached_tokens", ended), mean("cached_tokens", serial)),
        "notifications": mean("notifications", ended),
        "false_notices": _false_share(ended),
        "judgings": mean("judgings", ended),
        "amended": mean("amended", ended),
        "aborts": mean("aborts", ended),
        "deadlocks": mean("deadlocks", ended),
        "failed": sum(bool(one.failure) for one in trials),
        "failures": sorted({one.failure for one in trials if one.failure}),
    }


def _false_share(trials: Sequence[Trial]) -> float | None:
    """Return the share of notices after which nothing had to be changed; None where there was no notice."""
    told = sum(one.notifications for one in trials)
    return round(sum(one.false_notices for one in trials) / told, 4) if told else None


def _done(trials: Sequence[Trial], serial: Sequence[Trial]) -> float:
    """Return the share of its calls that one agent has made when it has used the tokens of the several.

    These have done all of their work with them, which is what it says of protocols.
    """
    tokens = {one.seed: one.tokens for one in serial}
    shares = [
        sum(spent <= tokens[one.seed] for spent in one.spent) / len(one.spent)
        for one in trials
        if one.protocol == ONE and one.spent and one.seed in tokens
    ]
    return statistics.fmean(shares) if shares else 1.0


def _ratio(one: float, other: float) -> float:
    return round(one / other, 4) if other else 0.0


def _share(judged: Sequence[bool | None]) -> float | None:
    """Return the share of what was judged that was accepted; None where nothing was judged."""
    known = [one for one in judged if one is not None]
    return sum(known) / len(known) if known else None


_MAY_BE_UNKNOWN = ("accepted", "false_notices")


def _mean(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean over workloads of every figure, each workload counting the same."""
    if not figures:
        return {}
    names = [name for name in figures[0] if name not in ("failures", *_MAY_BE_UNKNOWN)]
    means: dict[str, Any] = {
        name: round(statistics.fmean(float(one[name]) for one in figures), 4) for name in names
    }
    for name in _MAY_BE_UNKNOWN:
        known = [one[name] for one in figures if one[name] is not None]
        means[name] = round(statistics.fmean(known), 4) if known else None
    return means | {
        "trials": sum(one["trials"] for one in figures),
        "failed": sum(one["failed"] for one in figures),
    }
