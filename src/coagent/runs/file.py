"""The run file: what may stand in it, and what is wrong with it, by line."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coagent.errors import ConfigurationError
from coagent.runtime.domain import PROTOCOLS

Location = tuple[int | str, ...]
_ERRORS_SHOWN_MAX = 5


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FilesTarget(_Table):
    """A folder, for instance a git working tree."""

    kind: Literal["files"]
    root: str = "."


class KubernetesTarget(_Table):
    """A cluster, as a kubeconfig names it."""

    kind: Literal["kubernetes"]
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


class SqlTarget(_Table):
    """A database; a SQLite path is relative to the run file."""

    kind: Literal["sql"]
    url: str


class DocumentsTarget(_Table):
    """A folder of Markdown files, by their sections."""

    kind: Literal["documents"]
    root: str = "."


class MemoryTarget(_Table):
    """Objects that live as long as the run."""

    kind: Literal["memory"]
    initial: dict[str, Any] = {}


TargetTable = Annotated[
    FilesTarget | KubernetesTarget | SqlTarget | DocumentsTarget | MemoryTarget, Field(discriminator="kind")
]


class ToolsTable(_Table):
    """What the agents may call."""

    builtin: list[str] | None = None
    modules: list[str] = []


class ModelTable(_Table):
    """A model under a name of the file's own."""

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)


class BudgetTable(_Table):
    """What an agent may spend; the defaults are those of `coagent.agents.budget.Budget`."""

    requests: int | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    calls: int | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0)


class AgentTable(_Table):
    """One agent: `goal` and `model`, or `script`."""

    name: str = Field(min_length=1, max_length=100)
    rank: int | None = Field(default=None, ge=0)
    goal: str | None = None
    model: str | None = None
    instructions: str | None = None
    budget: BudgetTable = BudgetTable()
    tools: list[str] | None = None
    script: str | None = None
    params: dict[str, Any] = {}
    think_s: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_kind(self) -> AgentTable:
        given = self.model_fields_set
        if not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"{self.name!r} is no name for an agent: use printable characters")
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


class RunFile(_Table):
    """A run: the shared state, the tools, and the agents in the order in which they count."""

    protocol: str = "mtpo"
    log: str = "memory:"
    timeout_s: float = Field(default=3600.0, gt=0)
    clock: Literal["real", "virtual"] = "real"
    targets: list[TargetTable] = Field(min_length=1)
    tools: ToolsTable = ToolsTable()
    models: dict[str, ModelTable] = {}
    agents: list[AgentTable] = Field(min_length=1)

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
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(
            f"the run file {str(path)!r} cannot be read: {reason}", "Name a TOML file."
        ) from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"{path} is not valid TOML: {error}", "See docs/run.md for the format."
        ) from error
    try:
        return RunFile.model_validate(data)
    except ValidationError as error:
        raise _explained(path, text, error) from error


def at(path: Path, text: str, location: Location) -> str:
    """Return `file:line` of a key, or of the table that it should be in."""
    line = line_of(text, location)
    return str(path) if line is None else f"{path}:{line}"


def line_of(text: str, location: Location) -> int | None:
    """Return the line of a key in TOML text, counted from 1; None where it does not stand in it.

    A plain search by headers and keys: good for the flat files that run files are, and only for messages.

    Args:
        text: The TOML text.
        location: For instance ("agents", 1, "goal"): the key `goal` in the second `[[agents]]`.
    """
    lines = text.splitlines()
    names = [step for step in location if isinstance(step, str)]
    found: int | None = None
    first, last = 0, len(lines)
    if not names:
        return None
    headers = [index for index, line in enumerate(lines) if re.match(r"\s*\[", line)]
    section = _header(lines, location)
    if section is None:
        last = headers[0] if headers else len(lines)
    else:
        found, names = section[0], names[section[1] :]
        first, last = found + 1, next((index for index in headers if index > section[0]), len(lines))
    for name in names:
        pattern = re.compile(rf"""(?:^\s*|[{{,.]\s*)["']?{re.escape(name)}["']?\s*[=.]""")
        match = next((index for index in range(first, last) if pattern.search(lines[index])), None)
        if match is None:
            break
        found = first = match
    return None if found is None else found + 1


def _header(lines: list[str], location: Location) -> tuple[int, int] | None:
    """Return the line of the innermost table header on the way to a key, and how many names it covers."""
    best: tuple[int, int] | None = None
    names: list[str] = []
    for step, following in zip(location, (*location[1:], None), strict=True):
        if isinstance(step, int):
            continue
        names.append(step)
        dotted = r"\s*\.\s*".join(rf"""["']?{re.escape(name)}["']?""" for name in names)
        pattern = re.compile(rf"\s*\[\[?\s*{dotted}\s*\]\]?")
        found = [index for index, line in enumerate(lines) if pattern.match(line)]
        which = following if isinstance(following, int) else 0
        if which < len(found):
            best = (found[which], len(names))
    return best


def nearest(name: str, known: list[str]) -> str:
    """Return a cure that names the nearest of the right names, or all of them."""
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(known) or 'none'}."


def _unique(what: str, values: list[Any]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"two agents have the {what} {value!r}: each needs its own")


def _explained(path: Path, text: str, error: ValidationError) -> ConfigurationError:
    faults = error.errors(include_url=False, include_context=True, include_input=True)
    faults.sort(key=lambda fault: line_of(text, _location(dict(fault))) or 0)
    told = [_fault(path, text, dict(fault)) for fault in faults[:_ERRORS_SHOWN_MAX]]
    if len(faults) > len(told):
        told.append(f"(and {len(faults) - len(told)} more)")
    return ConfigurationError("\n".join(told), "See docs/run.md for the format." if len(told) > 1 else "")


def _location(fault: dict[str, Any]) -> Location:
    location = tuple(fault["loc"])
    if location[:1] == ("targets",):  # pydantic's location has the union's tag, which is no key of the file
        location = location[:2] + location[3:]
    return location


def _fault(path: Path, text: str, fault: dict[str, Any]) -> str:
    location = _location(fault)
    place, name = at(path, text, location), str(location[-1]) if location else ""
    where = ".".join(str(step) for step in location[:-1] if isinstance(step, str))
    inside = f" in [{where}]" if where else ""
    match fault["type"]:
        case "extra_forbidden":
            return f"{place}: unknown key {name!r}{inside}. {nearest(name, _names_at(location))}"
        case "missing":
            return f"{place}: {name!r} is missing{inside}."
        case "union_tag_invalid":
            kind = fault["ctx"]["tag"]
            return f"{place}: there is no kind of target {kind!r}. {nearest(str(kind), sorted(_KINDS))}"
        case "union_tag_not_found":
            return f"{place}: a target lacks its 'kind'. Choose one of: {', '.join(sorted(_KINDS))}."
        case "value_error":
            return f"{place}: {fault['ctx']['error']!s}."
        case _:
            return f"{place}: {name!r}{inside}: {fault['msg']} (it is {fault['input']!r})."


_KINDS = {
    table.model_fields["kind"].annotation.__args__[0]: table  # type: ignore[union-attr]
    for table in (FilesTarget, KubernetesTarget, MemoryTarget)
}


def _names_at(location: Location) -> list[str]:
    """Return the keys that may stand where an unknown one was found."""
    tables: list[type[BaseModel]] = [RunFile]
    for step in location[:-1]:
        if isinstance(step, int):
            continue
        field = next((table.model_fields[step] for table in tables if step in table.model_fields), None)
        if field is not None:
            tables = _tables_in(field.annotation)
    return sorted({name for table in tables for name in table.model_fields})


def _tables_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for one in get_args(annotation) for table in _tables_in(one)]
