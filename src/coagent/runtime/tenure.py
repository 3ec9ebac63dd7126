"""How a process shows those who share its log that it lives, and knows when they may think that it does not.

A lease lies beside the log and is renewed by the process, however long its agents think. Its length is the
log's affair; whether it still holds, a process decides by a clock of its own that also runs while the host
sleeps or the process is stopped, counted from before it asked. So whoever is thought to be dead knows it
first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from uuid import uuid4

import anyio

from coagent.errors import AgentTakenUp, LogError
from coagent.log.base import Lease, Log
from coagent.processes import Process, has_died, this_process

LEASE_S = 60.0
"""How long a lease lasts, in seconds: longer than anything may keep a process from renewing it."""
RENEWED_S = 8.0
"""How often a lease is renewed, in seconds."""


def awake_s() -> float:
    """Return seconds since an arbitrary start, with those in which the host slept where that can be had."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Tenure:
    """The lease of an open domain; a log that nobody else can have open needs none.

    Args:
        log: The log.
        process: The process that has it open.
        now_s: The clock of this process.
        lease_s: How long a lease lasts, in seconds.
    """

    def __init__(
        self,
        log: Log,
        process: Process | None = None,
        now_s: Callable[[], float] = awake_s,
        lease_s: float = LEASE_S,
    ) -> None:
        self._log = log
        self._process = process or this_process()
        self._now_s = now_s
        self._lease_s = lease_s
        self._until_s = 0.0
        self._renewing = anyio.Lock()
        self.owner = ""
        """What names this process at its agents; another one after others have ended its lease."""
        self.on_loss: Callable[[], None] = lambda: None
        """Called when others have ended the lease: whoever was served under the old name is theirs."""

    @property
    def holds(self) -> bool:
        """Whether nobody can think that this process is dead; costs next to nothing."""
        return not self.owner or self._now_s() < self._until_s

    async def begin(self) -> None:
        """Take a lease.

        Raises:
            LogError: The log cannot be written.
        """
        if not self._log.shared:
            return
        asked_s, owner = self._now_s(), uuid4().hex
        await self._log.take_lease(owner, self._process, self._lease_s)
        self._until_s, self.owner = asked_s + self._lease_s, owner

    async def renew(self) -> None:
        """Let the lease last from now on; where it has been ended, begin another one.

        Raises:
            LogError: The log cannot be written.
        """
        async with self._renewing:  # or two that find it ended would begin one each
            asked_s = self._now_s()
            if await self._log.renew_lease(self.owner, self._lease_s):
                self._until_s = asked_s + self._lease_s
                return
            await self.begin()
            self.on_loss()

    async def assure(self) -> None:
        """Make sure that nobody thinks that this process is dead, whatever they thought before.

        Raises:
            LogError: That cannot be told.
        """
        if not self.holds:
            await self.renew()

    async def require(self, owner: str) -> None:
        """Make sure, before something that cannot be taken back, that this process is still thought to live.

        Args:
            owner: As which it began.

        Raises:
            AgentTakenUp: It was thought to be dead meanwhile.
            LogError: That cannot be told.
        """
        await self.assure()
        if owner != self.owner:
            raise AgentTakenUp(
                "this process was stopped for so long that others have taken up its agents",
                "Join the domain again, as a new agent.",
            )

    async def keep(self) -> None:
        """Renew the lease now and then, for ever."""
        while True:
            await anyio.sleep(RENEWED_S)
            with contextlib.suppress(LogError):  # tried again; what needs the lease meanwhile stops by itself
                await self.renew()

    async def end(self) -> None:
        """Give the lease back."""
        if self.owner:
            await self._log.end_lease(self.owner)
            self.owner = ""

    async def dead(self, owners: set[str]) -> set[str]:
        """Return those owners that are dead, having ended their leases.

        Raises:
            LogError: The log cannot be read or written.
        """
        leases = {one.owner: one for one in await self._log.leases()}
        found = set()
        for owner in owners - {self.owner}:
            lease = leases.get(owner)
            if lease is None or (
                is_over(lease) and await self._log.end_lease(owner, late=not has_died(lease.process))
            ):
                found.add(owner)
        return found


def is_over(lease: Lease) -> bool:
    """Tell whether whoever holds a lease is dead, or thought to be."""
    return lease.left_s <= 0 or has_died(lease.process)
