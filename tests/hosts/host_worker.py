"""A process that works on its own checkout, as on a host of its own.

Usage: host_worker.py LOG FOLDER NAME [PATIENCE_S [LEASE_S]], the first two as `checkouts.host` takes them.
Each line of input is something to do, and is answered by a line or more:

work COUNT: COUNT times, an agent of that name adds a line to a file that all add to and one to a file of its
    own, and commits
join [KEPT]: an agent joins that stays at work; whoever comes may take it up, should the process die
attach NAME: takes up an agent
line: it adds a line to the file that all add to
finish: it finishes
settle: the checkout is brought to where the log is
end
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import anyio
from anyio import to_thread
from checkouts import host

from coagent import AgentNotActive, CoAgentError
from coagent.errors import AgentTakenUp
from coagent.log.base import Log
from coagent.runtime import tenure
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession


def said(text: str) -> None:
    print(text, flush=True)


class Worker:
    """What a host does.

    Args:
        domain: Open over its checkout.
        name: The host's.
    """

    def __init__(self, domain: Domain, name: str) -> None:
        self._domain = domain
        self._name = name
        self._agent: AgentSession | None = None
        self._left: AgentSession | None = None  # what could not go on with its work
        self._lines = self._begun = 0

    async def do(self, what: str, *given: str) -> None:
        """Do what a line of input says."""
        if what == "work":
            await self._work(int(given[0]))
        elif what == "join":
            self._domain.on_death = "keep" if given else "abort"
            self._agent = await self._domain.join(f"{self._name}-stays")
            said("joined")
        elif what == "attach":
            self._agent = await self._domain.attach(given[0])
            said("attached")
        elif what == "line":
            assert self._agent is not None
            self._lines += 1
            await self._agent.call("append", key="file:shared", line=f"{self._name}-stays {self._lines}")
            said("added")
        elif what == "finish":
            assert self._agent is not None
            said((await self._agent.finish(wait=True)).state)
        elif what == "settle":
            await self._domain.settle()
            said("settled")

    async def _work(self, count: int) -> None:
        slowest_s = 0.0
        if self._left is not None:  # what it has written is in the way of whoever comes after it
            with contextlib.suppress(AgentNotActive, AgentTakenUp):
                await self._left.abort()
        for number in range(self._begun, self._begun + count):
            self._begun = number + 1
            began_s = time.monotonic()
            agent = self._left = await self._domain.join(f"{self._name}{number}")
            await agent.call("append", key="file:shared", line=f"{self._name} {number}")
            await agent.call("put", key=f"file:of-{self._name}/{number}", value=f"{self._name}\n")
            said(f"{(await agent.finish(wait=True)).state} {number}")
            self._left = None
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        said(f"slowest {slowest_s:.1f}")


def short_leases(lease_s: float) -> None:
    """Have leases last for so long only, in seconds."""
    tenure.RENEWED_S = lease_s / 6

    def made(_: Domain, log: Log) -> tenure.Tenure:
        return tenure.Tenure(log, lease_s=lease_s)

    Domain._tenure = made  # type: ignore[method-assign]


async def main(log: str, folder: str, name: str, patience_s: str = "60", lease_s: str = "") -> None:
    if lease_s:
        short_leases(float(lease_s))
    async with host(log, Path(folder), patience_s=float(patience_s), order="early") as domain:
        worker = Worker(domain, name)
        said("open")
        while (line := (await to_thread.run_sync(sys.stdin.readline)).split()) not in ([], ["end"]):
            try:
                await worker.do(*line)
            except CoAgentError as failure:
                said(f"failed {failure.code}")
                said(f"because {failure}")
        await domain.settle()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        anyio.run(main, *sys.argv[1:])
    except CoAgentError as failure:
        said(f"refused {failure.code}")
        said(f"because {failure}")
        sys.exit(1)
