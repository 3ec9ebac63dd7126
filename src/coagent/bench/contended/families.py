"""What differs between the families of workloads: objects, tools, and how a final state is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coagent.bench.contended import cluster, coding, office
from coagent.bench.contended.workload import Workload
from coagent.errors import ConfigurationError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


@dataclass(frozen=True)
class Family:
    """One family, for one workload.

    Args:
        objects: The initial state.
        tools: What agents call.
        final: Turns a snapshot of the live state into the workload's form of a final state.
    """

    objects: dict[Key, Value]
    tools: tuple[Any, ...]
    final: Callable[[dict[Key, Value]], Value]


def family_of(workload: Workload, workbench: Path | None) -> Family:
    """Return the family of a workload.

    Args:
        workload: The workload.
        workbench: A folder with the office data; by default `data/workbench` beside the file.

    Raises:
        ConfigurationError: The office data are not there, or the initial state lacks a part.
    """
    try:
        if workload.family == "coding":
            return Family(coding.initial(workload.initial_state), coding.TOOLS, coding.final)
        if workload.family == "k8s":
            return Family(cluster.initial(workload.initial_state), cluster.TOOLS, cluster.final)
        if workload.family == "workbench":
            return _office(workload, workbench)
        from coagent.bench.contended import database

        return Family(*database.parts(workload))
    except KeyError as error:
        raise ConfigurationError(
            f"workload {workload.id!r}: initial_state lacks {error}", "Add it to the file."
        ) from None


def _office(workload: Workload, workbench: Path | None) -> Family:
    folder = workbench or workload.folder / "data" / "workbench"
    if not (folder / "calendar_events.csv").is_file():
        raise ConfigurationError(
            f"workload {workload.id!r} needs the office data, which are not in {str(folder)!r}",
            "Name their folder with --workbench DIR.",
        )
    objects = office.initial(folder, workload.now)
    return Family(objects, office.TOOLS, lambda snapshot: office.final(snapshot, objects))
