"""Stories for the tests of the page, each made by the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import commands

import coagent


def canary_export(folder: Path) -> Path:
    """Return the canary demo as one file: story 0 under MTPO, story 1 under naive."""
    done = commands.coagent(
        "demo", "canary", "-p", "mtpo", "-p", "naive", "--keep", cwd=folder, TMPDIR=str(folder)
    )
    assert done.returncode == 0, done.stderr
    (kept,) = folder.glob("coagent-canary-*")
    page = folder / "canary.html"
    said = commands.coagent(
        "ui", f"sqlite:{kept}/mtpo.log", "--compare", f"sqlite:{kept}/naive.log", "--export", str(page)
    )
    assert said.returncode == 0, said.stderr
    return page


@coagent.tool
async def put(state: coagent.State, key: str, number: int) -> str:
    """Put a number."""
    await state.put(key, {"n": number})
    return "ok"


@coagent.tool
async def look(state: coagent.State, key: str) -> str:
    """Read an object."""
    return str(await state.get(key))


def opened(log: Path, **options: Any) -> coagent.Domain:
    target = coagent.targets.Memory({"kv:x": {"n": 1}})
    return coagent.open_domain(f"sqlite:{log}", targets=[target], tools=[put, look], **options)


async def promoted(log: Path) -> None:
    """Have an agent commit that has nothing to do with an earlier one, which is still at work."""
    async with opened(log, order="early") as domain:
        slow, quick = await domain.join("slow"), await domain.join("quick")
        await slow.call("put", key="kv:slow", number=1)
        await quick.call("put", key="kv:quick", number=2)
        assert (await quick.finish(wait=True)).state == "committed"


async def cut_off(log: Path) -> None:
    """Have two agents write often, so that the log has checkpoints, where they are close enough."""
    async with opened(log) as domain:
        first, second = await domain.join("A"), await domain.join("B")
        for number in range(30):
            await first.call("put", key="kv:x", number=number)
            await second.call("put", key=f"kv:{number}", number=number)


async def many_agents(log: Path, count: int) -> None:
    """Have many agents at work at once, who write what others have read."""
    async with opened(log) as domain:
        agents = [await domain.join(f"a{number}") for number in range(count)]
        for number, agent in enumerate(agents):
            await agent.call("put", key=f"kv:{number}", number=number)
            await agent.call("look", key=f"kv:{number // 2}")
        await agents[3].call("put", key="kv:3", number=99)
