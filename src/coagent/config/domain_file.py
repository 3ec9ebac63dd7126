"""The domain file: one shared state as a TOML file tells it, for all that serves agents or looks in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from coagent.config.explain import at, read_toml
from coagent.config.targets import TargetTable, make_target
from coagent.config.telemetry import TelemetryTable
from coagent.config.tools import ToolsTable, make_tools
from coagent.config.upstreams import UpstreamTable
from coagent.errors import ConfigurationError, FootprintViolation
from coagent.log.open import begun_with
from coagent.private import HOME
from coagent.runtime.domain import Domain, open_domain
from coagent.runtime.orders import Order
from coagent.runtime.protocols import PROTOCOLS
from coagent.systems.base import Table

FOLDER = HOME
"""The folder of CoAgent's own files in a workspace."""
NAME = "config.toml"
"""The domain file in it."""
IN_A_VIEW = "COAGENT_IN_A_VIEW"
"""A variable that is set in commands of a shell whose views have no domain file."""


OnLeave: TypeAlias = Literal["commit", "abort", "keep"]
"""What becomes of the unfinished work of a client that has gone."""


class ServeTable(Table):
    """How clients are served.

    Args:
        host: Where HTTP is offered; anything but loopback needs tokens.
        port: Its port; 0 takes a free one.
        lease_s: How long a client may be away before its agent is aborted, in seconds.
        on_leave: What becomes of the unfinished work of a client that has gone: "abort", "commit" when its
            turn comes, or "keep", for a client of the same name to take up.
        anonymous: Whether clients without a token may join, over HTTP; by default only where no client has a
            token.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    lease_s: float = Field(default=900.0, gt=0)
    on_leave: OnLeave = "abort"
    anonymous: bool | None = None


class ClientTable(Table):
    """A client that is known by its token.

    Args:
        name: Its agent's name.
        rank: Its agent's rank; by default the next one when it comes.
        token_env: The environment variable that holds its token.
        tools: The tools that it may use; all by default.
    """

    name: str = Field(min_length=1, max_length=100)
    rank: int | None = Field(default=None, ge=0)
    token_env: str | None = None
    tools: list[str] | None = None


class ClaudeTable(Table):
    """How Claude Code sessions are governed.

    Args:
        wait_s: How long a session that has ended its turn waits for those before it, in seconds.
        on_leave: What becomes of the unfinished work of a session that ends: "commit" when its turn comes,
            "abort", or "keep", for a session of the same name to take up.
        on_failure: Where CoAgent itself fails: "warn" and let the session go on ungoverned, or "stop" it.
        busy_s: How long a command waits for one of another session, while the tree is compared, in seconds.
    """

    wait_s: float = Field(default=60.0, ge=0)
    on_leave: OnLeave = "commit"
    on_failure: Literal["warn", "stop"] = "warn"
    busy_s: float = Field(default=120.0, ge=0)


class DomainFile(Table):
    """One shared state, its tools, and who may work on it.

    Args:
        protocol: "mtpo", or a baseline to compare it with: "serial", "naive", "2pl", "occ".
        log: Where its log is: "sqlite:PATH", relative to the file, or "postgresql://…" for several hosts.
        targets: The live systems, a table for each; what it may say depends on its `kind`.
        order: "early": whoever has finished need not wait for those before it that it has nothing to do with.
            "fixed": all count in the order in which they joined. By default what its log was begun with, and
            "early" for a new one: an idle session holds nobody up.
        words: Whether the log is to hold what agents say and what they are asked for, a line each.
    """

    protocol: str = "mtpo"
    order: Order | None = None
    log: str = "sqlite:log.db"
    words: bool = True
    targets: list[TargetTable] = Field(default_factory=list)
    tools: ToolsTable = ToolsTable()
    serve: ServeTable = ServeTable()
    clients: list[ClientTable] = Field(default_factory=list)
    claude: ClaudeTable = ClaudeTable()
    upstreams: list[UpstreamTable] = Field(default_factory=list)
    telemetry: TelemetryTable = TelemetryTable()

    @model_validator(mode="after")
    def _consistent(self) -> DomainFile:
        if self.protocol not in PROTOCOLS:
            raise ValueError(
                f"there is no protocol {self.protocol!r}: choose one of {', '.join(sorted(PROTOCOLS))}"
            )
        for kind, names in (
            ("clients", [client.name for client in self.clients]),
            ("upstreams", [upstream.name for upstream in self.upstreams]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two {kind} have the name {name!r}: each needs its own")
        return self


@dataclass(frozen=True)
class Configured:
    """A domain that can be entered, and the file that tells of it."""

    path: Path
    file: DomainFile
    domain: Domain


def find(start: Path) -> Path:
    """Return the domain file of the nearest folder that has one, from a folder upwards.

    Raises:
        ConfigurationError: None of them has.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        path = folder / FOLDER / NAME
        if path.is_file():
            return path
    if os.environ.get(IN_A_VIEW):
        raise ConfigurationError(
            f"there is no {FOLDER} inside a command of an agent's shell",
            "Run `coagent status`, `coagent log` or `coagent doctor` as a command of its own, without "
            "anything that writes. What changes the domain (`coagent undo`, `coagent restore`, …) is for a "
            "person, in a terminal of their own: take your own work back by editing.",
        )
    raise ConfigurationError(
        f"no folder from {str(start)!r} upwards has a {FOLDER}/{NAME}",
        "Run `coagent init` in the workspace, or name a file.",
    )


def read_domain_file(path: Path) -> DomainFile:
    """Read and check a domain file.

    Raises:
        ConfigurationError: It cannot be read, or something in it is wrong; the message names the line.
    """
    return read_toml(path, DomainFile, what="the domain file", cure="See docs/serve.md for the format.")


def configured(path: Path, *, order: Order | None = None) -> Configured:
    """Read a domain file and prepare its domain. Tool modules are imported: their code runs.

    Args:
        path: The file; relative paths in it start from its folder.
        order: Instead of the file's.

    Raises:
        ConfigurationError: Something in it cannot be used, with the place and the cure.
    """
    file = read_domain_file(path)
    text = path.read_text(encoding="utf-8")
    folder = path.resolve().parent
    targets = [
        make_target(table, folder, at(path, text, ("targets", index)))
        for index, table in enumerate(file.targets)
    ]
    tools: list[Any] = make_tools(
        file.tools, file.targets, targets, folder, at(path, text, ("tools", "builtin"))
    )
    try:
        url = log_url(file.log, folder)
        domain = open_domain(
            url, targets=targets, tools=tools, protocol=file.protocol, order=order or order_of(file, url)
        )
    except FootprintViolation as error:
        raise ConfigurationError(f"{path}: {error.cause}", "Keep one target of each kind.") from error
    domain.keeps_words = file.words
    return Configured(path, file, domain)


def order_of(file: DomainFile, url: str) -> Order:
    """Return the order under which the domain of a file is opened.

    Args:
        file: The domain file.
        url: The domain's log.
    """
    if file.order is not None:
        return file.order
    begun = begun_with(url)
    if begun is not None:
        return "early" if begun.order == "early" else "fixed"
    return "early" if file.protocol == "mtpo" else "fixed"


def log_url(url: str, folder: Path) -> str:
    """Return a log's URL with a relative path of it made to start from a folder."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest and not rest.startswith(("/", "~")):
        return f"sqlite:{folder / rest}"
    return url
