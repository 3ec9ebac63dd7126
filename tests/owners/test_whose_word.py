"""That a run failed in a process taken for dead says nothing of one that another process has begun since."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import anyio
import pytest
from booking import Shop, process, stop_for_long

from coagent import AgentSession, CoAgentError, DeclaredTool
from coagent.protocol.calls import CallId
from coagent.runtime.domain import Domain


class Post:
    """Posts letters, each run when it is let go on; the runs named fail."""

    def __init__(self, *failing: int) -> None:
        self.began = [anyio.Event() for _ in range(4)]
        self.go_on = [anyio.Event() for _ in range(4)]
        self.posted: list[str] = []
        self._failing = failing
        self._runs = 0

    def tool(self, **options: Any) -> DeclaredTool:
        async def post(text: str) -> str:
            """Post a letter."""
            number, self._runs = self._runs, self._runs + 1
            self.began[number].set()
            await self.go_on[number].wait()
            if number in self._failing:
                raise RuntimeError("no answer")
            self.posted.append(text)
            return "posted"

        async def fetch_back(prepared: Any, result: Any, *, text: str) -> None:
            self.posted.remove(text)

        reverse = None if options else fetch_back
        return DeclaredTool(post, writes=["post:box"], reverse=reverse, **options)


async def tried(act: Any, *given: Any, **named: Any) -> None:
    """Do something of which its process may turn out to have been thought dead."""
    with contextlib.suppress(CoAgentError):
        await act(*given, **named)


async def retried(domain: Domain, tasks: Any, post: Post, number: int) -> None:
    """Have a process make a call again of which nobody knows whether it has run."""
    await domain.attach("A", force=True)
    tasks.start_soon(tried, domain.resolve, domain.kernel.unknown[0].id, "retry")
    await post.began[number].wait()


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["staged", "resolved", "amended"])
async def test_a_failure_is_not_recorded_over_what_another_process_is_making(
    tmp_path: Path, how: str
) -> None:
    log, shop = tmp_path / "log", Shop()
    failing = {"staged": 0, "resolved": 1, "amended": 1}[how]
    post = Post(failing)
    made = post.tool(gate="stage") if how == "staged" else post.tool()
    async with (
        process(log, shop, more=[made]) as zero,
        process(log, shop, more=[made]) as one,
        process(log, shop, more=[made]) as two,
        anyio.create_task_group() as tasks,
    ):
        at_work = await begun(how, zero, one, log, tasks, post)
        await post.began[failing].wait()
        await stop_for_long(at_work, log, two)
        await retried(two, tasks, post, failing + 1)
        post.go_on[failing].set()
        call = two.kernel.call(CallId("A.1"))
        assert call is not None
        with anyio.fail_after(10):
            while at_work._opened.parts.tasks._shields:  # until the run that failed has been seen to
                await anyio.sleep(0.001)
        await two.catch_up()
        assert call.under_way is not None
        post.go_on[failing + 1].set()
        with anyio.fail_after(10):
            while call.under_way is not None:
                await anyio.sleep(0.001)
        assert (call.seen.value, call.seen.error) == ("posted", None)
        for event in post.go_on:
            event.set()
    assert "letter" in post.posted


async def begun(how: str, zero: Domain, one: Domain, log: Path, tasks: Any, post: Post) -> Domain:
    """Have the run begin that will fail; returns the process that makes it."""
    a: AgentSession = await one.join("A") if how != "resolved" else await zero.join("A")
    if how == "staged":
        await a.call("post", text="letter")
        tasks.start_soon(tried, a.finish)
        return one
    tasks.start_soon(tried, lambda: a.call("post", text="letter"))
    await post.began[0].wait()
    if how == "amended":
        post.go_on[0].set()
        while not a.calls:
            await anyio.sleep(0.001)
        tasks.start_soon(tried, a.amend, "A.1")
        return one
    await stop_for_long(zero, log, one)
    await retried(one, tasks, post, 1)
    return one
