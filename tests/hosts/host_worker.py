"""A process that works on its own checkout, as on a host of its own.

Usage: host_worker.py LOG FOLDER NAME COUNT [PATIENCE_S]: COUNT times, an agent of that name adds a line to a
file
that all add to and one to a file of its own, and commits. A line of input lets it begin; then it says what it
did. LOG and FOLDER are as `checkouts.host` takes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from anyio import to_thread
from checkouts import host

from coagent import CoAgentError


def said(text: str) -> None:
    print(text, flush=True)


async def main(log: str, folder: str, name: str, count: str, patience_s: str = "60") -> None:
    async with host(log, Path(folder), patience_s=float(patience_s), order="early") as domain:
        said("open")
        await to_thread.run_sync(sys.stdin.readline)
        for number in range(int(count)):
            try:
                agent = await domain.join(f"{name}{number}")
                await agent.call("append", key="file:shared", line=f"{name} {number}")
                await agent.call("put", key=f"file:of-{name}/{number}", value=f"{name}\n")
                said(f"{(await agent.finish(wait=True)).state} {number}")
            except CoAgentError as failure:
                said(f"failed {failure.code}")
                break
        await to_thread.run_sync(sys.stdin.readline)
        await domain.settle()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    anyio.run(main, *sys.argv[1:])
