"""The workspace as its sessions share it: the domain, the tree, and what is under way by their own hand."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from coagent.config.domain_file import FOLDER, ClaudeTable
from coagent.errors import TargetError
from coagent.gateways.claude.left_behind import Notes
from coagent.gateways.claude.native import SharedTree
from coagent.gateways.claude.shadow import Shadow
from coagent.protocol.calls import Position, Rank
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.runtime.domain import Domain
from coagent.systems.shell.live import LiveShell

if TYPE_CHECKING:
    from coagent.gateways.claude.background import InBackground

_UNDER_WAY_S_MAX = 2.0
"""How long a hook waits for a native write of another session; longer ones wait for a person's consent."""


@dataclass(frozen=True)
class UnderWay:
    """A tool of a session's own that has been let through and has not been heard of since.

    Args:
        session: Whose it is.
        before: What the file held.
        since_s: When it was let through.
    """

    session: str
    before: Value
    since_s: float


class Hub:
    """What the sessions of one workspace share.

    Args:
        domain: An open domain over `tree`.
        tree: The workspace.
        settings: How sessions are governed.
        shell: In which their commands run; None where views cannot be had here.
    """

    def __init__(
        self, domain: Domain, tree: SharedTree, settings: ClaudeTable, shell: LiveShell | None = None
    ) -> None:
        self.domain = domain
        self.tree = tree
        self.settings = settings
        self.shell = shell
        self.git_left: dict[str, tuple[Rank, dict[str, Any]]] = {}
        """What sessions had in git for themselves, by their ids, and as which agents."""
        self.work: dict[str, set[str]] = {}
        """The files that sessions have written as agents from which they go on, by their ids."""
        self.in_background: dict[str, list[InBackground]] = {}
        """The commands of sessions that run beside their work, by the sessions' ids."""
        self.notes = Notes(Path(tree.workspace.root) / FOLDER / "running")
        self.root = tree.workspace.root
        self._views = Path(self.root) / FOLDER / "views"
        self._shadow = Shadow(tree, Path(self.root) / FOLDER / "shadow")
        self._under_way: dict[Key, UnderWay] = {}
        self._command = anyio.Lock()
        self._commanding = ""
        self._landed = anyio.Event()
        domain.spare(self._is_by_own_hand)

    def _is_by_own_hand(self, key: Key) -> bool:
        """Tell whether a session's own tool may be changing an object just now: its call is still to come."""
        return key in self._under_way or (bool(self._commanding) and key.startswith(self.tree.schemes))

    def views(self, name: str) -> Path:
        """Return the folder of the files that an agent is shown instead of those on disk."""
        return self._views / hashlib.sha256(name.encode()).hexdigest()[:16]  # a name may hold "/" or ".."

    def key_of(self, path: str, cwd: str) -> Key | None:
        """Return the object that a path names; None for what is not governed."""
        if not path or "\0" in path:
            return None
        absolute = path if path.startswith("/") else f"{cwd}/{path}"
        try:
            return self.tree.canonical(f"file:{absolute}")
        except TargetError:
            return None

    def live(self, key: Key, otherwise: Value) -> Value:
        """Return what the domain has put on disk, or something else for what it does not track."""
        kernel = self.domain.kernel
        return kernel.live_value(key) if kernel.base_known(key) else otherwise

    def differing(self, position: Position) -> dict[Key, Value]:
        """Return the files that are something else at a position than on disk: what they are there."""
        kernel = self.domain.kernel
        return {
            key: value
            for key, value in kernel.written_under("file:", position)
            if not same(value, kernel.live_value(key))
        }

    # ---- writes under way ----------------------------------------------------------------------------------

    async def let_through(self, key: Key, session: str) -> None:
        """Note that a session's own tool is about to write a file."""
        await self.settled(key, session)
        await self.look(key)
        self._under_way[key] = UnderWay(session, await self.tree.expect(key), time.monotonic())

    async def landed(self, key: Key, session: str) -> tuple[Value, Value]:
        """Return what a file held before a session's own tool wrote it, and what the tool has left."""
        found = self._under_way.get(key)
        if found is None or found.session != session:
            now = await self.tree.on_disk(key)
            return now, now
        del self._under_way[key]
        self._landed.set()
        self._landed = anyio.Event()
        return found.before, await self.tree.written(key)

    async def look(self, key: Key) -> None:
        """Look whether somebody outside has changed a file; what a session is about to write is its own."""
        if key not in self._under_way:
            await self.domain.look(key)

    def under_way(self, session: str) -> list[Key]:
        """Return the files that a session's own tools are about to write."""
        return [key for key, change in self._under_way.items() if change.session == session]

    async def settled(self, key: Key, session: str) -> None:
        """Wait until no other session's own tool is writing a file; not long: it may wait for a person."""
        while (found := self._under_way.get(key)) is not None and found.session != session:
            left = found.since_s + _UNDER_WAY_S_MAX - time.monotonic()
            if left <= 0:
                return
            with anyio.move_on_after(left):
                await self._landed.wait()

    # ---- commands ------------------------------------------------------------------------------------------

    async def begin_command(self, session: str) -> bool:
        """Wait until no other session runs a command that may write, and remember what the tree looks like.

        Returns:
            Whether it may run; False where another one takes too long.
        """
        if self._commanding == session:
            return True
        with anyio.move_on_after(self.settings.busy_s) as waiting:
            while self._commanding:
                await self._landed.wait()
        if waiting.cancelled_caught:
            return False
        self._commanding = session
        await anyio.to_thread.run_sync(self._shadow.synchronize)
        return True

    @asynccontextmanager
    async def ended_command(self, session: str) -> AsyncIterator[dict[Key, tuple[Value, Value]]]:
        """Hold while what a command has changed is taken over: key to what was there and what is there."""
        if self._commanding != session:
            yield {}
            return
        try:
            changes = await anyio.to_thread.run_sync(self._shadow.changes)
            found: dict[Key, tuple[Value, Value]] = {}
            for key, native in changes.items():
                before = self.live(key, native.before)
                if key not in self._under_way and before != native.after:
                    found[key] = (before, native.after)
            yield found
        finally:
            self._commanding = ""
            self._landed.set()
            self._landed = anyio.Event()

    async def gone(self, session: str) -> None:
        """Forget what a session had under way."""
        for key in self.under_way(session):
            await self.landed(key, session)
        if self._commanding == session:
            self._commanding = ""
            self._landed.set()
            self._landed = anyio.Event()
