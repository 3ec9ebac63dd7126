"""A stand-in for Claude Code, quick enough for tests with random sessions: tools, checks and hooks.

What it does on each call is what version 2.1.197 was seen to do: check the call against the file on disk and
what it has read, then PreToolUse, then the tool, then PostToolUse or PostToolUseFailure; PostToolBatch after
all. The real client is tested in tests/clients.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import anyio.lowlevel

from coagent.gateways.claude.sessions import Sessions


class FakeClient:
    """One session."""

    def __init__(self, sessions: Sessions, root: Path, name: str, randomness: random.Random) -> None:
        self.sessions = sessions
        self.root = root
        self.name = name
        self.environment = {"COAGENT_AGENT": name}
        self.told: list[str] = []
        self.agent: dict[str, str] = {}
        """What its events hold of the subagent that it is."""
        self._random = randomness
        self._read: dict[str, bytes] = {}
        self._ids = itertools.count()

    async def hook(self, name: str, **fields: Any) -> dict[str, Any]:
        await self._dawdle()
        event = {"session_id": self.name, "cwd": str(self.root), "hook_event_name": name}
        event |= self.agent | fields
        message = {"event": event, "environment": self.environment, "pid": os.getpid()}
        answer = await self.sessions.handle(message)
        specific = answer.get("hookSpecificOutput", {})
        self.told += [specific["additionalContext"]] if "additionalContext" in specific else []
        await self._dawdle()
        return answer

    def subagent(self, id: str) -> FakeClient:
        """Return a subagent of the session."""
        made = FakeClient(self.sessions, self.root, self.name, self._random)
        made.agent = {"agent_id": id, "agent_type": "helper"}
        return made

    def notices(self) -> str:
        told, self.told = self.told, []
        return "\n".join(told)

    async def tool(self, tool: str, **given: Any) -> Any:
        """Call a tool; returns what it answers, or an error as text."""
        id = f"{self.name}{self.agent.get('agent_id', '')}-{next(self._ids)}"
        call: dict[str, Any] = {"tool_name": tool, "tool_input": given, "tool_use_id": id}
        refused = self._refused(tool, given)
        if refused:
            await self.hook("PostToolBatch", tool_calls=[{**call, "tool_response": refused}])
            return refused
        answer = (await self.hook("PreToolUse", **call)).get("hookSpecificOutput", {})
        if answer.get("permissionDecision") == "deny":
            return answer["permissionDecisionReason"]
        given = answer.get("updatedInput", given)
        call["tool_input"] = given
        try:
            if self._refused(tool, given):  # it looks again before it writes
                raise OSError("File content has changed since it was last read.")
            response = self._run(tool, given)
        except OSError as error:
            await self.hook("PostToolUseFailure", **call, error=str(error))
            response = str(error)
        else:
            answer = (await self.hook("PostToolUse", **call, tool_response=response)).get(
                "hookSpecificOutput", {}
            )
            response = answer.get("updatedToolOutput", response)
            if tool in ("Edit", "Write"):
                self._noted(given["file_path"])
        await self.hook("PostToolBatch", tool_calls=[call])
        return response

    async def read(self, path: str) -> str | None:
        """Return a file as the session may see it."""
        answer = await self.tool("Read", file_path=str(self.root / path))
        return answer["file"]["content"] + "\n" if isinstance(answer, dict) else None

    async def stop(self) -> str:
        """End the turn; returns what is to be looked at, or nothing."""
        event = "SubagentStop" if self.agent else "Stop"
        return str((await self.hook(event, stop_hook_active=False)).get("reason", ""))

    def _refused(self, tool: str, given: dict[str, Any]) -> str:
        if tool not in ("Edit", "Write"):
            return ""
        path = Path(given["file_path"])
        if not path.exists():
            return "" if tool == "Write" else "<tool_use_error>File does not exist.</tool_use_error>"
        if str(path) not in self._read:
            return "<tool_use_error>File has not been read yet. Read it first.</tool_use_error>"
        if self._read[str(path)] != path.read_bytes():
            return "<tool_use_error>File has been modified since read, by a linter.</tool_use_error>"
        found = path.read_text().count(given.get("old_string", ""))
        if tool == "Edit" and found != 1:
            problem = (
                "String to replace not found in file." if not found else "2 matches of the string to replace"
            )
            return f"<tool_use_error>{problem}</tool_use_error>"
        return ""

    def _run(self, tool: str, given: dict[str, Any]) -> Any:
        if tool == "Bash":
            subprocess.run(["sh", "-c", given["command"]], cwd=self.root, check=False)
            return {"stdout": "", "stderr": ""}
        path = Path(given["file_path"])
        if tool == "Read":
            lines = path.read_text().rstrip("\n").split("\n")
            self._noted(str(path))
            file = {
                "filePath": str(path),
                "content": "\n".join(lines),
                "numLines": len(lines),
                "startLine": 1,
            }
            return {"type": "text", "file": {**file, "totalLines": len(lines)}}
        content = given["content"] if tool == "Write" else path.read_text()
        if tool != "Write":
            content = content.replace(given["old_string"], given["new_string"], 1)
        beside = path.with_name(f"{path.name}.tmp.{os.getpid()}.{next(self._ids):012x}")
        beside.write_text(content)
        beside.replace(path)
        return {"filePath": str(path)}

    def _noted(self, path: str) -> None:
        if Path(path).exists():
            self._read[path] = Path(path).read_bytes()

    async def _dawdle(self) -> None:
        for _ in range(self._random.randrange(4)):
            await anyio.lowlevel.checkpoint()
