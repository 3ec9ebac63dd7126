"""What a package registers of a live system, under the entry point group `coagent.systems`.

The name of the entry point is what stands in a domain file: `kind = "NAME"` for a target, `"NAME"` in
`builtin` for its tools, and `[tools.NAME]` for their settings. See docs/add-a-system.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from coagent.errors import ConfigurationError
from coagent.targets.base import Target

GROUP = "coagent.systems"


class Table(BaseModel):
    """A table of a TOML file; a key that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def names(cls) -> list[str]:
        """Return the keys that it may have."""
        return list(cls.model_fields)

    @classmethod
    def inner(cls, name: str) -> Any:
        """Return the type of one of its keys; None where it is no key of it."""
        field = cls.model_fields.get(name)
        return None if field is None else field.annotation


@dataclass(frozen=True)
class Place:
    """Where in a file something is named.

    Args:
        folder: Where relative paths in the file start.
        line: `file:line`, for messages.
    """

    folder: Path
    line: str

    def fault(self, cause: str, cure: str) -> ConfigurationError:
        """Return the error that says what is wrong there."""
        return ConfigurationError(f"{self.line}: {cause}", cure)


@dataclass(frozen=True)
class Given:
    """What tools are made with.

    Args:
        settings: The table `[tools.NAME]`; an empty one where the file has none.
        tables: The tables of all targets.
        targets: The targets themselves, in the same order.
        place: Where the tools are named.
    """

    settings: Any
    tables: Sequence[Any]
    targets: Sequence[Target]
    place: Place


@dataclass(frozen=True)
class TargetKind:
    """A kind of target.

    Args:
        table: What `[[targets]]` may say; its `kind` is a `Literal` of the system's name.
        make: Makes a target of such a table; raises ConfigurationError where it cannot be used.
    """

    table: type[Table]
    make: Callable[[Any, Place], Target]


@dataclass(frozen=True)
class Tools:
    """Built-in tools.

    Args:
        make: Returns the tools: classes, functions or objects that `open_domain` takes.
        settings: What `[tools.NAME]` may say.
    """

    make: Callable[[Given], list[Any]]
    settings: type[Table] = Table


@dataclass(frozen=True)
class System:
    """What is registered under one name.

    Args:
        name: The name of the entry point.
        target: Its kind of target, where it has one.
        tools: Its tools, where it has some; a domain with such a target has them by default.
        needs: What to install where an import fails, such as "coagent-mtpo[sql]".
    """

    name: str
    target: TargetKind | None = None
    tools: Tools | None = None
    needs: str = ""
