"""From a run file to targets, tools and agents that are ready to start; nothing has been done yet."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import anyio

from coagent.agents.scripted import ScriptedAgent
from coagent.config.domain_file import log_url
from coagent.config.explain import at, nearest
from coagent.config.targets import make_target
from coagent.config.tools import make_tools
from coagent.errors import ConfigurationError, FootprintViolation
from coagent.runs.file import AgentTable, ModelTable, RunFile, read_run_file
from coagent.runs.scripts import load_script
from coagent.runtime.clock import Clock, RealClock, VirtualClock
from coagent.runtime.domain import Domain, open_domain
from coagent.runtime.orders import Order

_CONNECT_TIME_MAX_S = 3.0


@dataclass
class PlannedAgent:
    """An agent that has yet to join.

    Args:
        order: Its place among the agents of the run, from 0.
        pinned: Whether the file says that place, so that nobody passes it.
    """

    name: str
    order: int
    kind: Literal["model", "script"]
    what: str
    agent: Any
    pinned: bool


@dataclass
class Plan:
    """A run that can start."""

    path: Path
    file: RunFile
    domain: Domain
    agents: list[PlannedAgent]
    endpoints: dict[str, str]
    """Model servers of one's own, by the agent that needs them."""


def make_plan(
    path: Path,
    *,
    protocol: str | None = None,
    order: Order | None = None,
    log: str | None = None,
    transcripts: Path | None = None,
) -> Plan:
    """Read a run file and prepare all that it names. Tool modules and scripts are imported: their code runs.

    Args:
        path: The run file; relative paths in it start from its folder.
        protocol: Instead of the file's.
        order: Instead of the file's.
        log: Instead of the file's; relative to the working directory.
        transcripts: A directory for what the models were sent and said.

    Raises:
        ConfigurationError: Something in it cannot be used, with the place and the cure.
    """
    file = read_run_file(path)
    text = path.read_text(encoding="utf-8")
    folder = path.parent
    places = [at(path, text, ("targets", index)) for index in range(len(file.targets))]
    targets = [make_target(table, folder, place) for table, place in zip(file.targets, places, strict=True)]
    tools = make_tools(file.tools, file.targets, targets, folder, at(path, text, ("tools", "builtin")))
    url = log or log_url(file.log, folder)
    if file.clock == "virtual" and url != "memory:":
        raise ConfigurationError(
            f'{at(path, text, ("clock",))}: clock = "virtual" goes with log = "memory:" only',
            "Other processes of a shared log live in real time.",
        )
    clock: Clock = VirtualClock() if file.clock == "virtual" else RealClock()
    try:
        domain = open_domain(
            url,
            targets=targets,
            tools=tools,
            protocol=protocol or file.protocol,
            order=order or file.order,
            clock=clock,
        )
    except FootprintViolation as error:
        raise ConfigurationError(f"{path}: {error.cause}", "Keep one target of each kind.") from error
    if not domain.tools:
        raise ConfigurationError(
            f"{path}: the agents have no tools", "Set `modules` in [tools] to a file with some."
        )
    endpoints: dict[str, str] = {}
    agents: list[PlannedAgent] = []
    for number, index in enumerate(_order(file)):
        table = file.agents[index]
        place = at(path, text, ("agents", index))
        if table.script is not None:
            agents.append(_scripted(table, number, folder, place))
        else:
            model = _model_of(table, file, place)
            if model.base_url is not None:
                endpoints[table.name] = model.base_url
            agents.append(_modelled(table, model, number, domain, transcripts, place))
    return Plan(path, file, domain, agents, endpoints)


async def check_endpoints(plan: Plan) -> None:
    """Look whether the model servers that the file names are there at all.

    Raises:
        ConfigurationError: One is not.
    """
    for base_url in dict.fromkeys(plan.endpoints.values()):
        try:
            parts = urlsplit(base_url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            with anyio.fail_after(_CONNECT_TIME_MAX_S):
                stream = await anyio.connect_tcp(parts.hostname or "", port)
            await stream.aclose()
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigurationError(
                f"no model server answers at {base_url}: {str(error) or 'no answer'}",
                "Start it, or correct `base_url`.",
            ) from error


def _order(file: RunFile) -> list[int]:
    """Return the agents' indices in the order in which they count: by rank, then those without one."""
    ranked = [(agent.rank, index) for index, agent in enumerate(file.agents) if agent.rank is not None]
    return [index for _, index in sorted(ranked)] + [
        index for index, agent in enumerate(file.agents) if agent.rank is None
    ]


def _model_of(table: AgentTable, file: RunFile, place: str) -> ModelTable:
    assert table.model is not None, "a run file was checked to have it"
    if table.model in file.models:
        return file.models[table.model]
    if ":" not in table.model:
        raise ConfigurationError(
            f"{place}: there is no [models.{table.model}]",
            nearest(table.model, sorted(file.models)) + " Or write `provider:name`.",
        )
    return ModelTable(model=table.model)


def _modelled(
    table: AgentTable, model: ModelTable, order: int, domain: Domain, transcripts: Path | None, place: str
) -> PlannedAgent:
    try:
        from coagent.agents.llm import Budget, LlmAgent
        from coagent.agents.llm_model import key_from
        from coagent.agents.llm_tools import usable
    except ImportError as error:
        raise ConfigurationError(
            f"{place}: models need Pydantic AI: {error}", "Install it: pip install 'coagent-mtpo[llm]'."
        ) from error
    assert table.goal is not None, "a run file was checked to have it"
    missing = ConfigurationError(
        f"{place}: the environment variable {model.api_key_env!r} is not set", "Set it to the API key."
    )
    api_key = key_from(model.api_key_env, missing)
    settings: dict[str, Any] = {"temperature": model.temperature, "max_tokens": model.max_tokens}
    try:
        usable(domain.tools, table.tools)
        agent = LlmAgent(
            table.name,
            table.goal,
            model.model,
            base_url=model.base_url,
            api_key=api_key,
            instructions=table.instructions,
            budget=Budget(**table.budget.model_dump(exclude_unset=True)),
            tools=table.tools,
            settings={name: value for name, value in settings.items() if value is not None},  # type: ignore[arg-type]
            transcripts=transcripts,
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error.cause}", error.cure) from error
    return PlannedAgent(table.name, order, "model", model.model, agent, table.rank is not None)


def _scripted(table: AgentTable, order: int, folder: Path, place: str) -> PlannedAgent:
    assert table.script is not None, "the caller has looked"
    file, colon, name = table.script.rpartition(":")
    if not colon or not file:
        raise ConfigurationError(f"{place}: {table.script!r} is no script", 'Write it as "FILE.py:FUNCTION".')
    try:
        function = load_script(folder / file, name, table.params)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error.cause}", error.cure) from error
    program = functools.partial(function, **table.params)
    agent = ScriptedAgent(table.name, program, think_s=table.think_s)
    return PlannedAgent(table.name, order, "script", table.script, agent, table.rank is not None)
