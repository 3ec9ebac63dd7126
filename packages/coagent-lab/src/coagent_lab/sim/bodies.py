"""What can befall a process and its connections: it dies, stands still, is cut off, or waits for answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

import anyio

from coagent.processes import Process, this_place

RATES = {
    "killed": (0.005, 0.02, 0.06),
    "stopped": (0.005, 0.02, 0.06),
    "unheard": (0.01, 0.05, 0.2),
    "slow": (0.02, 0.1),
}
"""By fault, how likely it strikes at one of the points where it may."""
_STRIKES_MAX = {"killed": 5, "stopped": 4, "unheard": 12, "slow": 40}


class Fates:
    """Says what befalls whom, until everything is to go well.

    Args:
        rng: Decides.
        faults: Which kinds of faults there are.
    """

    def __init__(self, rng: random.Random, faults: Collection[str]) -> None:
        self.rng = rng
        self.calm = False
        """Whether nothing fails any more."""
        self.count: dict[str, int] = {}
        self.note: Callable[[str], None] = lambda text: None
        self._rates = {fault: rng.choice(rates) for fault, rates in RATES.items() if fault in faults}

    def strikes(self, fault: str) -> bool:
        """Tell whether a fault strikes now."""
        rate = self._rates.get(fault)
        if self.calm or rate is None or self.rng.random() >= rate:
            return False
        self.count[fault] = count = self.count.get(fault, 0) + 1
        return count <= _STRIKES_MAX[fault]

    async def travel(self) -> None:
        """Take as long as a request, or its answer, is under way."""
        if self.strikes("slow"):
            await anyio.sleep(self.rng.uniform(1.0, 8.0))
        else:
            await anyio.sleep(self.rng.choice((0.001, 0.01, 0.05)))


class Link:
    """The way from a process to something else; it may be cut.

    Args:
        name: Of what it leads to.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._whole = anyio.Event()
        self._whole.set()

    @property
    def is_cut(self) -> bool:
        """Whether nothing comes through."""
        return not self._whole.is_set()

    def cut(self) -> None:
        """Let nothing through."""
        self._whole = anyio.Event()

    def heal(self) -> None:
        """Let everything through again."""
        self._whole.set()

    async def patient(self, limit_s: float) -> bool:
        """Wait until something comes through, up to a limit in seconds; whether it does."""
        if self.is_cut:
            with anyio.move_on_after(limit_s):
                await self._whole.wait()
        return not self.is_cut


class Killed(Exception):
    """The process is dead, and does nothing any more."""


class Body:
    """What of a process can be killed or stopped.

    Args:
        name: Of the process.
        fates: Say when.
        links: From it to the log and the targets, by name.
        local: Whether others can see at once that it is dead.
    """

    def __init__(self, name: str, fates: Fates, links: dict[str, Link], *, local: bool) -> None:
        self.name = name
        self.links = links
        self.fates = fates
        self.dead = False
        self.late = False
        """Whether it has put what was over by then: only it knows, and can mend that."""
        self.died = anyio.Event()
        self._local = local
        self._moving = anyio.Event()
        self._moving.set()
        self.on_stop: Callable[[Body], None] = lambda body: None

    @property
    def process(self) -> Process:
        """What leases say of it: from afar nobody can tell whether it lives, but on its own host."""
        place = this_place() if self.dead and self._local else "elsewhere"
        return Process("host", place, 2**22 + 1, "1")

    @property
    def stopped(self) -> bool:
        """Whether it stands still."""
        return not self._moving.is_set()

    async def point(self) -> None:
        """Pass a point at which it may die or be stopped; where it stands still, that takes until it goes on.

        Raises:
            Killed: It is dead.
        """
        self.live()
        if not self.late and self.fates.strikes("killed"):
            self.fates.note(f"{self.name} is killed")
            self.die()
        elif not self.stopped and self.fates.strikes("stopped"):
            self.fates.note(f"{self.name} is stopped")
            self._moving = anyio.Event()
            self.on_stop(self)
        while self.stopped:
            await self._moving.wait()
        self.live()

    def live(self) -> None:
        """Do nothing, which takes a process.

        Raises:
            Killed: There is none any more.
        """
        if self.dead:
            raise Killed

    def die(self) -> None:
        """Be dead from now on."""
        self.dead = True
        self.died.set()
        self.go_on()

    def go_on(self) -> None:
        """Go on where it was stopped."""
        self._moving.set()
