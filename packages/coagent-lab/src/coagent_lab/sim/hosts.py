"""Hosts of the simulation: each a process with a clock; its log and targets are far away, and may be lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from coagent.errors import TargetError, TargetUnavailable
from coagent.log.base import Log
from coagent.protocol.events import OnDeath
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, copied, same
from coagent.runtime import attending, recorder, runner, tenure
from coagent.runtime.clock import RealClock
from coagent.runtime.domain import Domain, _Open
from coagent.runtime.orders import Order
from coagent.runtime.tenure import Tenure
from coagent.targets.memory import Memory
from coagent.tools.base import Tool
from coagent_lab.sim.bodies import Body, Fates, Link
from coagent_lab.sim.clients import is_excused
from coagent_lab.sim.failing import MARK, Mishaps
from coagent_lab.sim.processes import Process
from coagent_lab.sim.server import Connection, Server
from coagent_lab.sim.targets import Witness

AWAY_S_MAX = 5.0
"""How long a request waits for a target that cannot be reached, in seconds."""
_PATIENCE_S = 40.0


@contextmanager
def unhurried(rng: random.Random) -> Iterator[None]:
    """Have processes look around less often, and draw the names of runs and processes from a seed."""

    def drawn() -> UUID:
        return UUID(int=rng.getrandbits(128))

    before = attending.ATTEND_INTERVAL_S, recorder._WATCH_INTERVAL_S
    attending.ATTEND_INTERVAL_S, recorder._WATCH_INTERVAL_S = 5.0, 1.0
    try:
        with patch.object(tenure, "uuid4", drawn), patch.object(runner, "uuid4", drawn):
            yield
    finally:
        attending.ATTEND_INTERVAL_S, recorder._WATCH_INTERVAL_S = before


class System:
    """A live system that several processes use.

    Args:
        objects: What it holds.
        mishaps: Says what it refuses.
        wanted: Returns what the log has an object hold by now; `UNLOADED` where nobody has to do with it.
    """

    def __init__(self, objects: dict[Key, Value], mishaps: Mishaps, wanted: Callable[[Key], Value]) -> None:
        self.objects = objects
        self.mishaps = mishaps
        self.wanted = wanted
        self.away = False
        self.changes: dict[Key, int] = {}
        """How often outsiders have changed an object."""
        self.witness: Witness | None = None

    def held(self, key: str) -> Value:
        """Return what it holds of an object; nobody has read that."""
        return self.objects.get(Key(key))

    def outside(self, key: str, value: Value) -> None:
        """Change an object as somebody would who knows nothing of the domain."""
        name = Key(key)
        before = self.held(name)
        if value is None:
            self.objects.pop(name, None)
        else:
            self.objects[name] = copied(value)
        self.changes[name] = self.changes.get(name, 0) + 1
        if self.witness is not None:
            self.witness.outside(name, before, value)


class Far(Memory):
    """What one process has of a live system.

    Args:
        system: The system.
        schemes: Of its keys.
        body: Of the process.
    """

    instant = False
    replicate = None  # type: ignore[assignment]

    def __init__(self, system: System, schemes: Sequence[str], body: Body) -> None:
        super().__init__({}, schemes=schemes)
        self._objects = system.objects
        self._system = system
        self._body = body
        self._seen: dict[Key, int] = {}
        self._told: dict[Key, int] = {}

    async def _arrive(self) -> None:
        await self._body.point()
        reached = await self._body.links[self.schemes[0]].patient(AWAY_S_MAX)
        await self._body.fates.travel()
        self._body.live()
        if not reached or self._system.away:
            raise TargetUnavailable(f"the target of {', '.join(self.schemes)} is away: {MARK}")

    async def _answered(self) -> None:
        await self._body.fates.travel()
        if self._body.links[self.schemes[0]].is_cut or self._body.fates.strikes("unheard"):
            raise TargetUnavailable(f"nobody has heard the answer: {MARK}")
        await self._body.point()

    async def get(self, key: Key) -> Value:
        await self._arrive()
        value, change = self._system.held(key), self._system.changes.get(key, 0)
        await self._answered()
        self._seen[key] = change
        return value

    async def list(self, prefix: str) -> dict[Key, Value]:
        await self._arrive()
        found = await super().list(prefix)
        await self._answered()
        return found

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        await self._arrive()
        if not self._body.fates.calm and self._system.mishaps.strikes():
            raise TargetError(f"{key!r}: {MARK}")
        before = self._system.held(key)
        change = self._system.changes.get(key, 0)
        await super().put(key, value, expected=expected)
        # It may have been stopped, or the request been slow, at any time since it has looked at the log.
        self._body.late = self._body.late or not same(value, self._system.wanted(key))
        if self._system.witness is not None:
            self._system.witness.put(key, value, before)
        await self._answered()
        self._seen[key] = change

    def unchanged(self, key: Key) -> bool:
        cut = self._body.links[self.schemes[0]].is_cut
        return not cut and self._seen.get(key) == self._system.changes.get(key, 0)

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        await self._body.point()
        found = {key for key in keys if not self.unchanged(key)}
        for key, count in self._system.changes.items():
            if key.startswith(tuple(prefixes)) and self._told.get(key, 0) < count:
                self._told[key] = count
                found.add(key)
        return found


class OwnClock(RealClock):
    """The clock of one host: it runs at a speed of its own, and says another time than the others.

    Args:
        ahead_s: By how much, in seconds.
        rate: How fast it runs.
    """

    def __init__(self, ahead_s: float, rate: float) -> None:
        self._ahead_s, self._rate = ahead_s, rate

    def now_s(self) -> float:
        return self._ahead_s + self._rate * anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds / self._rate)


class HostDomain(Domain):
    """A domain on a host; its log and its clock are given to it."""

    body: Body
    server: Server

    async def _assembled(self, log: Log) -> _Open:
        return await super()._assembled(Connection(self.server, self.body))

    def _tenure(self, log: Log) -> Tenure:
        return Tenure(log, self.body.process, self.clock.now_s)


class Host:
    """A host, on which a process of the domain runs, or another one in its place once that is dead.

    Args:
        name: Of the host.
        server: Where the log is.
        systems: The live systems, by their schemes.
        fates: Say what befalls it.
        clock: Its clock.
        local: Whether others can see at once that its process is dead.
        order: Of the domain.
        tools: Of the domain.
        on_death: What becomes of its unfinished agents.
    """

    def __init__(
        self,
        name: str,
        server: Server,
        systems: dict[tuple[str, ...], System],
        fates: Fates,
        clock: OwnClock,
        *,
        local: bool,
        order: Order,
        tools: Sequence[Tool],
        on_death: OnDeath,
    ) -> None:
        self.name = name
        self.links = {to: Link(to) for to in ("log", *(schemes[0] for schemes in systems))}
        self.scopes: dict[anyio.CancelScope, None] = {}
        """Of the agents that work on it."""
        self.on_stop: Callable[[Body], None] = lambda body: None
        self._server, self._systems, self._fates = server, systems, fates
        self._clock, self._local = clock, local
        self._order, self._tools, self._on_death = order, tools, on_death
        self._process = Process(self._domain_of_its_own)
        self._lives = 0
        self.is_up = False
        self.body = self._new_body()

    def _new_body(self) -> Body:
        self._lives += 1
        body = Body(f"{self.name}.{self._lives}", self._fates, self.links, local=self._local)
        body.on_stop = self.on_stop
        return body

    @property
    def domain(self) -> Domain:
        """Its domain, open."""
        return self._process.domain

    @property
    def serves(self) -> bool:
        """Whether agents can work on it."""
        return self.is_up and not self.body.dead

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Do something in its process as long as that lives, and bear with what agents have to bear with."""
        body = self.body
        with anyio.CancelScope() as scope:
            self.scopes[scope] = None
            try:
                yield
            except (Exception, BaseExceptionGroup) as failure:
                if not body.dead and not is_excused(failure):
                    raise
            finally:
                del self.scopes[scope]

    async def start(self, tasks: TaskGroup) -> bool:
        """Start a process; whether it has come up."""
        self.body = self._new_body()
        try:
            await self._process.start(tasks)
        except Exception:
            if not self.body.dead and self._fates.calm:
                raise
            self.body.die()
            return False
        self.is_up = True
        return True

    async def kill(self) -> None:
        """Take the process away, and the agents that worked in it."""
        for scope in list(self.scopes):
            scope.cancel()
        if self.is_up:
            self.is_up = False
            await self._process.kill()

    async def end(self) -> None:
        """End the process as it should be."""
        if self.is_up:
            self.is_up = False
            if self.body.dead:
                await self._process.kill()
            else:
                await self._process.end()

    def _domain_of_its_own(self) -> Domain:
        domain = HostDomain(
            "memory:",
            targets=[Far(system, schemes, self.body) for schemes, system in self._systems.items()],
            tools=self._tools,
            protocol="mtpo",
            order=self._order,
            clock=self._clock,
            patience_s=_PATIENCE_S,
            on_death=self._on_death,
        )
        domain.body, domain.server = self.body, self._server
        return domain
