"""What goes wrong around the hosts of a run, until nothing does any more."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import anyio

from coagent_lab.sim.bodies import Body, Fates, Link
from coagent_lab.sim.hosts import Host, System


class Weather:
    """Has hosts cut off and targets be away, and brings it all to an end.

    Args:
        rng: Says when.
        faults: What there is.
        fates: Of the hosts.
        hosts: The hosts.
        systems: The live systems.
    """

    def __init__(
        self,
        rng: random.Random,
        faults: Collection[str],
        fates: Fates,
        hosts: Sequence[Host],
        systems: Sequence[System],
    ) -> None:
        self._rng = rng
        self._faults = faults
        self._fates = fates
        self._hosts = hosts
        self._systems = systems
        self._calm = anyio.Event()
        self._stopped: list[Body] = []

    async def run(self, until_s: float) -> None:
        """Let things go wrong for so many seconds, and then nothing any more."""
        async with anyio.create_task_group() as tasks:
            if "cut_log" in self._faults:
                tasks.start_soon(self._cut, ["log"])
            if "cut_target" in self._faults:
                tasks.start_soon(self._cut, [name for name in self._hosts[0].links if name != "log"])
            if "away" in self._faults:
                tasks.start_soon(self._send_away)
            await anyio.sleep(until_s)
            self._fates.note("from here on nothing fails")
            self._fates.calm = True
            self._calm.set()
        for body in self._stopped:
            body.go_on()

    async def stop(self, body: Body) -> None:
        """Let a process that has been stopped go on after a while."""
        self._stopped.append(body)
        await self.pause(self._rng.choice((3.0, 20.0, 70.0, 200.0)))
        if body.stopped:
            self._fates.note(f"{body.name} goes on")
            body.go_on()

    async def pause(self, seconds: float) -> None:
        """Return after so many seconds, or when nothing fails any more."""
        with anyio.move_on_after(seconds):
            await self._calm.wait()

    async def _cut(self, names: Sequence[str]) -> None:
        while not self._fates.calm:
            await self.pause(self._rng.uniform(0, 60))
            host = self._rng.choice(self._hosts)
            link: Link = host.links[self._rng.choice(names)]
            if not self._fates.calm:
                self._fates.note(f"{host.name} is cut off from {link.name}")
                link.cut()
                await self.pause(self._rng.choice((2.0, 15.0, 70.0, 150.0)))
            self._fates.note(f"{host.name} reaches {link.name} again")
            link.heal()

    async def _send_away(self) -> None:
        while not self._fates.calm:
            await self.pause(self._rng.uniform(0, 60))
            system = self._rng.choice(self._systems)
            system.away = not self._fates.calm
            await self.pause(self._rng.choice((2.0, 15.0, 70.0)))
            system.away = False
