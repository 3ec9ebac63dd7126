"""Changes that a command or a client has made by itself, as calls that take them over.

Such a change has been made by the time that its call is recorded. Where what it changed was something else at
its place in the order, the call fails, its writes are undone, and its agent is told to do it again.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from pydantic import BaseModel

from coagent.errors import ToolFailed
from coagent.protocol.values import Value
from coagent.tools.native import tool
from coagent.tools.state import State

_DIGEST_LENGTH = 16


class FileChange(BaseModel):
    """What became of one file.

    Args:
        key: `file:PATH` or `mode:PATH`.
        before: The digest of what was there.
        text: What is there now, where it is text; none of both where it is gone.
        base64: What is there now, where it is binary.
    """

    key: str
    before: str
    text: str | None = None
    base64: str | None = None

    @property
    def after(self) -> Value:
        """What is there now."""
        return self.text if self.base64 is None else base64.b64decode(self.base64)


def file_change(key: str, before: Value, after: Value) -> dict[str, Any]:
    """Return a change as an argument of `record_changes`."""
    made: dict[str, Any] = {"key": key, "before": digest(before)}
    if isinstance(after, bytes):
        made["base64"] = base64.b64encode(after).decode()
    elif after is not None:
        made["text"] = after
    return made


def digest(value: Value) -> str:
    """Return a short name for a file's content; "absent" where there is no file."""
    if value is None:
        return "absent"
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:_DIGEST_LENGTH]


@tool
async def record_changes(
    state: State, what: str, changes: list[FileChange], read: list[str] | None = None
) -> dict[str, Any]:
    """Record what a command has changed in the workspace.

    Args:
        what: The command, or the tool.
        changes: What it has changed.
        read: Files that it names, and so has read.
    """
    for change in changes:
        if digest(await state.get(change.key)) != change.before:
            raise ToolFailed(
                f"{change.key.partition(':')[2]!r} was something else before {what!r} changed it",
                "What it changed was put back: run it again.",
            )
        await state.put(change.key, change.after)
    seen = {path: digest(await state.get(f"file:{path}")) for path in read or ()}
    return {"changed": sorted(change.key for change in changes), "read": seen}


CHANGE_TOOLS = (record_changes,)
"""All tools for changes that were made already."""
