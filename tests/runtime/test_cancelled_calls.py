"""A caller that is cancelled before what it wants has begun: nobody would hear of it, so it never begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from coagent import DeclaredTool, Domain, open_domain


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class System:
    """A system whose work takes as long as the test wants, where that is asked for."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.begun, self.go_on = anyio.Event(), anyio.Event()

    def tool(self) -> DeclaredTool:
        async def write(what: str, slowly: bool = False) -> str:
            """Write."""
            self.held.append(what)
            if slowly:
                self.begun.set()
                await self.go_on.wait()
            return "ok"

        async def reverse(prepared: object, result: object, what: str, slowly: bool = False) -> None:
            self.held.remove(what)

        return DeclaredTool(write, writes=["sys:x"], reverse=reverse)


async def cancelled_while_it_waits(
    domain: Domain, system: System, act: Callable[[], Awaitable[object]]
) -> None:
    """Begin something while another agent's call is under way, and be cancelled before that has ended."""
    other = await domain.join("other")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: other.call("write", what="other", slowly=True))
        await system.begun.wait()
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await anyio.wait_all_tasks_blocked()
                scope.cancel()

            tasks.start_soon(cancel)
            await act()
        assert scope.cancelled_caught
        system.go_on.set()
    await domain._opened.parts.tasks.settled()
    await domain.settle()


@pytest.mark.anyio
async def test_a_call_whose_caller_is_cancelled_before_it_has_begun_is_never_made() -> None:
    system = System()
    async with open_domain("memory:", tools=[system.tool()]) as domain:
        a = await domain.join("A")
        await cancelled_while_it_waits(domain, system, lambda: a.call("write", what="A"))
        assert a.calls == []
        assert system.held == ["other"]


@pytest.mark.anyio
@pytest.mark.parametrize("repair", ["undo", "amend"])
async def test_a_repair_whose_caller_is_cancelled_before_it_has_begun_is_never_made(repair: str) -> None:
    system = System()
    async with open_domain("memory:", tools=[system.tool()]) as domain:
        a = await domain.join("A")
        made = (await a.call("write", what="A")).call_id
        act = (lambda: a.undo(made)) if repair == "undo" else (lambda: a.amend(made, what="B"))
        await cancelled_while_it_waits(domain, system, act)
        assert [(one.call_id, one.effective, one.arguments["what"]) for one in a.calls] == [(made, True, "A")]
        assert system.held == ["A", "other"]
