"""One conversation of a Claude Code session as an agent: what each of its hooks does, and what it answers.

It is the session's main one, or that of a subagent (`family.py`).

Its own tools work on the one tree. Before they write, what was there is kept; afterwards the change becomes
a call of a governed tool, which takes it over. What they have read is recorded, and shown as the session's
place in the order sees it. Source of the events and answers: Claude Code documentation, "Hooks reference".
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread

from coagent.errors import CoAgentError, ToolFailed
from coagent.gateways.claude import git_left, in_tree, shown
from coagent.gateways.claude.edits import effective_edit
from coagent.gateways.claude.family import Family
from coagent.gateways.claude.native import NativeWrite
from coagent.gateways.claude.shell import SessionShell
from coagent.gateways.membership import leave
from coagent.private import private_folder, write_private
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.runtime.notices import Notification
from coagent.runtime.outcomes import Outcome
from coagent.runtime.session import AgentSession
from coagent.systems.files.changes import digest, file_change
from coagent.wording.instructions import for_a_session
from coagent.wording.notices import concerns_a_subagent, listed, session_notices
from coagent.wording.quoting import one_line

Answer = dict[str, Any]
_WRITERS = ("Edit", "Write", "NotebookEdit")
# What the client says where a file is not what it takes it for, though it may be for the session.
_STALE = (
    "has been modified since read",
    "has not been read yet",
    "content has changed since it was last read",
)
_ABSENT = ("String to replace not found", "matches of the string to replace", "File does not exist")


class ClaudeSession:
    """One conversation.

    Args:
        family: The session that it is of.
        id: Its id: as Claude Code has it, that of a subagent after its session's.
        agent: Its place in the domain.
        next: Returns what it goes on as when its agent has ended.
    """

    def __init__(
        self, family: Family, id: str, agent: AgentSession, next: Callable[[], Awaitable[ClaudeSession]]
    ) -> None:
        self.shell = SessionShell(self, next)
        self.family = family
        self.hub = family.hub
        self.id = id
        self.agent = agent
        self.lock = anyio.Lock()
        self.seen_s = time.monotonic()
        self._described = family.described
        self._heard: set[str] = set()
        self._told: list[str] = []
        self._disclaimed: set[Key] = set()
        self._shown: dict[Key, str] = {}
        self.has_prefix = False
        """Whether its client runs commands by our prefix."""
        self.resting = False
        self._away = anyio.Event()

    @property
    def over(self) -> bool:
        """Whether its agent has ended."""
        return self.agent.state in ("committed", "aborted")

    @property
    def _is_main(self) -> bool:
        return self.family.main is self

    async def started(self, event: Mapping[str, Any]) -> Answer:
        """SessionStart, SubagentStart: say how it is governed."""
        said = for_a_session(self.agent.name, self.agent.rank)
        return self._context(str(event["hook_event_name"]), said)

    async def prompted(self, event: Mapping[str, Any]) -> Answer:
        """UserPromptSubmit: tell what has come meanwhile."""
        self.resting = False
        await self._hear()
        return self._context("UserPromptSubmit", self.taken())

    async def _hear(self) -> None:
        """Have told what has come: to it, and to what its session has been before."""
        self._tell(await self.agent.notifications())
        if self._is_main:
            await self.hear_of_behind()

    async def hear_of_behind(self) -> bool:
        """Have told what has come to what its session has been before; returns whether something has."""
        news = await self.family.news()
        for kind, notices in news:
            if kind:
                self._told.append(concerns_a_subagent(kind))
            self._tell(notices)
        return bool(news)

    # ---- before a tool -------------------------------------------------------------------------------------

    async def before(self, event: Mapping[str, Any]) -> Answer:
        """PreToolUse: keep what is there, and refuse what does not exist for this session."""
        tool, given = event["tool_name"], event["tool_input"]
        self.resting = False
        self._heard.add(event.get("tool_use_id", ""))
        if self._is_main:
            await self.family.go_on()
        if tool == "Bash":
            return await self._before_command(given)
        key = self._key(given, event)
        if key is None:
            return {}
        if tool in _WRITERS:
            await self.hub.let_through(key, self.id)
            return {}
        if tool == "Read":
            return await self._before_read(key, given)
        return {}

    async def _before_read(self, key: Key, given: Mapping[str, Any]) -> Answer:
        hub = self.hub
        await hub.settled(key, self.id)
        await hub.look(key)
        mine, live = await self.agent.peek(key), await hub.tree.on_disk(key)
        if live is not None and mine is None:
            await self._quietly("read_file", f"Read {_path(key)}", path=_path(key))
            if await self.agent.peek(key) is None:
                return _pre(
                    {"permissionDecision": "deny", "permissionDecisionReason": "File does not exist."}
                )
        if live is None and mine is not None:
            view = hub.views(self.agent.name) / _path(key)
            private_folder(view.parent)
            write_private(view, mine if isinstance(mine, bytes) else str(mine))
            allowed = {"permissionDecision": "allow"}  # it is the very file that was asked for
            return _pre({**allowed, "updatedInput": {**given, "file_path": str(view)}})
        return {}

    async def _before_command(self, given: Mapping[str, Any]) -> Answer:
        background = bool(given.get("run_in_background"))
        if self.governed:
            self.family.announce(str(given.get("command", "")), self)
        if background and self.governed:
            self.shell.announced(str(given.get("command", "")))
            return _pre(
                {
                    "additionalContext": "[coagent] A command in the background keeps seeing what you write. "
                    "What it writes becomes your work when you next use a tool."
                }
            )
        if background:
            return _pre(
                {
                    "additionalContext": "[coagent] A command in the background runs on the tree as it is on "
                    "disk, and what it writes is taken for the work of somebody outside. Run what changes "
                    "files in the foreground."
                }
            )
        refused = "" if self.governed else await in_tree.before(self, given)
        return _pre({"permissionDecision": "deny", "permissionDecisionReason": refused}) if refused else {}

    @property
    def governed(self) -> bool:
        """Whether its commands come by the shell prefix (`shell.py`); else they run in the tree itself."""
        return self.has_prefix and self.hub.shell is not None

    # ---- after a tool --------------------------------------------------------------------------------------

    async def after(self, event: Mapping[str, Any]) -> Answer:
        """PostToolUse: take over what it wrote, or record and put right what it has read."""
        tool, given, response = event["tool_name"], event["tool_input"], event.get("tool_response")
        answer: Any = None
        if tool == "Bash":
            if not self.governed:
                await in_tree.after(self, event)
        elif tool == "Glob":
            answer = await self._after_glob(event)
        elif tool == "Grep":
            answer = await self._after_grep(event)
        elif (key := self._key(given, event)) is not None:
            if tool in _WRITERS:
                await self._after_write(tool, key, given)
            elif tool == "Read":
                answer = await self._after_read(key, given, response)
        return self._context("PostToolUse", self.taken(), answer)

    async def failed(self, event: Mapping[str, Any]) -> Answer:
        """PostToolUseFailure: a command may have written all the same; a file may have changed in between."""
        tool, given = event["tool_name"], event["tool_input"]
        if tool == "Bash":
            if not self.governed:
                await in_tree.after(self, event)
        elif (key := self._key(given, event)) is not None:
            if tool == "Read":
                await self._quietly("read_file", f"Read {_path(key)}", path=_path(key))
                if await self.agent.peek(key) is not None:  # it has come into being just now
                    name = one_line(_path(key))
                    self._told.append(f"[coagent notice] {name} is there by now: read it again.")
            elif tool in _WRITERS:
                await self._after_write(tool, key, given)  # should it have written before it failed
                await self._instead(tool, key, given, str(event.get("error", "")))
        return self._context("PostToolUseFailure", self.taken())

    async def batched(self, event: Mapping[str, Any]) -> Answer:
        """PostToolBatch: the one event of calls that the client refused for the file being another one."""
        for call in event.get("tool_calls", ()):
            unheard = call.get("tool_use_id", "") not in self._heard
            tool, given, response = call["tool_name"], call["tool_input"], str(call.get("tool_response", ""))
            if unheard and tool in _WRITERS and "<tool_use_error>" in response:
                key = self._key(given, event)
                if key is not None:
                    await self._instead(tool, key, given, response)
        self._heard.clear()
        self.shell.settled()
        self.family.unannounce(self)
        for key in self.hub.under_way(self.id):
            await self.hub.landed(key, self.id)  # let through and then refused by the user
        await self._hear()
        self._disclaim()
        return self._context("PostToolBatch", self.taken())

    def _disclaim(self) -> None:
        """Say once whose work it is that the client will show of itself, as a change of a file."""
        read = self._paths_read()
        differing = self.hub.differing(self.agent.position).keys() - self._disclaimed
        paths = sorted(_path(key) for key in differing if _path(key) in read)
        self._disclaimed |= differing
        if paths:
            self._told.append(
                f"[coagent] Agents after you have changed {listed(paths)}. Leave out of account what "
                "else you are told of it: Read shows you the file as it is for you."
            )

    def _paths_read(self) -> set[Any]:
        own = [self.agent, *(self.family.behind if self._is_main else ())]
        return {call.arguments.get("path") for agent in own for call in agent.calls}

    async def _after_read(self, key: Key, given: Mapping[str, Any], response: Any) -> Any:
        hub, path = self.hub, _path(key)
        await hub.settled(key, self.id)
        await hub.look(key)
        span = {name: given[name] for name in ("offset", "limit") if isinstance(given.get(name), int)}
        await self._quietly("read_file", f"Read {path}", path=path, **span)
        mine = await self.agent.peek(key)
        if mine is None:
            name = one_line(path)
            self._told.append(f"[coagent notice] {name} has gone meanwhile: an agent before you removed it.")
        if not isinstance(mine, str):
            return None
        known, self._shown[key] = self._shown.get(key), digest(mine)
        if isinstance(response, dict) and response.get("type") == "file_unchanged" and known == digest(mine):
            return None
        # Not what is on disk by now decides, but what the tool has found there.
        return shown.read_answer(response, f"{hub.root}/{path}", mine, given)

    async def _after_write(self, tool: str, key: Key, given: Mapping[str, Any]) -> None:
        found, after = await self.hub.landed(key, self.id)
        before = self.hub.live(key, found)  # others may have written since it was let through
        if same(before, after):
            return
        path = _path(key)
        async with self.hub.tree.taking_over({key: NativeWrite(before, after)}):
            await self._record_write(tool, key, path, given, [before, found], after)

    async def _record_write(
        self, tool: str, key: Key, path: str, given: Mapping[str, Any], bases: list[Value], after: Value
    ) -> None:
        what, before = f"{tool} {path}", bases[0]
        if tool == "Write" or (tool == "Edit" and before is None):
            await self.loudly("write_file", what, path=path, content=after)
            return
        if tool == "Edit" and isinstance(before, str) and isinstance(after, str):
            edit = effective_edit([base for base in bases if isinstance(base, str)], after, given)
            await self.loudly("edit_file", what, path=path, **edit)
            return
        await self.loudly("record_changes", what, what=what, changes=[file_change(key, bases[-1], after)])

    async def _instead(self, tool: str, key: Key, given: Mapping[str, Any], error: str) -> None:
        """Do what the client refused to do for the file on disk, where it is right at the session's place."""
        stale = any(phrase in error for phrase in _STALE)
        absent = any(phrase in error for phrase in _ABSENT)
        if tool == "NotebookEdit" or not (stale or absent):
            return
        await self.hub.look(key)
        path = _path(key)
        read = path in self._paths_read()
        if absent and key not in self.hub.differing(self.agent.position):
            return
        mine = await self.agent.peek(key)
        if not read and mine is not None:
            return  # the client is right: it has not been read
        what = f"{tool} {path}"
        try:
            if tool == "Write":
                outcome = await self._call("write_file", what, path=path, content=given.get("content", ""))
            else:
                edit = {
                    name: given[name] for name in ("old_string", "new_string", "replace_all") if name in given
                }
                outcome = await self._call("edit_file", what, path=path, **edit)
        except CoAgentError as failure:
            self._tell(failure.notifications)
            return
        self._tell(outcome.notifications)
        self._told.append(
            f"[coagent] That {tool} of {one_line(path)} has been done after all: the file on disk holds the "
            "work of others too, so CoAgent has made your change at your place in the order. Do not repeat "
            "it."
        )

    # ---- searches -----------------------------------------------------------------------------

    async def _after_glob(self, event: Mapping[str, Any]) -> Any:
        given = event["tool_input"]
        pattern, folder = str(given.get("pattern", "")), self._folder(given, event)
        prefix = self.hub.key_of(f"{folder}/", folder)
        if prefix is None or pattern.startswith("/"):
            return None
        await self._quietly("list_files", f"Glob {pattern}", path=_path(prefix), glob=pattern)
        differing = self.hub.differing(self.agent.position)
        return shown.glob_answer(event.get("tool_response"), differing, folder, pattern, self.hub.root)

    async def _after_grep(self, event: Mapping[str, Any]) -> Any:
        given = event["tool_input"]
        folder = self._folder(given, event)
        prefix = self.hub.key_of(f"{folder}/", folder)
        if prefix is None:
            return None
        pattern = str(given.get("pattern", ""))
        glob = f"**/{given['glob']}" if given.get("glob") else "**/*"
        await self._quietly(
            "search_files",
            f"Grep {pattern!r}",
            pattern=pattern,
            path=_path(prefix),
            glob=glob,
            ignore_case=bool(given.get("-i")),
        )
        differing = self.hub.differing(self.agent.position)
        cwd = str(event.get("cwd", self.hub.root))
        return shown.grep_answer(event.get("tool_response"), differing, given, folder, self.hub.root, cwd)

    # ---- the end -------------------------------------------------------------------------------------------

    def waits(self) -> anyio.Event:
        """Wait at the end of a turn; returns what ends that."""
        self._away = anyio.Event()
        return self._away

    def call_away(self) -> None:
        """End a wait at the end of a turn: its person has gone on, or has had enough of it."""
        self._away.set()

    async def note_git(self) -> None:
        """Note what it has in git for itself."""
        if self.hub.shell is not None and not self.over:
            self.hub.git_left[self.id] = self.agent.rank, await git_left.of(self.agent)

    async def rest(self) -> None:
        """Finish again after a command that has outlived its turn: nobody is to wait for the next one."""
        if self.resting and not self.over and not self.agent.notified:
            await self.agent.finish()

    async def ended(self) -> None:
        """SessionEnd, or its process is gone: what becomes of its work is a setting."""
        self.shell.end()
        await self.hub.gone(self.id)
        if self.hub.shell is not None:
            self.hub.shell.forget(self.agent.rank)
            await self.note_git()
            _, left = self.hub.git_left.pop(self.id, (0, {}))
            if git_left.stashes(left):
                await anyio.to_thread.run_sync(git_left.hand_over, self.hub.root, left, self.agent.name)
        await leave(self.agent, self.hub.settings.on_leave, "its session has ended")

    # ---- parts ---------------------------------------------------------------------------------------------

    def _key(self, given: Mapping[str, Any], event: Mapping[str, Any]) -> Key | None:
        path = str(given.get("file_path") or given.get("notebook_path") or "")
        for agent in (self.agent, *self.family.behind):
            view = f"{self.hub.views(agent.name)}/"
            if path.startswith(view):
                path = f"{self.hub.root}/{path.removeprefix(view)}"
        return self.hub.key_of(path, str(event.get("cwd") or self.hub.root))

    def _folder(self, given: Mapping[str, Any], event: Mapping[str, Any]) -> str:
        cwd = str(event.get("cwd") or self.hub.root)
        path = str(given.get("path") or cwd)
        return path if path.startswith("/") else f"{cwd}/{path}"

    async def _call(self, tool: str, what: str, /, **arguments: Any) -> Outcome:
        calls = {call.call_id for call in self.agent.calls}
        try:
            return await self.agent.call(tool, **arguments)
        finally:
            for call in self.agent.calls[len(calls) :]:
                self._described.setdefault(call.call_id, what)

    async def _quietly(self, tool: str, what: str, /, **arguments: Any) -> None:
        """Record a read; where it fails, that is what the session has been told by its own tool."""
        try:
            outcome = await self._call(tool, what, **arguments)
        except ToolFailed as failure:
            self._tell(failure.notifications)
        else:
            self._tell(outcome.notifications)

    async def loudly(self, tool: str, what: str, /, **arguments: Any) -> None:
        """Take a write over; where that fails, say that it was put back."""
        try:
            outcome = await self._call(tool, what, **arguments)
        except CoAgentError as failure:
            self._tell(failure.notifications)
            why = self.agent.quoting.delimited(str(failure))
            self._told.append(f"[coagent] {one_line(what)} was taken back, which gives as reason:\n{why}")
        else:
            self._tell(outcome.notifications)

    def _tell(self, notices: list[Notification]) -> None:
        if notices:
            named = self._described
            self._told.append(
                session_notices(notices, lambda name: named.get(name, name), self.agent.quoting)
            )

    def say(self, text: str) -> None:
        """Have something told with the next answer."""
        self._told.append(text)

    def took(self, call_id: str | None, what: str, notices: list[Notification]) -> None:
        """Note a call that was not made by `loudly`, and have its notices told."""
        if call_id is not None:
            self._described[call_id] = what
        self._tell(notices)

    def taken(self) -> str:
        """Return what is to be told, which counts as told."""
        told, self._told = self._told, []
        return "\n\n".join(told)

    def _context(self, name: str, text: str, answer: Any = None) -> Answer:
        specific: Answer = {"hookEventName": name}
        if text:
            specific["additionalContext"] = text
        if answer is not None:
            specific["updatedToolOutput"] = answer
        return {"hookSpecificOutput": specific} if len(specific) > 1 else {}


def _pre(specific: Answer) -> Answer:
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **specific}}


def _path(key: Key) -> str:
    return key.partition(":")[2]
