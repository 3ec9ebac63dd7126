"""CoAgent as a strategy of RaceBench: its two methods, and its place for notices."""

from __future__ import annotations

from typing import Any

from coagent_lab.bench.race.governed import Governed

NAME = "coagent"
UNSEEN = (".racebench_git/**", ".worktrees/**", "**/__pycache__/**")
"""What lies in RaceBench's workspaces beside the task's files."""


def register(harness: Any, symbols: Any) -> None:
    """Make the strategy known to a copy of RaceBench.

    Args:
        harness: Its module `harness.strategies.base`.
        symbols: Its module `harness.symbols`.
    """

    class CoAgentStrategy(harness.Strategy):  # type: ignore[misc]
        """Reads and writes go through a domain; nobody waits, nothing is refused for another agent's sake."""

        name = NAME

        def __init__(self, workspace: Any, logger: Any, agent_ids: list[str], **options: Any) -> None:
            super().__init__(workspace, logger, agent_ids, **options)
            if workspace.isolation != "shared":
                raise ValueError("in this task no file is shared: there is nothing to coordinate")
            self._governed = Governed(workspace.root, agent_ids, UNSEEN)

        async def _coordinate_read(self, agent_id: str, relpath: str) -> str | None:
            return await self._governed.read(agent_id, relpath)

        async def _coordinate_write(self, agent_id: str, relpath: str, mutation: Any) -> Any:
            before = self._live(relpath)
            if mutation.kind == "overwrite":
                refused = ""
                await self._governed.write(agent_id, relpath, mutation.content)
            else:
                refused = await self._governed.edit(
                    agent_id, relpath, mutation.old_string, mutation.new_string
                )
            if refused:
                return harness.WriteOutcome(status="edit_failed", message=refused)
            changed = symbols.changed_symbols(before, self._live(relpath))
            return harness.WriteOutcome(status="applied", changed=changed)

        async def _release(self, agent_id: str) -> None:
            await self._governed.done(agent_id)
            for name in self.agent_ids:
                if name not in self.active:  # it has no more turn in which it could be told: only counted
                    self.drain_notifications(name)

        def drain_notifications(self, agent_id: str) -> list[str]:
            notices = self._governed.notices(agent_id)
            for notice in notices:
                path = str(notice.key).partition(":")[2]
                told = {"writer": notice.cause.agent, "reader": agent_id, "path": path, "symbols": []}
                self.log.log("coord", strategy=NAME, action="notified", **told)
            return [notice.text for notice in notices]

        def _live(self, relpath: str) -> str:
            return str(self.ws.read_file(relpath)) if self.ws.exists(relpath) else ""

    harness.register(CoAgentStrategy)
