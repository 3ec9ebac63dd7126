"""One session: its main conversation and those of its subagents, each with a place of its own in the order.

The places of a session follow one another. A subagent comes after what the session has done so far; what the
main conversation does from then on comes after the subagent, so the main conversation goes on as another
agent. What it was before stays open until its turn ends, and is told to it, as is what comes to a subagent
that has answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from coagent.gateways.claude import git_left
from coagent.gateways.claude.hub import Hub
from coagent.gateways.membership import leave
from coagent.runtime.notices import Notification
from coagent.runtime.session import AgentSession
from coagent.systems.git.calls import TO_TAKE
from coagent.wording.notices import listed
from coagent.wording.quoting import one_line

if TYPE_CHECKING:
    from coagent.gateways.claude.session import ClaudeSession

_KIND_LENGTH_MAX = 30
_NOTED = ("logs/HEAD", "ORIG_HEAD", "COMMIT_EDITMSG", "FETCH_HEAD")
_IN_THE_TREE = ("file:", "mode:", "link:")


class Family:
    """The conversations of one session.

    Args:
        hub: What all sessions share.
        id: The session's id, as Claude Code has it.
        name: Of its first agent.
        changed: Is called when its agents are others.
    """

    def __init__(self, hub: Hub, id: str, name: str, changed: Callable[[], None]) -> None:
        self.hub = hub
        self.id = id
        self.name = name
        self.main: ClaudeSession | None = None
        self.subagents: dict[str, ClaudeSession] = {}
        """Those at work, by their ids."""
        self.behind: list[AgentSession] = []
        """What its conversations were before they went on as others, as far as that has not ended."""
        self._of_subagents: dict[str, str] = {}  # agents to the kinds of subagents
        self._announced: list[tuple[str, ClaudeSession]] = []
        self._placing = anyio.Lock()
        self._changed = changed
        self.described: dict[str, str] = {}
        """What calls were, in the words of its client, by their ids."""
        self._given: dict[str, dict[str, Any]] = {}  # what of git subagents began with
        self._left_alone: set[str] = set()  # by git, as its models know

    # ---- places --------------------------------------------------------------------------------------------

    @property
    def last(self) -> AgentSession | None:
        """The agent of the session that stands last in the order, of those that have not ended."""
        return max(self.agents, key=lambda agent: agent.position, default=None)

    @property
    def agents(self) -> list[AgentSession]:
        """All agents of the session that have not ended."""
        heads = [conversation.agent for conversation in self.conversations]
        return [agent for agent in (*self.behind, *heads) if not _over(agent)]

    @property
    def conversations(self) -> list[ClaudeSession]:
        """The main conversation, and those of the subagents at work."""
        return [
            conversation for conversation in (self.main, *self.subagents.values()) if conversation is not None
        ]

    async def go_on(self) -> None:
        """Let the main conversation stand after the subagents that have begun since it last did something."""
        main = self.main
        if main is None or main.over:
            return
        async with self._placing:
            last = self.last
            if last is None or last.rank == main.agent.rank:
                return
            if main.id not in self.hub.git_left:
                self.hub.git_left[main.id] = main.agent.rank, await git_left.of(main.agent)
            before, main.agent = main.agent, await self._place(self._number(self.name), last)
            self.behind.append(before)
            self._changed()

    async def place_of_subagent(self, id: str, kind: str) -> AgentSession:
        """Return a place for a subagent that begins: after all that the session has done so far."""
        async with self._placing:
            agent = await self._place(self._free(f"{self.name}/{_plain(kind)}"), self.last)
            self._of_subagents[agent.name] = kind
            if self.main is not None and not self.main.over:
                left = self._given[id] = await git_left.of(self.main.agent)
                self.hub.git_left[f"{self.id}/{id}"] = self.main.agent.rank, left
            return agent

    async def _place(self, name: str, last: AgentSession | None) -> AgentSession:
        domain = self.hub.domain
        return await (domain.join(name) if last is None else domain.join(name, after=last))

    def _number(self, name: str) -> str:
        taken = self._taken()
        return next(one for n in itertools.count(2) if (one := f"{name}/{n}") not in taken)

    def _free(self, name: str) -> str:
        taken = self._taken()
        return (
            name
            if name not in taken
            else next(one for n in itertools.count(2) if (one := f"{name}-{n}") not in taken)
        )

    def _taken(self) -> set[str]:
        return {agent.name for agent in self.hub.domain.kernel.agents.values() if not agent.ended}

    # ---- subagents -----------------------------------------------------------------------------------------

    async def ended(self, id: str) -> None:
        """A subagent has answered: what comes to it from now on is for the main conversation."""
        conversation = self.subagents.pop(id, None)
        if conversation is None:
            return
        conversation.shell.end()
        await self.hub.gone(conversation.id)
        self._announced = [announced for announced in self._announced if announced[1] is not conversation]
        await self._take_over_git(id, conversation)
        if not _over(conversation.agent):
            self.behind.append(conversation.agent)
        self._changed()

    async def _take_over_git(self, id: str, conversation: ClaudeSession) -> None:
        """What a subagent has staged or stashed is the session's, as if there were one index."""
        given = self._given.pop(id, {})
        self.hub.git_left.pop(conversation.id, None)
        left = await git_left.of(conversation.agent)
        main = self.main
        if _held(left) == _held(given) or main is None or main.over or self.hub.shell is None:
            return
        _, waiting = self.hub.git_left.get(main.id, (0, None))
        if _held(await git_left.of(main.agent) if waiting is None else waiting) == _held(given):
            self.hub.git_left[main.id] = conversation.agent.rank, left
        else:
            kind = one_line(self._of_subagents.get(conversation.agent.name, ""))
            main.say(
                f"[coagent] What your subagent {kind} had staged or stashed in git is not taken over, since "
                "you have staged or stashed something meanwhile."
            )

    def rest(self, running: set[str]) -> list[str]:
        """Return the subagents that have ended without a word: they are none of those that still run."""
        return [id for id in self.subagents if id not in running]

    def note_work(self, *agents: AgentSession) -> set[str]:
        """Note the files that agents of it, and those behind, have written; returns all that were noted."""
        work = self.hub.work.setdefault(self.id, set())
        for agent in (*self.behind, *agents):
            known = self.hub.domain.kernel.agents.get(agent.rank)
            for call in () if known is None else known.calls.values():
                work.update(key.partition(":")[2] for key in call.writes if key.startswith(_IN_THE_TREE))
        return work

    # ---- what it is told -----------------------------------------------------------------------------------

    async def news(self) -> list[tuple[str, list[Notification]]]:
        """Take the notices of what is behind: the kind of the subagent, if it was one, and what has come."""
        found = []
        self.behind = [agent for agent in self.behind if not _over(agent)]
        for agent in self.behind:
            if agent.notified:
                finished = agent.state == "finished"
                notices = await agent.notifications()
                if notices:
                    found.append((self._of_subagents.get(agent.name, ""), notices))
                if finished:
                    await agent.finish()
        return found

    async def finish(self) -> None:
        """Finish what is behind and has nothing to tell."""
        for agent in self.behind:
            if agent.state == "active" and not agent.notified:
                await agent.finish()

    # ---- commands ------------------------------------------------------------------------------------------

    def announce(self, command: str, conversation: ClaudeSession) -> None:
        """Note whose a command is that the client is about to run: the command itself does not say."""
        self._announced.append((command, conversation))

    def unannounce(self, conversation: ClaudeSession) -> None:
        """Note that all commands of a conversation have begun, or never will."""
        self._announced = [announced for announced in self._announced if announced[1] is not conversation]

    def announced(self, command: str) -> ClaudeSession | None:
        """Return whose a command is that has begun."""
        for index, (announced, conversation) in enumerate(self._announced):
            if announced == command:
                del self._announced[index]
                return conversation
        return None

    def say_what_git_leaves(self, paths: Iterable[str], conversation: ClaudeSession) -> None:
        """Have a conversation told, once for each, which changes git does not show it and leaves alone.

        Args:
            paths: Theirs.
            conversation: Whose command has used git.
        """
        new = [path for path in paths if path not in self._left_alone]
        self._left_alone.update(new)
        if new:
            conversation.say(f"[coagent] git leaves these alone: {listed(new)}. {TO_TAKE}.")

    # ---- its end -------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """The session has ended: what becomes of its work is a setting."""
        for conversation in self.subagents.values():
            conversation.shell.end()
            await self.hub.gone(conversation.id)
            self.behind.append(conversation.agent)
        self.subagents = {}
        if self.main is not None:
            await self.main.ended()
        for agent in self.behind:
            if self.hub.shell is not None:
                self.hub.shell.forget(agent.rank)
            await leave(agent, self.hub.settings.on_leave, "its session has ended")

    # ---- what outlives the daemon --------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """Return which agents are the session's, beside that of its main conversation."""
        return {
            "name": self.name,
            "work": sorted(self.note_work()),
            "behind": [[agent.name, self._of_subagents.get(agent.name, "")] for agent in self.behind],
            "subagents": {
                id: [conversation.agent.name, self._of_subagents.get(conversation.agent.name, "")]
                for id, conversation in self.subagents.items()
            },
        }

    async def take_up(
        self, kept: Mapping[str, Any], made: Callable[[str, str], Awaitable[ClaudeSession | None]]
    ) -> None:
        """Go on with the agents of a session where the last daemon was.

        Args:
            kept: As `kept` has it.
            made: Returns the conversation of an agent, by its id and the agent's name; None where that has
                ended.
        """
        self.hub.work[self.id] = set(kept.get("work", ()))
        for name, kind in kept.get("behind", ()):
            self._of_subagents[name] = kind
            conversation = await made(self.id, name)
            if conversation is not None:
                self.behind.append(conversation.agent)
        for id, (name, kind) in kept.get("subagents", {}).items():
            self._of_subagents[name] = kind
            conversation = await made(f"{self.id}/{id}", name)
            if conversation is not None:
                self.subagents[id] = conversation


def _over(agent: AgentSession) -> bool:
    return agent.state in ("committed", "aborted")


def _held(left: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of git a conversation holds, without what git notes of each command."""
    files = {name: value for name, value in left.get("files", {}).items() if name not in _NOTED}
    return (
        {**left, "files": files}
        if files
        else {name: value for name, value in left.items() if name != "files"}
    )


def _plain(kind: str) -> str:
    """Return the kind of a subagent as part of a name: a name may not read as the id of a call."""
    return one_line(kind, _KIND_LENGTH_MAX).replace(".", "-").replace("/", "-") or "subagent"
