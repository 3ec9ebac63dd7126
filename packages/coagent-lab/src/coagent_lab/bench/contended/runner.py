"""What stands behind the agents of a trial: simulated ones, or real models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from coagent_lab.bench.contended.agent import DETECTED_S
from coagent_lab.bench.contended.costs import Costs
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.judging import Judging
from coagent_lab.bench.contended.trial import Trial, run_trial
from coagent_lab.bench.contended.variants import ONE, as_one, without_first
from coagent_lab.bench.contended.workload import Workload


class Runner(Protocol):
    """Runs trials."""

    @property
    def exact(self) -> bool:
        """Whether its agents are right when alone, so that serial runs must lead where the file says."""
        ...

    @property
    def seconds_max(self) -> float | None:
        """Real time after which a trial is given up; None: its agents have budgets of their own."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """Return what the results depend on, as JSON data."""
        ...

    async def run(self, workload: Workload, family: Family, protocol: str, seed: int) -> Trial:
        """Run one trial; whatever fails is noted in it."""
        ...


@dataclass(frozen=True)
class Simulated:
    """Reference policies whose thinking takes time and tokens on a virtual clock.

    Args:
        costs: What thinking costs.
        judging: How notices are judged.
        dies: Whether the first agent's process dies midway.
        exact: They are right when alone.
        seconds_max: Real time after which a trial is given up.
    """

    costs: Costs = field(default_factory=Costs)
    judging: Judging = field(default_factory=Judging)
    dies: bool = False
    exact: bool = True
    seconds_max: float | None = 60.0

    def parameters(self) -> Mapping[str, Any]:
        return {
            "agents": "simulated: reference policies on a virtual clock",
            "costs": self.costs.as_dict(),
            "judging": self.judging.as_dict(),
            **({"dies": f"the first agent, midway; seen after {DETECTED_S:.0f} s"} if self.dies else {}),
        }

    async def run(self, workload: Workload, family: Family, protocol: str, seed: int) -> Trial:
        dies_after = None
        if self.dies:
            workload, dies_after = await without_first(workload, family)
        if protocol == ONE:
            trial = await run_trial(as_one(workload), family, "serial", seed, self.costs, self.judging)
            trial.protocol = ONE
            return trial
        return await run_trial(workload, family, protocol, seed, self.costs, self.judging, dies_after)
