"""The log as a server far away, which several processes append to, and which each of them may lose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from coagent.errors import LogUnavailable
from coagent.log.base import Checkpoint, HeadMoved, Lease, Log, LogSettings
from coagent.log.codec import decode, decode_state, encode, encode_state
from coagent.processes import Process
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo
from coagent_lab.sim.bodies import Body
from coagent_lab.sim.check import Violation

AWAY_S_MAX = 10.0
"""How long a process waits for the server, in seconds."""
_BATCH = 50
_WAKE_S = 2.0


class Server:
    """Where the log is.

    Args:
        settings: Of the domain.
        kernel: Takes every event as it is appended, to tell what may not happen.
        weight: For how many events each one counts, when it comes to keeping a checkpoint.
    """

    def __init__(self, settings: LogSettings, kernel: Mtpo, weight: int = 1) -> None:
        self.settings = settings
        self.kernel = kernel
        self.weight = weight
        self.records: list[str] = []
        self.checkpoint: tuple[int, str] | None = None
        self.leases: dict[str, tuple[float, Body]] = {}
        self.observers: list[Callable[[Event], None]] = []
        self.faults: list[str] = []
        """What was appended that may not happen."""

    def append(self, events: Sequence[Event]) -> None:
        """Take events."""
        for event in events:
            text = encode(event)
            self.records.append(text)
            again = decode(text)
            if encode(again) != text:
                self.faults.append(f"{event} is not what it was before it was logged")
            objection = self.kernel.objection(again)
            if objection is not None:
                self.faults.append(f"{event} was logged, though {objection}")
            self.kernel.step(again)
            for observer in self.observers:
                observer(again)


class Connection(Log):
    """What one process has of the log.

    Args:
        server: Where it is.
        body: Of the process.
    """

    shared = True

    def __init__(self, server: Server, body: Body) -> None:
        self._server = server
        self._body = body
        self._head = 0
        self._looked_s = 0.0

    @property
    def head(self) -> int:
        return self._head

    @property
    def settings(self) -> LogSettings:
        return self._server.settings

    async def _arrive(self) -> None:
        """Have a request reach the server.

        Raises:
            LogUnavailable: It does not.
        """
        await self._body.point()
        if not await self._body.links["log"].patient(AWAY_S_MAX):
            raise LogUnavailable("the server of the log cannot be reached")
        await self._body.fates.travel()
        self._body.live()

    async def _answered(self) -> None:
        """Have an answer of the server reach the process.

        Raises:
            LogUnavailable: It does not.
        """
        await self._body.fates.travel()
        if self._body.links["log"].is_cut or self._body.fates.strikes("unheard"):
            raise LogUnavailable("the server of the log was lost before it answered")
        await self._body.point()

    async def append(self, events: Sequence[Event]) -> None:
        await self._arrive()
        if self._head != len(self._server.records):
            raise HeadMoved
        self._server.append(events)
        await self._answered()
        self._head += len(events)

    async def read(self) -> Sequence[Event]:
        await self._arrive()
        looked_s = anyio.current_time()
        records = self._server.records[self._head : self._head + _BATCH]
        await self._answered()
        self._looked_s = looked_s
        self._head += len(records)
        return [decode(record) for record in records]

    def stale(self, *, now: bool = False) -> bool:
        # Who is cut off hears of nothing, and looks by itself now and then, or where it matters.
        if anyio.current_time() - self._looked_s > _WAKE_S:
            return True
        if self._body.links["log"].is_cut:
            return now
        return self._head != len(self._server.records)

    async def checkpoint(self) -> Checkpoint | None:
        await self._arrive()
        saved = self._server.checkpoint
        await self._answered()
        if saved is None:
            return None
        self._head = saved[0]
        return Checkpoint(saved[0], decode_state(saved[1]))

    async def keep(self, checkpoint: Checkpoint) -> None:
        text = encode_state(checkpoint.state)
        await self._arrive()
        before = self._server.checkpoint
        if before is None or before[0] < checkpoint.number:
            self._server.checkpoint = checkpoint.number, text
        await self._answered()

    @property
    def since_checkpoint(self) -> int:
        saved = self._server.checkpoint
        return (self._head - (0 if saved is None else saved[0])) * self._server.weight

    async def take_lease(self, owner: str, process: Process, seconds: float) -> None:
        await self._arrive()
        self._server.leases[owner] = anyio.current_time() + seconds, self._body
        await self._answered()

    async def renew_lease(self, owner: str, seconds: float) -> bool:
        await self._arrive()
        held = owner in self._server.leases
        if held:
            self._server.leases[owner] = anyio.current_time() + seconds, self._body
        await self._answered()
        return held

    async def end_lease(self, owner: str, *, late: bool = False) -> bool:
        await self._arrive()
        lease = self._server.leases.get(owner)
        if lease is not None and (not late or lease[0] <= anyio.current_time()):
            del self._server.leases[owner]
        ended = owner not in self._server.leases
        await self._answered()
        return ended

    async def leases(self) -> Sequence[Lease]:
        await self._arrive()
        now_s = anyio.current_time()
        found = [
            Lease(owner, body.process, until_s - now_s)
            for owner, (until_s, body) in self._server.leases.items()
        ]
        await self._answered()
        return found

    async def close(self) -> None:
        return None


def check_log(server: Server, kernel: Mtpo, other: Mtpo, dump: Callable[[Mtpo], str]) -> None:
    """Check what is in the log: it was legal, and everybody who has read it is in one state.

    Args:
        server: Where it is.
        kernel: Of a process that has read all of it.
        other: A new one.
        dump: Tells the state.

    Raises:
        Violation: Something is wrong.
    """
    if server.faults:
        raise Violation(server.faults[0])
    for record in server.records:
        other.step(decode(record))
    if dump(other) != dump(kernel):
        raise Violation(f"a process is in another state than the log:\n{dump(kernel)}\n{dump(other)}")
