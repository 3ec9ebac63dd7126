"""What the tests of the frameworks share: a world that CoAgent cannot see into, and tools on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import anyio
from scripted_endpoint import Script, Stage

import coagent
from coagent.gateways.frameworks.governed import Declared
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession

Function = Callable[..., Awaitable[Any]]


class World:
    """A system of somebody else's, and the tools that people have for it."""

    def __init__(self, **values: str) -> None:
        self.values = dict(values)
        self.history: list[str] = []
        self.sent: list[str] = []

    async def get(self, name: str) -> str:
        """Read a value."""
        return self.values.get(name, "")

    async def put(self, name: str, value: str) -> str:
        """Write a value."""
        self.values[name] = value
        return "written"

    async def append(self, name: str, text: str) -> str:
        """Add text to a value."""
        self.history.append(f"append {text}")
        self.values[name] = self.values.get(name, "") + text
        return self.values[name]

    async def mail(self, text: str) -> str:
        """Send a mail."""
        self.sent.append(text)
        return "sent"

    async def fail(self, name: str) -> str:
        """Fail."""
        raise ValueError(f"there is no {name}")

    @property
    def functions(self) -> list[Function]:
        """The tools."""
        return [self.get, self.put, self.append, self.mail, self.fail]

    @cached_property
    def declarations(self) -> dict[str, Declared]:
        """What they read and write; `mail` is not declared."""

        async def before(name: str, **_: Any) -> str | None:
            return self.values.get(name)

        async def restore(prepared: str | None, result: str, name: str, **_: Any) -> None:
            self.history.append(f"restore {prepared!r}")
            if prepared is None:
                del self.values[name]
            else:
                self.values[name] = prepared

        writes = Declared(reads=["kv:{name}"], writes=["kv:{name}"], prepare=before, reverse=restore)
        return {
            "get": Declared(reads=["kv:{name}"]),
            "put": Declared(writes=["kv:{name}"], prepare=before, reverse=restore),
            "append": writes,
            "fail": Declared(reads=["kv:{name}"]),
        }


@dataclass
class Part:
    """What one agent of a framework is to do."""

    script: Script
    functions: list[Function]
    declarations: Mapping[str, Declared] = field(default_factory=dict)
    domain: Domain | None = None
    session: AgentSession | None = None
    goal: str = "Do your work."

    @property
    def governed(self) -> tuple[Domain, AgentSession]:
        """The domain and the session of an agent that has them."""
        assert self.domain is not None
        assert self.session is not None
        return self.domain, self.session


class Framework(Protocol):
    """Plays a part with an agent of a framework, until it is committed or, ungoverned, ends its turn."""

    async def __call__(self, part: Part, stage: Stage) -> None: ...


async def play(framework: Framework, stage: Stage, *parts: Part) -> None:
    """Play several parts at once."""
    async with anyio.create_task_group() as tasks:
        for part in parts:
            tasks.start_soon(framework, part, stage)


@asynccontextmanager
async def governed(world: World, **scripts: Script) -> AsyncIterator[list[Part]]:
    """Open a domain with one agent for each script, in this order."""
    async with coagent.open_domain() as domain:
        yield [
            Part(script, world.functions, world.declarations, domain, await domain.join(name))
            for name, script in scripts.items()
        ]
