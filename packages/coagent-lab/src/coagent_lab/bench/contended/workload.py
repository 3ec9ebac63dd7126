"""Workload files (schema `coagent-workload/1`): the state to start from, tools, agents and serial outcomes.

A file holds the reference agents as Python source, which a run executes: run only files from a directory
whose author you trust.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coagent.errors import ConfigurationError

SCHEMA = "coagent-workload/1"
FAMILIES = ("workbench", "k8s", "coding", "sql")
Program: TypeAlias = Callable[[], Generator[tuple[str, dict[str, Any]], Any, None]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class ToolSpec(_Part):
    """A tool as the file describes it."""

    name: str
    kind: Literal["read", "write"]
    signature: str = ""


class AgentSpec(_Part):
    """An agent: the goal for a model, and the reference policy that stands in for one."""

    name: str
    goal: str
    params: dict[str, Any] = {}
    policy_function: str
    policy_source: str


class SerialRun(_Part):
    """What the agents one after another, in one order, lead to."""

    order: list[str]
    final: Any


class Workload(_Part):
    """One workload."""

    schema_: str = Field(alias="schema")
    id: str
    family: Literal["workbench", "k8s", "coding", "sql"]
    title: str = ""
    arity: int
    conflict_kind: str = ""
    initial_state: dict[str, Any]
    tools: list[ToolSpec]
    agents: list[AgentSpec] = Field(min_length=1)
    serial: list[SerialRun] = Field(min_length=1)
    check: dict[str, Any] = {}
    folder: Path = Path()
    programs: dict[str, Any] = Field(default={}, repr=False)
    """Reference policies as functions, for workloads that come with the project."""

    @property
    def now(self) -> str:
        """The clock of the scenario; `2023-11-30 00:00:00` unless the file says otherwise."""
        found = re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", str(self.initial_state.get("now", "")))
        return found[0] if found else "2023-11-30 00:00:00"

    @property
    def order(self) -> list[str]:
        """The agents whose serial run in the order of ranks is right: all but one that dies on the way."""
        serial = set(self.serial[0].order)
        return [agent.name for agent in self.agents if agent.name in serial]

    def program(self, agent: AgentSpec) -> Program:
        """Return the agent's reference policy as a program; this executes the source in the file.

        Raises:
            ConfigurationError: The source does not define the function it names.
        """
        if agent.name in self.programs:
            return self.programs[agent.name]  # type: ignore[no-any-return]
        namespace: dict[str, Any] = {"NOW": self.now}
        try:
            exec(f"import json, re\n{agent.policy_source}", namespace)
            function = namespace[agent.policy_function]
        except Exception as error:
            raise ConfigurationError(
                f"workload {self.id!r}: the policy of agent {agent.name!r} cannot be loaded "
                f"({type(error).__name__}: {error})",
                "Correct policy_source and policy_function in the file.",
            ) from None
        params = json.dumps(agent.params)  # each run gets its own copy
        return lambda: function(json.loads(params))

    def final(self, order: list[str]) -> Any | None:
        """Return the final state of a serial order, if the file has it."""
        return next((run.final for run in self.serial if run.order == order), None)


def load(path: Path) -> Workload:
    """Read a workload file.

    Raises:
        ConfigurationError: It is no JSON, of another schema, or lacks a field; the message names both.
    """
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"workload file {str(path)!r} cannot be read: {error}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise ConfigurationError(
            f"workload file {str(path)!r} has schema {found!r}", f"This version reads {SCHEMA!r}."
        )
    try:
        workload = Workload.model_validate({**data, "folder": path.parent})
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)[:5]
        )
        raise ConfigurationError(f"workload file {str(path)!r}: {faults}", "Correct these fields.") from None
    _check(workload, path)
    return workload


def _check(workload: Workload, path: Path) -> None:
    names = [agent.name for agent in workload.agents]
    if len(set(names)) != len(names) or len(names) != workload.arity:
        raise ConfigurationError(
            f"workload file {str(path)!r}: arity {workload.arity}, but agents {', '.join(names)}",
            "Give each agent a name of its own, and arity their number.",
        )
    for run in workload.serial:
        if sorted(run.order) != sorted(names):
            raise ConfigurationError(
                f"workload file {str(path)!r}: serial order {run.order} is no order of {names}",
                "Each serial run names every agent once.",
            )


def files(folder: Path) -> Iterator[Path]:
    """Yield the workload files of a directory: the `*.json` that claim the schema, or any workload schema.

    Raises:
        ConfigurationError: It is no directory, or holds no workload.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"there is no directory {str(folder)!r}", "Name one that holds workload files."
        )
    found = False
    for path in sorted(folder.glob("*.json")):
        head = path.read_text(errors="replace")[:2000]
        if '"coagent-' in head and '"coagent-workload/' not in head:
            continue  # another kind of file of ours, such as the bash tasks
        found = True
        yield path
    if not found:
        raise ConfigurationError(f"directory {str(folder)!r} holds no workload (*.json)")
