"""The ten workloads of the benchmark, and a few beyond them: five cluster incidents and five of an office."""

from __future__ import annotations

from functools import partial

from coagent.bench.contended import cluster, office
from coagent.bench.contended.families import Family
from coagent.bench.contended.incidents import incidents
from coagent.bench.contended.office_cases import office_cases
from coagent.bench.contended.scenario import workload_of
from coagent.bench.contended.workload import Workload


async def the_ten() -> list[tuple[Workload, Family]]:
    """Return the ten, each with its family."""
    found = [await workload_of(one, "k8s", cluster.TOOLS, cluster.final) for one in incidents()]
    for one in office_cases():
        final = partial(office.final, initial=one.objects)
        found.append(await workload_of(one, "workbench", office.TOOLS, final))
    return found
