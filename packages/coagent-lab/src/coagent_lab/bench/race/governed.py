"""The files of one trial under a CoAgent domain, in a form that a coordination strategy asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import coagent
from coagent.errors import ToolFailed
from coagent.runtime.session import AgentSession
from coagent.systems.files.target import EXCLUDED
from coagent.systems.files.tools import FILE_TOOLS


class Governed:
    """A folder whose files agents read and write in a fixed order, the one in which they are named.

    The domain is opened at the first call and closed when the last agent is done; by then all have committed.

    Args:
        root: The folder.
        agents: Their names, in the order that the end shall be serial in.
        exclude: Globs of what in the folder is no agent's matter.
    """

    def __init__(self, root: Path, agents: Sequence[str], exclude: Sequence[str] = ()) -> None:
        self._root, self._exclude = root, (*EXCLUDED, *exclude)
        self._names, self._active = tuple(agents), set(agents)
        self._inbox: dict[str, list[coagent.Notification]] = {name: [] for name in agents}
        self._sessions: asyncio.Future[dict[str, AgentSession]] | None = None
        self._over = asyncio.Event()
        self._domain: asyncio.Task[None] | None = None

    async def read(self, agent: str, path: str) -> str | None:
        """Return the text of a file as the agent is to see it; None where there is none."""
        try:
            return str(await self._call(agent, "read_file", path=path))
        except ToolFailed:
            return None

    async def write(self, agent: str, path: str, content: str) -> None:
        """Put the whole text of a file."""
        await self._call(agent, "write_file", path=path, content=content)

    async def edit(self, agent: str, path: str, old: str, new: str) -> str:
        """Replace a text that occurs once; return why that could not be done, or nothing."""
        try:
            await self._call(agent, "edit_file", path=path, old_string=old, new_string=new)
        except ToolFailed as refused:
            return str(refused)
        return ""

    def notices(self, agent: str) -> list[coagent.Notification]:
        """Return what the agent has not been told yet."""
        told, self._inbox[agent] = self._inbox[agent], []
        return told

    async def done(self, agent: str) -> None:
        """Take it that the agent makes no more calls. It is not waited for others, but for the last one."""
        session = (await self._opened())[agent]
        self._active.discard(agent)
        while (settled := await session.finish()).state == "notified":
            self._inbox[agent] += settled.notifications
        if not self._active:
            await self._close()

    async def _call(self, agent: str, tool: str, **arguments: str) -> object:
        session = (await self._opened())[agent]
        outcome = await session.call(tool, **arguments)
        self._inbox[agent] += outcome.notifications
        return outcome.value

    async def _close(self) -> None:
        for name, session in (await self._opened()).items():
            while (settled := await session.finish(wait=True)).state != "committed":
                self._inbox[name] += settled.notifications
        self._over.set()
        assert self._domain is not None
        await self._domain

    async def _opened(self) -> dict[str, AgentSession]:
        if self._sessions is None:
            self._sessions = asyncio.get_running_loop().create_future()
            # In a task of its own: a domain is to be closed by the task that has opened it.
            self._domain = asyncio.create_task(self._serve(self._sessions))
        return await asyncio.shield(self._sessions)

    async def _serve(self, sessions: asyncio.Future[dict[str, AgentSession]]) -> None:
        try:
            target = coagent.targets.Files(self._root, exclude=self._exclude)
            async with coagent.open_domain("memory:", targets=[target], tools=[FILE_TOOLS]) as domain:
                sessions.set_result({name: await domain.join(name) for name in self._names})
                await self._over.wait()
        except Exception as failure:
            if sessions.done():
                raise
            sessions.set_exception(failure)
