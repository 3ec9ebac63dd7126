"""What stands behind the agents of a trial: simulated ones, or real models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from coagent_lab.bench.contended.costs import Costs
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.judging import Judging
from coagent_lab.bench.contended.trial import Trial, run_trial
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
    """Reference policies whose thinking takes time and tokens on a virtual clock."""

    costs: Costs = field(default_factory=Costs)
    judging: Judging = field(default_factory=Judging)
    exact: bool = True
    seconds_max: float | None = 60.0

    def parameters(self) -> Mapping[str, Any]:
        return {
            "agents": "simulated: reference policies on a virtual clock",
            "costs": self.costs.as_dict(),
            "judging": self.judging.as_dict(),
        }

    async def run(self, workload: Workload, family: Family, protocol: str, seed: int) -> Trial:
        return await run_trial(workload, family, protocol, seed, self.costs, self.judging)
