"""The end of a turn: nobody waits longer than a person will stand, and each hook answers within its limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from client import FakeClient

from coagent.gateways.claude import hook
from coagent.gateways.claude.hub import Hub
from coagent.gateways.claude.sessions import Sessions
from coagent.gateways.claude.stop import stop_daemon
from coagent.gateways.claude.workspace import open_workspace
from coagent.gateways.setup import workspace as setup
from coagent.runtime.session import AgentSession

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("one\n")
    return tmp_path


@asynccontextmanager
async def two_in_conflict(root: Path) -> AsyncIterator[tuple[FakeClient, FakeClient]]:
    """Open a workspace in which one session has read what another has changed since."""
    setup.make(root)
    domain, tree, file, shell = open_workspace(root)
    async with domain:
        sessions = Sessions(Hub(domain, tree, file.claude, shell), root / ".coagent" / "sessions.json")
        first, second = (FakeClient(sessions, root, name, Random(0)) for name in ("first", "second"))
        await first.read("a.txt")
        await second.read("a.txt")
        await second.tool("Edit", file_path=str(root / "a.txt"), old_string="one", new_string="two")
        yield first, second


def agent(client: FakeClient) -> AgentSession:
    """Return the agent of a session."""
    main = client.sessions._families[client.name].main
    assert main is not None
    return main.agent


async def answer_to_stop(client: FakeClient, then: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """Return what the end of a turn is answered, where something happens while it waits."""
    answers: list[dict[str, Any]] = []

    async def stop() -> None:
        answers.append(await client.hook("Stop"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            while client.name not in client.sessions._families or agent(client).state != "finished":
                await anyio.lowlevel.checkpoint()
            await then()
    return answers[0]


async def test_a_wait_at_a_turns_end_is_over_as_soon_as_the_person_goes_on(root: Path) -> None:
    async with two_in_conflict(root) as (_, second):
        answer = await answer_to_stop(second, lambda: second.hook("UserPromptSubmit", prompt="go on"))
        assert "waits for first." in answer["systemMessage"]
        assert "`coagent undo NAME --abort`" in answer["systemMessage"]


async def test_a_wait_at_a_turns_end_is_over_when_its_client_has_had_enough(root: Path) -> None:
    async with two_in_conflict(root) as (first, second):

        async def leave() -> None:
            second.sessions.left({"event": {"session_id": "second"}})

        await answer_to_stop(second, leave)
        # What is finished is committed without its session, once those before it have ended.
        await first.hook("Stop")
        await second.sessions._hub.domain.settle()
        assert agent(second).state == "committed"


@pytest.mark.parametrize("finished", [True, False])
async def test_work_of_a_session_that_has_ended_is_committed_whatever_comes_to_it_and_a_person_is_told(
    root: Path, finished: bool
) -> None:
    async with two_in_conflict(root) as (first, second):
        sessions = first.sessions
        if finished:

            async def leave() -> None:
                second.sessions.left({"event": {"session_id": "second"}})

            await answer_to_stop(second, leave)
        gone = agent(second)
        if not finished:
            await first.tool("Bash", command="true")
            await first.tool("Edit", file_path=str(root / "a.txt"), old_string="one", new_string="1")
        await second.hook("SessionEnd", reason="other")
        if finished:
            await first.tool("Edit", file_path=str(root / "a.txt"), old_string="one", new_string="1")
        assert gone.notified
        await sessions.commit_the_gone()
        await first.hook("Stop")
        await sessions._hub.domain.settle()
        assert gone.state == "committed"
        told = await first.hook("UserPromptSubmit", prompt="go on")
        assert "second had ended when a.txt changed, which it had read." in told["systemMessage"]
        assert "systemMessage" not in await first.hook("UserPromptSubmit", prompt="go on")


@pytest.fixture
def stopped(root: Path) -> Iterator[Path]:
    """Return a workspace whose daemon does not go on."""
    subprocess.run([sys.executable, "-m", "coagent", "init"], cwd=root, check=True, capture_output=True)
    hook.ask(str(root), {"ended": "nothing"})
    pid = int((root / ".coagent" / "daemon.lock").read_text())
    os.kill(pid, signal.SIGSTOP)
    yield root
    os.kill(pid, signal.SIGCONT)
    stop_daemon(root)


def test_a_daemon_that_does_not_go_on_is_named_within_the_limit(stopped: Path) -> None:
    with pytest.raises(hook.HookError, match=r"not answered for 0.2 s; its process is in .coagent/daemon"):
        hook.ask(str(stopped), {"ended": "nothing"}, 0.2)


def test_a_hook_imports_next_to_nothing() -> None:
    code = (
        "import sys; sys.path.append(sys.argv[1]); import hook; "
        "print(*sys.modules.keys() & {'contextlib', 'json', 're', 'socket', 'subprocess', 'typing'})"
    )
    argv = [sys.executable, "-IS", "-c", code, str(Path(hook.__file__).parent)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_each_event_has_a_limit_below_that_of_its_hook(root: Path) -> None:
    subprocess.run([sys.executable, "-m", "coagent", "init"], cwd=root, check=True, capture_output=True)
    settings = json.loads((root / ".claude" / "settings.local.json").read_text())
    for name, groups in settings["hooks"].items():
        for tool in ("Read", "Bash"):
            limit_s = hook.answer_limit_s(str(root), {"hook_event_name": name, "tool_name": tool})
            assert limit_s < min(one["timeout"] for group in groups for one in group["hooks"])
