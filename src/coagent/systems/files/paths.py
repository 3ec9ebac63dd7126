"""Where paths lead at a call's place in the order, whatever links and folders there are on disk by now."""

from __future__ import annotations

from collections import deque

from coagent.content import above
from coagent.errors import TargetError, ToolFailed
from coagent.protocol.keys import Key
from coagent.tools.state import State

_LINKS_MAX = 40
"""How many links a path may lead through: as many as Linux follows (path_resolution(7))."""


async def place(state: State, path: str) -> str:
    """Return the relative path that a path leads to; what links it goes through becomes a premise.

    Args:
        state: Of the call.
        path: Relative to the workspace, or absolute; it ends in a slash where a folder is named.

    Raises:
        TargetError: It leaves the workspace, also through a link, or names no object of it.
    """
    literal = state.literal(f"file:{path}")[5:]
    if not literal:
        return literal
    written = state.written("link:")
    through = (prefix for prefix in (*above(literal.rstrip("/")), literal.rstrip("/")))
    try:
        leads_on = state.canonical(f"file:{literal}")[5:] != literal
    except TargetError:
        leads_on = True
    if not leads_on and all(written.get(Key(f"link:{prefix}")) is None for prefix in through):
        state.trace(f"link:{literal.partition('/')[0]}")  # none of them is a link
        return literal
    slash = "/" if literal.endswith("/") else ""
    return state.literal(f"file:{await _follow_links(state, path, literal.rstrip('/'))}{slash}")[5:]


async def _follow_links(state: State, path: str, literal: str) -> str:
    done: list[str] = []
    ahead = deque(literal.split("/"))
    links = 0
    while ahead:
        part = ahead.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise _leaves(path)
            done.pop()
            continue
        text = await state.get(f"link:{'/'.join((*done, part))}", literal=True)
        if text is None:
            done.append(part)
            continue
        links += 1
        if links > _LINKS_MAX:
            raise TargetError(f"path {path!r} leads through links without an end", "Remove one of them.")
        if text.startswith("/"):
            try:
                text = state.literal(f"file:{text.rstrip('/')}/")[5:]
            except TargetError:
                raise _leaves(path) from None
            done.clear()
        ahead.extendleft(reversed(text.split("/")))
    return "/".join(done)


async def make_room(state: State, at: str, path: str) -> None:
    """Refuse to write a file where there is a folder, or below a file; that there is none becomes a premise.

    Args:
        state: Of the call.
        at: Where the file shall be, as `place` returns it.
        path: What it was called.

    Raises:
        ToolFailed: There is one.
    """
    for folder in above(at):
        if await state.get(f"file:{folder}", literal=True) is not None:
            raise ToolFailed(
                f"{path!r} cannot be written: {folder!r} is a file",
                "A file is in the way where a folder is needed; delete or move it first.",
            )
    for scheme in ("file", "link", "folder"):
        if await state.list(f"{scheme}:{at}/", literal=True):
            raise ToolFailed(
                f"{path!r} is a folder", "A folder is in the way where a file is needed; choose another name."
            )


def _leaves(path: str) -> TargetError:
    return TargetError(
        f"path {path!r} leaves the workspace through a symbolic link", "Name a file of the workspace."
    )
