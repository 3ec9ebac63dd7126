"""The sessions of a workspace: which agent each of them is, and which hook goes where."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from coagent.errors import CoAgentError, ConfigurationError, UnknownAgent
from coagent.gateways.claude import turn_end
from coagent.gateways.claude.elsewhere import sessions_elsewhere
from coagent.gateways.claude.family import Family
from coagent.gateways.claude.hub import Hub
from coagent.gateways.claude.left_behind import taken_over
from coagent.gateways.claude.session import Answer, ClaudeSession
from coagent.gateways.claude.shell import client_command, ended
from coagent.gateways.claude.told_before import told_before, told_last
from coagent.gateways.claude.words import heard
from coagent.gateways.membership import taken_up_or_joined
from coagent.gateways.setup.shell_script import PREFIX, SCRIPT
from coagent.private import write_private
from coagent.runtime.place_in_order import place_in_order
from coagent.runtime.session import AgentSession
from coagent.systems.shell.streams import Streams
from coagent.wording.endings import nobody_looked, not_governed

_EVENTS = {
    "SessionStart": ClaudeSession.started,
    "UserPromptSubmit": ClaudeSession.prompted,
    "SubagentStart": ClaudeSession.started,
    "PreToolUse": ClaudeSession.before,
    "PostToolUse": ClaudeSession.after,
    "PostToolUseFailure": ClaudeSession.failed,
    "PostToolBatch": ClaudeSession.batched,
    "Stop": turn_end.stopped,
    "SubagentStop": turn_end.answered,
}
_NAME_DIGITS = 8
_NAME, _RANK = "COAGENT_AGENT", "COAGENT_RANK"


class Sessions:
    """All sessions of a workspace.

    Args:
        hub: What they share.
        kept: A file that outlives the daemon: which session has which agent and process.
    """

    def __init__(self, hub: Hub, kept: Path) -> None:
        self._hub = hub
        self._kept = kept
        self._families: dict[str, Family] = {}
        self._processes: dict[str, int] = {}
        self._joining = anyio.Lock()
        self._spoken_of: set[int] = set()
        self._gone: list[AgentSession] = []
        """Those whose session has ended, and whose work is committed all the same."""
        self._for_a_person: list[str] = []
        self._left: dict[str, Answer] = {}  # what became of commands whose daemon has died
        self._given: dict[str, Mapping[str, str]] = {}  # what the user has set for each
        self.commanding = anyio.Event()
        """Set when a session has come that will run commands by our prefix."""

    @property
    def active(self) -> bool:
        """Whether any session is there whose process lives."""
        return bool(self._processes)

    async def handle(self, message: Mapping[str, Any]) -> Answer:
        """Answer one hook.

        Args:
            message: `event` as Claude Code gave it to the hook, `environment` with what the user has set for
                the session (COAGENT_AGENT, COAGENT_RANK), and `pid` of its process.

        Raises:
            CoAgentError: The session cannot be governed; the message says why.
        """
        event = message.get("event")
        if not isinstance(event, Mapping) or not isinstance(event.get("session_id"), str):
            raise CoAgentError("this is no event of a Claude Code session", "Is the hook of this version?")
        id, name = event["session_id"], event.get("hook_event_name")
        if name == "SessionEnd":
            await self._end(id)
            return {}
        react = _EVENTS.get(str(name))
        if react is None:
            return {}
        session = await self._conversation(id, message)
        session.call_away()
        async with session.lock:
            if session.over:  # it has committed with its last turn: this is a new one
                session = await self._conversation(id, message)
            await self._exchange(session)
            if name != "PreToolUse":
                self._hear(session, event)
            answer = await react(session, event)
            if name == "PreToolUse":  # by now it is known as whom the session makes the call
                self._hear(session, event)
            if name in ("PostToolUse", "PostToolUseFailure"):
                await self._exchange(session)
            if name in ("SessionStart", "UserPromptSubmit") and (told := await self._news_for_a_person()):
                answer = {"systemMessage": told, **answer}
            await self._hub.domain.flush()  # the session may outlive this process, and knows the answer
            if session.governed:
                self.commanding.set()
            return answer

    def _hear(self, session: ClaudeSession, event: Mapping[str, Any]) -> None:
        if self._hub.domain.keeps_words:
            heard(session.agent, event)

    async def _exchange(self, session: ClaudeSession) -> None:
        """Bring a session and what it runs in the background to the same state."""
        for command in list(self._hub.in_background.get(session.id, ())):
            await command.exchange(session)

    def left(self, message: Mapping[str, Any]) -> None:
        """Note that a session's client waits no longer for the answer to an event."""
        event = message.get("event")
        family = self._families.get(str(event.get("session_id"))) if isinstance(event, Mapping) else None
        if family is None or not isinstance(event, Mapping):
            return
        subagent = event.get("agent_id")
        session = family.main if subagent is None else family.subagents.get(str(subagent))
        if session is not None:
            session.call_away()

    async def command(self, message: Mapping[str, Any], to: Streams, gone: anyio.Event) -> Answer:
        """Run a command of a session.

        Args:
            message: As the prefix sends it: `command`, `run`, `session_id`, `pid`, `cwd`, `environment`.
            to: Where it writes.
            gone: Set when the client has given up.

        Raises:
            CoAgentError: It has not been run; the message says why.
        """
        id = message.get("session_id")
        if not isinstance(id, str) or not id:
            raise CoAgentError(
                "this is no command of a Claude Code session", "Is the prefix of this version?"
            )
        main = await self._conversation(id, message)  # whose hooks may wait for a turn: it needs no lock
        asked = client_command(message)
        session = main.family.announced(asked.command) or main
        answer = await session.shell.run(asked, to, gone)
        try:
            await self._hub.domain.flush()
        except CoAgentError as failure:  # it has run: an error would have it run again, ungoverned
            if "exit_code" in answer:
                return answer | {"says": f"coagent: what this command did is not on record yet: {failure}"}
            raise
        return answer

    def end_commands(self) -> None:
        """End the commands that run, and what waits for its turn."""
        for family in self._families.values():
            for conversation in family.conversations:
                conversation.shell.end()
                conversation.call_away()

    def ended(self, run: str) -> Answer:
        """Return what has become of a command whose daemon has died."""
        return self._left.get(run) or ended(self._hub.domain, run)

    def place_of(self, name: str) -> Answer:
        """Return where an agent stands, for a status line."""
        return place_in_order(self._hub.domain.kernel, name)

    async def _news_for_a_person(self) -> str:
        """Return what a person is to know of other sessions: whom nobody governs, whom nobody can ask."""
        found = await anyio.to_thread.run_sync(
            lambda: list(sessions_elsewhere(self._hub.root, set(self._processes.values())))
        )
        new = [session for session in found if session.pid not in self._spoken_of]
        self._spoken_of = {session.pid for session in found}
        lines, self._for_a_person = self._for_a_person, []
        if new:
            lines.append(not_governed(sorted({session.folder for session in new}), self._hub.root))
        return "\n".join(lines)

    async def commit_the_gone(self) -> None:
        """Let the work of sessions that have ended be committed, though nobody reads what has come to them.

        It would hold up all who come after it for good. What nobody could look at is told to a person.
        """
        self._gone = [agent for agent in self._gone if agent.state in ("active", "finished")]
        for agent in self._gone:
            if agent.notified or agent.state == "active":
                notices = await agent.notifications()
                if notices:
                    keys = sorted({notice.key.partition(":")[2] for notice in notices})
                    self._for_a_person.append(nobody_looked(agent.name, keys))
                await agent.finish()

    async def end_the_dead(self) -> None:
        """End the sessions whose process is gone without a word."""
        for id, pid in list(self._processes.items()):
            if not _alive(pid):
                await self._end(id)

    async def take_up(self) -> None:
        """Go on from where the last daemon was: end the sessions that have died since."""
        with contextlib.suppress(OSError, ValueError):
            for id, (name, pid, *more) in json.loads(self._kept.read_text()).items():
                others = more[0] if more else {}
                family = self._families[id] = self._family(id, str(others.get("name", name)))
                self._processes[id] = pid

                async def made(one: str, agent: str, family: Family = family) -> ClaudeSession | None:
                    try:
                        return self._make(family, one, await self._hub.domain.attach(agent))
                    except UnknownAgent:
                        return None

                family.main = await made(id, name)
                await family.take_up(others, made)
        await self._take_over_commands()
        await self._tell_again()
        await self.end_the_dead()

    async def _tell_again(self) -> None:
        """Have told again what the last daemon may have told to nobody."""
        agents = {agent.rank for family in self._families.values() for agent in family.agents}
        told = await anyio.to_thread.run_sync(told_last, self._hub.domain.url, agents)
        for family in self._families.values():
            for conversation in family.conversations:
                own = [conversation.agent, *(family.behind if conversation is family.main else ())]
                if text := told_before(own, told):
                    conversation.say(text)

    async def _take_over_commands(self) -> None:
        """Take over what commands had done whose daemon has died."""
        hub = self._hub
        if hub.shell is None:
            return
        joined: list[AgentSession] = []

        async def agent_of(name: str) -> AgentSession:
            for family in self._families.values():
                for agent in family.agents:
                    if agent.name == name:
                        return agent
            joined.append(await taken_up_or_joined(hub.domain, name, None))
            return joined[-1]

        def is_known(run: str) -> bool:
            return bool(ended(hub.domain, run))

        self._left = await taken_over(hub.notes, hub.domain, hub.shell.runner, agent_of, is_known)
        for agent in joined:
            await agent.finish()

    def _family(self, id: str, name: str) -> Family:
        return Family(self._hub, id, name, self._keep)

    async def _conversation(self, id: str, message: Mapping[str, Any]) -> ClaudeSession:
        """Return whose an event or a command is: the main conversation's of a session, or a subagent's."""
        event = message.get("event", {})
        subagent = event.get("agent_id")
        async with self._joining:
            family = self._families.get(id)
            if family is None or family.main is None or family.main.over:
                environment = message.get("environment", {})
                self._given[id] = {
                    variable: environment[variable] for variable in (_NAME, _RANK) if variable in environment
                }
                family = await self._join(id, self._given[id])
            known = family.main
            assert known is not None, "a session has a main conversation"
            if isinstance(subagent, str) and subagent:
                known = await self._subagent(family, subagent, event)
        if message.get("environment", {}).get(PREFIX, "").endswith(f"/{SCRIPT}"):
            known.has_prefix = True
        pid = message.get("pid")
        if isinstance(pid, int) and pid > 0 and self._processes.get(id) != pid:
            self._processes[id] = pid
            self._keep()
        return known

    async def _subagent(self, family: Family, id: str, event: Mapping[str, Any]) -> ClaudeSession:
        if event.get("hook_event_name") == "SubagentStart":
            await family.ended(id)  # it has answered before, and comes after all that was done since
        known = family.subagents.get(id)
        if known is None or known.over:
            agent = await family.place_of_subagent(id, str(event.get("agent_type") or ""))
            known = family.subagents[id] = self._make(family, f"{family.id}/{id}", agent)
            self._keep()
        return known

    async def _join(self, id: str, environment: Mapping[str, str]) -> Family:
        domain = self._hub.domain
        name = environment.get(_NAME) or f"claude-{id[:_NAME_DIGITS]}"
        rank = environment.get(_RANK)
        if rank is not None and not rank.isdigit():
            raise ConfigurationError(
                f"COAGENT_RANK={rank!r} is no rank", "Set it to a whole number from 0 on."
            )
        others = [
            family.main for other, family in self._families.items() if other != id and family.main is not None
        ]
        if any(conversation.agent.name == name and not conversation.over for conversation in others):
            name = f"{name}-{id[:_NAME_DIGITS]}"  # two sessions of one name: each is an agent of its own
        family = self._families.get(id) or self._family(id, name)
        agent = await taken_up_or_joined(domain, name, None if rank is None else int(rank))
        family.main = self._make(family, id, agent)
        self._families[id] = family
        return family

    def _make(self, family: Family, id: str, agent: AgentSession) -> ClaudeSession:
        async def goes_on_as() -> ClaudeSession:
            async with self._joining:
                known = family.main
                if known is None or known.over:
                    known = (await self._join(family.id, self._given.get(family.id, {}))).main
                    assert known is not None, "it has joined"
                    known.has_prefix, known.resting = True, True
                    if family.id not in self._processes:
                        del self._families[family.id]
                return known

        return ClaudeSession(family, id, agent, goes_on_as)

    async def _end(self, id: str) -> None:
        family = self._families.pop(id, None)
        self._processes.pop(id, None)
        self._keep()
        if family is not None:
            await family.end()
            whatever = self._hub.settings.on_leave == "commit"
            self._gone += [agent for agent in family.agents if whatever or agent.state == "finished"]

    def _keep(self) -> None:
        kept = {
            id: (family.main.agent.name, pid, family.kept())
            for id, pid in self._processes.items()
            if (family := self._families.get(id)) is not None and family.main is not None
        }
        write_private(self._kept, json.dumps(kept))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):  # where there is no /proc, a zombie passes for alive
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in ("Z", "X")
    return True
