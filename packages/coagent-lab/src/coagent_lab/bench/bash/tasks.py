"""Task files: a tree, and tasks on fresh copies of it, each with its solution and its checker."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from coagent.errors import ConfigurationError

SCHEMA = "coagent-bash-tasks/1"


class Task(BaseModel):
    """One task.

    Args:
        id: Its name, unique in the file.
        request: What is asked for, in plain language.
        kind: "read": its answer is judged; "write": the tree is.
        solution: A command for bash that does it.
        checker: A command for bash that ends with 0 where it is done; `$ANSWER` is a file with the answer.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    request: str
    kind: str
    solution: str
    checker: str


@dataclass(frozen=True)
class TaskSet:
    """A task file.

    Args:
        setup: A script for bash that makes the tree in an empty directory.
        tasks: In the order in which they are asked.
    """

    name: str
    setup: str
    tasks: tuple[Task, ...]


def own_tasks() -> TaskSet:
    """Return the tasks that come with CoAgent: the server of a small observatory."""
    source = files("coagent_lab.bench.bash").joinpath("observatory.toml")
    return _checked("observatory", tomllib.loads(source.read_text(encoding="utf-8")))


def read_tasks(path: Path) -> TaskSet:
    """Read a task file, TOML or JSON by its suffix.

    Raises:
        ConfigurationError: It cannot be read, or is not of this schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", "Name a file of bash tasks.") from None
    return _checked(str(path), data)


def _checked(name: str, data: Any) -> TaskSet:
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ConfigurationError(f"{name} holds no bash tasks", f"Its schema must be {SCHEMA!r}.")
    try:
        tasks = tuple(Task.model_validate(one) for one in data.get("tasks", ()))
    except ValidationError as error:
        raise ConfigurationError(f"{name} has a task that is incomplete: {error}", "Complete it.") from None
    if len({one.id for one in tasks}) != len(tasks) or not tasks or not isinstance(data.get("setup"), str):
        raise ConfigurationError(f"{name} has no setup, no tasks, or two of one id", "Correct the file.")
    return TaskSet(name, data["setup"], tasks)
