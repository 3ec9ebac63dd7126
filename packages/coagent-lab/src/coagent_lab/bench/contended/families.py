"""What differs between the families of workloads: objects, tools, and how a final state is written down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coagent.errors import ConfigurationError
from coagent.protocol.values import Value
from coagent.targets.base import Target
from coagent.targets.memory import Memory
from coagent_lab.bench.contended import cluster, coding, office
from coagent_lab.bench.contended.workload import Workload

SQLITE = "sqlite"


@dataclass(frozen=True)
class Family:
    """One family, for one workload.

    Args:
        objects: The initial state, for targets in memory.
        tools: What agents call.
        final: Turns a snapshot of the live state into the workload's form of a final state.
        canonical: Brings a final state of the file into the form in which two are compared.
        target: Opens the target of one trial, in memory by default.
    """

    objects: dict[str, Value]
    tools: tuple[Any, ...]
    final: Callable[[dict[str, Value]], Value]
    canonical: Callable[[Value], Value] = lambda final: final
    target: Callable[[], AbstractContextManager[Target]] | None = None

    def open_target(self) -> AbstractContextManager[Target]:
        """Return the live state of one trial."""
        return self.target() if self.target is not None else nullcontext(Memory(self.objects))


def family_of(workload: Workload, workbench: Path | None, sql: str | None = None) -> Family:
    """Return the family of a workload.

    Args:
        workload: The workload.
        workbench: A folder with the office data; by default `data/workbench` beside the file.
        sql: "sqlite" or a `postgresql://` URL: the database on which SQL and office workloads run. By default
            SQL workloads run on SQLite, and offices in memory.

    Raises:
        ConfigurationError: The office data are not there, or the initial state lacks a part.
    """
    try:
        if workload.family == "coding":
            return Family(coding.initial(workload.initial_state), coding.TOOLS, coding.final)
        if workload.family == "k8s":
            return Family(cluster.initial(workload.initial_state), cluster.TOOLS, cluster.final)
        if workload.family == "workbench":
            return on_database(_office(workload, workbench), sql)
        return _database(workload, None if sql == SQLITE else sql)
    except KeyError as error:
        raise ConfigurationError(
            f"workload {workload.id!r}: initial_state lacks {error}", "Add it to the file."
        ) from None


def on_database(family: Family, sql: str | None) -> Family:
    """Return a family whose objects are rows, on a real database; unchanged where none is named."""
    if sql is None:
        return family
    from coagent_lab.bench.contended import database

    script = database.script_of(family.objects)
    url = None if sql == SQLITE else sql
    return replace(family, target=lambda: database.database(script, url))


def _database(workload: Workload, url: str | None) -> Family:
    from coagent_lab.bench.contended import database

    script = workload.initial_state["sql"]
    return Family(
        {},
        database.tools(url),
        database.final,
        database.canonical,
        lambda: database.database(script, url),
    )


def _office(workload: Workload, workbench: Path | None) -> Family:
    folder = workbench or workload.folder / "data" / "workbench"
    if not (folder / "calendar_events.csv").is_file():
        raise ConfigurationError(
            f"workload {workload.id!r} needs the office data, which are not in {str(folder)!r}",
            "Name their folder with --workbench DIR.",
        )
    objects = office.initial(folder, workload.now)
    return Family(objects, office.TOOLS, lambda snapshot: office.final(snapshot, objects))
