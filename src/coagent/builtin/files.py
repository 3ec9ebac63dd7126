"""Tools for the files of a workspace, with the names and arguments that agents are used to.

What they return is short and changes only when it matters: a result that changes is a notice to its agent.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from coagent.errors import ToolFailed
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State

MATCHES_MAX = 500
NAMES_MAX = 2000


@tool
async def read_file(state: State, path: str, offset: int | None = None, limit: int | None = None) -> str:
    """Read a text file, or a range of its lines.

    Args:
        path: The file, relative to the workspace.
        offset: The first line to read, counted from 1; the beginning by default.
        limit: How many lines to read; all by default.
    """
    if offset is None and limit is None:
        return _text(path, await _existing(state, path))
    first = 1 if offset is None else offset
    if first < 1 or (limit is not None and limit < 1):
        raise ToolFailed("offset and limit count lines from 1", "Pass numbers from 1 on.")
    last = None if limit is None else first + limit - 1
    part = await state.get(f"file:{path}", lines=(first, last))
    if part is None:
        _text(path, await _existing(state, path))
    return str(part)


@tool
async def write_file(state: State, path: str, content: str, executable: bool | None = None) -> str:
    """Create a text file, or replace its whole content.

    Args:
        path: The file, relative to the workspace.
        content: The whole new content.
        executable: Set or clear the executable bit; by default it stays as it is.
    """
    await state.put(f"file:{path}", content)
    if executable is not None:
        await state.put(f"mode:{path}", "executable" if executable else None)
    return "written"


@tool
async def edit_file(
    state: State, path: str, old_string: str, new_string: str, replace_all: bool = False
) -> str:
    """Replace a text that occurs in a file.

    Args:
        path: The file, relative to the workspace.
        old_string: The text to replace, exactly as it stands in the file; it must occur once.
        new_string: What takes its place.
        replace_all: Replace every occurrence instead.
    """
    if old_string == new_string:
        raise ToolFailed("old_string and new_string are the same", "Nothing is to be done.")
    if not old_string:
        raise ToolFailed("old_string is empty", "Use write_file to set a whole file.")
    text = _text(path, await _existing(state, path))
    count = text.count(old_string)
    if count == 0:
        raise ToolFailed(
            f"old_string does not occur in {path!r}{_nearest_line(old_string, text)}", "Read it again."
        )
    if count > 1 and not replace_all:
        raise ToolFailed(
            f"old_string occurs {count} times in {path!r}",
            "Include more of its surroundings.",
        )
    await state.put(f"file:{path}", text.replace(old_string, new_string))
    return "edited"


@tool
async def delete_file(state: State, path: str) -> str:
    """Delete a file.

    Args:
        path: The file, relative to the workspace.
    """
    await _existing(state, path)
    await state.delete(f"file:{path}")
    if await state.get(f"mode:{path}") is not None:
        await state.delete(f"mode:{path}")
    return "deleted"


@tool
async def move_file(state: State, source: str, destination: str, overwrite: bool = False) -> str:
    """Move or rename a file.

    Args:
        source: The file, relative to the workspace.
        destination: Its new path.
        overwrite: Replace the file that is there, if one is.
    """
    content = await _existing(state, source)
    mode = await state.get(f"mode:{source}")
    if not overwrite and await state.get(f"file:{destination}") is not None:
        raise ToolFailed(
            f"there is already a file {destination!r}", "Pass overwrite, or choose another name."
        )
    await state.delete(f"file:{source}")
    await state.put(f"file:{destination}", content)
    if mode is not None:
        await state.delete(f"mode:{source}")
        await state.put(f"mode:{destination}", mode)
    elif overwrite:
        await state.put(f"mode:{destination}", None)
    return "moved"


@tool
async def list_files(state: State, path: str = "", glob: str = "**/*") -> list[str]:
    """List the files under a folder.

    Args:
        path: The folder, relative to the workspace; the whole workspace by default.
        glob: Only files whose path below the folder matches; `**` crosses folders.
    """
    folder = _folder(path)
    names = [key[5:] for key in await state.list(f"file:{folder}", glob=_below(folder, glob))]
    if len(names) > NAMES_MAX:
        return [*names[:NAMES_MAX], f"… and {len(names) - NAMES_MAX} more: narrow the glob"]
    return names


@tool
async def search_files(
    state: State, pattern: str, path: str = "", glob: str = "**/*", ignore_case: bool = False
) -> list[str]:
    """Search the files under a folder for lines that match a regular expression.

    Args:
        pattern: A regular expression, in Python's syntax, searched for in each line.
        path: The folder, relative to the workspace; the whole workspace by default.
        glob: Only files whose path below the folder matches; `**` crosses folders.
        ignore_case: Match letters of either case.

    Returns:
        Lines of the form `path:number: text`.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ToolFailed(
            f"{pattern!r} is no regular expression: {error}", "Escape it, or correct it."
        ) from None
    folder = _folder(path)
    found = await state.search(f"file:{folder}", pattern, glob=_below(folder, glob), ignore_case=ignore_case)
    lines = [f"{key[5:]}:{number}: {text}" for key, matches in found.items() for number, text in matches]
    if len(lines) > MATCHES_MAX:
        return [*lines[:MATCHES_MAX], f"… and {len(lines) - MATCHES_MAX} more: narrow the search"]
    return lines


FILE_TOOLS: tuple[NativeTool, ...] = (
    read_file,
    write_file,
    edit_file,
    delete_file,
    move_file,
    list_files,
    search_files,
)
"""All tools for files."""


def _folder(path: str) -> str:
    trimmed = path.removeprefix("./").rstrip("/")
    return f"{trimmed}/" if trimmed not in ("", ".") else ""


def _below(folder: str, glob: str) -> str | None:
    """Return the glob of paths relative to the workspace; None where it leaves nothing out."""
    if glob in ("**/*", "**", ""):
        return None
    return f"{folder}{glob}"


async def _existing(state: State, path: str) -> Any:
    content = await state.get(f"file:{path}")
    if content is None:
        names = [key[5:] for key in await state.list("file:")]
        nearest = difflib.get_close_matches(path, names, 1)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else "List the files to see what there is."
        raise ToolFailed(f"there is no file {path!r}", hint)
    return content


def _text(path: str, content: Any) -> str:
    if not isinstance(content, str):
        raise ToolFailed(
            f"{path!r} is a binary file of {len(content)} bytes, not text",
            "The file tools work on text only.",
        )
    return content


def _nearest_line(wanted: str, text: str) -> str:
    first = next((line for line in wanted.splitlines() if line.strip()), "")
    nearest = difflib.get_close_matches(first, text.splitlines()[:5000], 1, 0.8)
    return f" (the nearest line is {nearest[0][:200]!r})" if nearest else ""
