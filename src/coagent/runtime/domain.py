"""Domain: one shared state under one serialization order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from coagent.errors import ConfigurationError, JoinRefused, UnknownAgent
from coagent.log.base import Log
from coagent.log.open import open_log
from coagent.protocol.baselines.locking import Locking
from coagent.protocol.baselines.naive import Naive
from coagent.protocol.baselines.optimistic import Optimistic
from coagent.protocol.baselines.serial import Serial
from coagent.protocol.calls import Rank
from coagent.protocol.events import Event, Joined
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.values import Value
from coagent.runtime.clock import Clock, RealClock, VirtualClock
from coagent.runtime.driver import Driver, Tool
from coagent.runtime.opaque import Opaque
from coagent.runtime.reader import Targets
from coagent.runtime.session import AgentSession
from coagent.targets.base import Target
from coagent.tools.declared import DeclaredTool
from coagent.tools.native import NativeTool

PROTOCOLS: dict[str, type[Kernel]] = {
    "mtpo": Mtpo,
    "serial": Serial,
    "naive": Naive,
    "2pl": Locking,
    "occ": Optimistic,
}
"""The protocols by name."""


class Domain:
    """One shared state. Use it as `async with open_domain(...) as domain`."""

    def __init__(
        self, url: str, *, targets: Iterable[Target], tools: Iterable[Any], protocol: str, clock: Clock | None
    ) -> None:
        if protocol not in PROTOCOLS:
            raise ConfigurationError(
                f"there is no protocol {protocol!r}", f"Choose one of: {', '.join(sorted(PROTOCOLS))}."
            )
        self.url = url
        self.protocol = protocol
        self.clock = clock or RealClock()
        self.tools: dict[str, Tool] = {}
        self._opaque = Opaque()
        self._targets = Targets([*targets, self._opaque])
        self.add_tools(tools)
        self._log: Log | None = None
        self._driver: Driver | None = None

    async def __aenter__(self) -> Domain:
        log = open_log(self.url, self.protocol)
        if log.shared and isinstance(self.clock, VirtualClock):
            log.close()
            raise ConfigurationError(
                f"log {self.url!r} is shared with other processes, which know nothing of a virtual clock",
                "Use 'memory:' with a virtual clock, or the real clock.",
            )
        if log.protocol != self.protocol:
            log.close()
            raise ConfigurationError(
                f"log {self.url!r} was begun under protocol {log.protocol!r}, not {self.protocol!r}",
                f"Open it with protocol={log.protocol!r}, or name another file.",
            )
        self._log = log
        self._driver = Driver(PROTOCOLS[self.protocol](), log, self._targets, self.tools, self.clock)
        self._driver.catch_up()
        await self._driver.pump()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._log is not None
        try:
            if kind is None:
                await self.driver.pump()
            self.driver.flush()
        finally:
            self._log.close()
            for target in self._targets.all:
                await target.close()

    @property
    def driver(self) -> Driver:
        """The loop between kernel, log and targets; for gateways and tests.

        Raises:
            ConfigurationError: The domain is not open.
        """
        if self._driver is None:
            raise ConfigurationError(
                "the domain is not open", "Use `async with coagent.open_domain(...) as domain:`."
            )
        return self._driver

    async def join(self, name: str, *, rank: Rank | None = None) -> AgentSession:
        """Take a place in the serialization order.

        Args:
            name: Unique among the agents that have not ended.
            rank: A pinned rank; by default the next one after all others. An agent may be pinned below
                another one only as long as that one has not called anything.

        Returns:
            The agent's session.

        Raises:
            JoinRefused: The name or rank is taken, or the rank lies below work already done.
        """
        driver = self.driver
        _check_name(name)
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 0):
            raise JoinRefused(f"rank {rank!r} is not a whole number from 0 on")
        driver.catch_up()
        taken: list[Rank] = []

        def decide() -> Event:
            refusal = driver.kernel.refusal(name, rank)
            if refusal is not None:
                raise JoinRefused(refusal, "Join under another name, or without a rank to come last.")
            taken[:] = [driver.kernel.next_rank() if rank is None else rank]
            return Joined(name, taken[0])

        driver.record_when(decide)
        return self._session(driver.kernel.agents[taken[0]])

    def attach(self, name: str) -> AgentSession:
        """Return a session for an agent that joined before, in this process or in one that has ended.

        Raises:
            UnknownAgent: No agent of that name is active.
        """
        self.driver.catch_up()
        active = {one.name: one for one in self.driver.kernel.agents.values() if not one.ended}
        if name not in active:
            nearest = difflib.get_close_matches(name, active, 1)
            known = ", ".join(sorted(active)) or "none"
            cure = f"Did you mean {nearest[0]!r}?" if nearest else f"The active agents are: {known}."
            raise UnknownAgent(f"there is no active agent {name!r}", cure)
        return self._session(active[name])

    def _session(self, participant: Participant) -> AgentSession:
        self.driver.local.add(participant.rank)
        return AgentSession(self.driver, participant)

    async def look(self, key: Key) -> bool:
        """Look whether somebody outside has changed an object that agents have read or written.

        What they wrote counts as a write below every active agent (rule 9), with the usual notifications.

        Returns:
            Whether somebody had.

        Raises:
            TargetError: The object cannot be read.
        """
        found = await self.driver.look(self._targets.of(key).canonical(key))
        await self.driver.pump()
        return found

    @property
    def agents(self) -> list[Participant]:
        """The agents that have not ended, and those that ended last, in rank order."""
        return [agent for _, agent in sorted(self.driver.kernel.agents.items())]

    @property
    def quiescent(self) -> bool:
        """Whether every agent has ended and every effect has reached its target."""
        driver = self.driver
        ready = driver.kernel.ready()
        return all(agent.ended for agent in driver.kernel.agents.values()) and not ready.apply

    def snapshot(self, prefix: str = "") -> dict[Key, Value]:
        """Return the live state of all targets under a prefix."""
        found: dict[Key, Value] = {}
        for target in self._targets.all:
            if not prefix or any(prefix.startswith(f"{scheme}:") for scheme in target.schemes):
                found.update(target.snapshot(prefix))
        return found

    def add_tools(self, tools: Iterable[Any]) -> None:
        """Offer further tools to the agents, from their next call on.

        A process that shares the log needs them too, to run their calls again.

        Raises:
            ConfigurationError: Two tools of one name, or something that is no tool.
            FootprintViolation: A declared tool writes what a target owns.
        """
        for tool in _flattened(tools):
            if tool.name in self.tools:
                raise ConfigurationError(
                    f"two tools are named {tool.name!r}", "Rename one with @tool(name=...)."
                )
            self._targets.extend(self._opaque, tool.schemes)
            self.tools[tool.name] = tool
            if isinstance(tool, NativeTool):
                tool.offered(self.add_tools)


def open_domain(
    url: str = "memory:",
    *,
    targets: Iterable[Target] = (),
    tools: Iterable[Any] = (),
    protocol: str = "mtpo",
    clock: Clock | None = None,
) -> Domain:
    """Open a domain: one shared state under one serialization order.

    Args:
        url: Its log: `memory:`, or `sqlite:PATH`, which other processes of this host may open too.
        targets: The live systems; each owns the keys of its schemes.
        tools: What agents may call: functions made with `@tool`, or collections of them.
        protocol: "mtpo", or a baseline: "serial", "naive", "2pl", "occ".
        clock: For agents that think; the real clock by default.

    Returns:
        The domain, to be entered with `async with`. An existing log is resumed where it ended.

    Raises:
        ConfigurationError: Unknown protocol or log engine, two tools of one name, something that is no tool.
        FootprintViolation: Two targets own one scheme.
        LogError: On entering: the log is damaged, comes from a newer version, or cannot be opened.
    """
    return Domain(url, targets=targets, tools=tools, protocol=protocol, clock=clock)


def _flattened(tools: Iterable[Any]) -> Iterable[Tool]:
    for tool in tools:
        if isinstance(tool, NativeTool | DeclaredTool):
            yield tool
        elif isinstance(tool, list | tuple | set | frozenset):
            yield from _flattened(tool)
        else:
            raise ConfigurationError(f"{tool!r} is not a tool", "Decorate the function with @coagent.tool.")


def _check_name(name: str) -> None:
    if (
        not isinstance(name, str)
        or not name.strip()
        or any(not one.isprintable() for one in name)
        or len(name) > 100
    ):
        raise JoinRefused(f"{name!r} is no name for an agent", "Use 1 to 100 printable characters.")
