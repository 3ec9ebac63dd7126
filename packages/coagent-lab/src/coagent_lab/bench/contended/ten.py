"""The ten workloads of the benchmark, and a few beyond them: five cluster incidents and five of an office."""

from __future__ import annotations

from functools import partial

from coagent_lab.bench.contended import cluster, office
from coagent_lab.bench.contended.families import Family, on_database
from coagent_lab.bench.contended.incidents import incidents
from coagent_lab.bench.contended.office_cases import office_cases
from coagent_lab.bench.contended.scenario import workload_of
from coagent_lab.bench.contended.workload import Workload


async def the_ten(sql: str | None = None) -> list[tuple[Workload, Family]]:
    """Return the ten, each with its family.

    Args:
        sql: "sqlite" or a `postgresql://` URL, to run the office on a real database; in memory by default.
    """
    found = [await workload_of(one, "k8s", cluster.TOOLS, cluster.final) for one in incidents()]
    for one in office_cases():
        final = partial(office.final, initial=one.objects)
        workload, family = await workload_of(one, "workbench", office.TOOLS, final)
        found.append((workload, on_database(family, sql)))
    return found
