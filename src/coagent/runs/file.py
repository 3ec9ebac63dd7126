"""The run file: what may stand in it, and what is wrong with it, by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from coagent.config.explain import read_toml
from coagent.config.targets import TargetTable
from coagent.config.telemetry import TelemetryTable
from coagent.config.tools import ToolsTable
from coagent.protocol.calls import parsed_call_id
from coagent.runtime.orders import Order
from coagent.runtime.protocols import PROTOCOLS
from coagent.systems.base import Table


class ModelTable(Table):
    """A model under a name of the file's own.

    Args:
        model: `provider:name`, or with `base_url` the name by which that server knows it.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        api_key_env: The environment variable that holds its key; by default the provider's own, and none for
            a `base_url`.
        temperature: How freely it answers; by default the server's own.
        max_tokens: How long one answer may be; by default the server's own.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)


class BudgetTable(Table):
    """What an agent may spend before it is stopped and all that it wrote is withdrawn.

    Args:
        requests: Answers of the model; 60 by default.
        tokens: Input and output tokens together; 1,000,000 by default.
        calls: Calls, undos and amendments; 300 by default.
        seconds: Time at work; 1800 by default. Waiting for the agents that come before is free.
    """

    requests: int | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    calls: int | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0)


class AgentTable(Table):
    """One agent: `goal` and `model`, or `script`.

    Args:
        name: What it is called in notices, reports and the log.
        rank: Its place in the order: agents with a rank come first, the others as they stand in the file.
        goal: What it is to reach.
        model: A name under `[models]`, or `provider:name`.
        instructions: What its model is told beside the goal.
        tools: The tools that it may use; all by default.
        script: `FILE.py:FUNCTION`, a generator that yields calls, instead of a model.
        params: What the script is called with.
        think_s: How long a script thinks before each call, in seconds.
    """

    name: str = Field(min_length=1, max_length=100)
    rank: int | None = Field(default=None, ge=0)
    goal: str | None = None
    model: str | None = None
    instructions: str | None = None
    budget: BudgetTable = BudgetTable()
    tools: list[str] | None = None
    script: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    think_s: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_kind(self) -> AgentTable:
        given = self.model_fields_set
        if not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"{self.name!r} is no name for an agent: use printable characters")
        if parsed_call_id(self.name) is not None:
            raise ValueError(f"{self.name!r} is no name for an agent: it is that of a call")
        if self.script is not None:
            for name in ("goal", "model", "instructions", "budget", "tools"):
                if name in given:
                    raise ValueError(f"agent {self.name!r} has a script, so it takes no {name!r}")
        elif self.goal is None or self.model is None:
            missing = "'goal'" if self.goal is None else "'model'"
            raise ValueError(f"agent {self.name!r} lacks {missing}: give it a goal and a model, or a script")
        else:
            for name in ("params", "think_s"):
                if name in given:
                    raise ValueError(f"agent {self.name!r} has no script, so it takes no {name!r}")
        return self


class RunFile(Table):
    """A run: the shared state, the tools, and the agents in the order in which they count.

    Args:
        protocol: "mtpo", or a baseline to compare it with: "serial", "naive", "2pl", "occ".
        log: "memory:", "sqlite:PATH", relative to the file, or "postgresql://…".
        timeout_s: When all agents that are not done are aborted, in seconds.
        clock: "real", or "virtual" for scripts alone: thinking takes no time then.
        targets: The live systems, a table for each; what it may say depends on its `kind`.
        order: "fixed": the agents count as they stand in the file. "early": one that has finished need not
            wait for those before it that it has nothing to do with, unless these have a `rank`.
    """

    protocol: str = "mtpo"
    order: Order = "fixed"
    log: str = "memory:"
    timeout_s: float = Field(default=3600.0, gt=0)
    clock: Literal["real", "virtual"] = "real"
    targets: list[TargetTable] = Field(min_length=1)
    tools: ToolsTable = ToolsTable()
    models: dict[str, ModelTable] = Field(default_factory=dict)
    agents: list[AgentTable] = Field(min_length=1)
    telemetry: TelemetryTable = TelemetryTable()

    @model_validator(mode="after")
    def _consistent(self) -> RunFile:
        if self.protocol not in PROTOCOLS:
            raise ValueError(
                f"there is no protocol {self.protocol!r}: choose one of {', '.join(sorted(PROTOCOLS))}"
            )
        _unique("name", [agent.name for agent in self.agents])
        _unique("rank", [agent.rank for agent in self.agents if agent.rank is not None])
        if self.clock == "virtual" and any(agent.script is None for agent in self.agents):
            raise ValueError('clock = "virtual" is for scripted agents only: a model answers in real time')
        return self


def read_run_file(path: Path) -> RunFile:
    """Read and check a run file.

    Raises:
        ConfigurationError: It cannot be read, is no TOML, or says something that a run file does not say; the
            message names the line, and for an unknown key the nearest right one.
    """
    return read_toml(path, RunFile, what="the run file", cure="See docs/run.md for the format.")


def _unique(what: str, values: list[Any]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"two agents have the {what} {value!r}: each needs its own")
