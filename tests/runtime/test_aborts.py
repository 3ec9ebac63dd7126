"""An agent that is aborted does nothing more, however long it takes to take its work back (rule 8)."""

from __future__ import annotations

import anyio
import pytest

from coagent import AgentNotActive, DeclaredTool, TargetError, open_domain


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class System:
    """A system whose undoing takes as long as the test wants, or fails."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.begun, self.go_on = anyio.Event(), anyio.Event()
        self.fails = False

    def tool(self) -> DeclaredTool:
        async def write(name: str) -> str:
            """Write."""
            self.written.append(name)
            return "ok"

        async def reverse(prepared: object, result: object, name: str) -> None:
            self.begun.set()
            await self.go_on.wait()
            if self.fails:
                raise OSError("no")
            self.written.remove(name)

        return DeclaredTool(write, writes=["sys:{name}"], reverse=reverse)


@pytest.mark.anyio
async def test_who_is_being_aborted_neither_calls_nor_finishes_and_commits_half_of_its_work() -> None:
    system = System()
    async with open_domain("memory:", tools=[system.tool()]) as domain:
        a = await domain.join("A")
        await a.call("write", name="one")
        await a.call("write", name="two")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.abort)
            await system.begun.wait()
            with pytest.raises(AgentNotActive, match="is being aborted"):
                await a.finish()
            with pytest.raises(AgentNotActive, match="is being aborted"):
                await a.call("write", name="three")
            system.go_on.set()
        assert a.state == "aborted"
        assert system.written == []


@pytest.mark.anyio
async def test_who_could_not_be_aborted_does_nothing_more_and_is_aborted_when_that_can_be() -> None:
    system = System()
    system.fails = True
    system.go_on.set()
    async with open_domain("memory:", tools=[system.tool()]) as domain:
        a = await domain.join("A")
        await a.call("write", name="one")
        with pytest.raises(TargetError, match="could not be reversed"):
            await a.abort()
        with pytest.raises(AgentNotActive, match="being aborted"):
            await a.call("write", name="two")
        assert (a.state, system.written) == ("aborting", ["one"])
        system.fails = False
        await domain.resolve("sys:one", "retry")
        await a.abort()
        assert (a.state, system.written) == ("aborted", [])
