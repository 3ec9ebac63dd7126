"""Tools for the files of a workspace, with the names and arguments that agents are used to.

What they return is short and changes only when it matters: a result that changes is a notice to its agent.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from coagent.content import above
from coagent.errors import ToolFailed
from coagent.protocol.keys import Key
from coagent.protocol.patterns import NOT_SEARCHED
from coagent.protocol.values import Matches
from coagent.systems.files.large import large_name, large_size
from coagent.systems.files.merging import merge_file
from coagent.systems.files.paths import make_room, place
from coagent.tools.native import NativeTool, tool
from coagent.tools.nearest import nearest
from coagent.tools.state import State, steps_of

LINE_LENGTH_MAX = 500
MATCHES_MAX = 500
_NAMED_MAX = 5
NAMES_MAX = 2000
_COMPARED_LINES_MAX = 500
_COMPARED_LENGTH_MAX = 1_000_000


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
    at = await place(state, path)
    part = await state.get(f"file:{at}", lines=(first, last), literal=True)
    if part is None:
        _text(path, await _existing(state, path))
    if part == "" and first > 1:
        raise ToolFailed(f"{path!r} has no line {first}", "Read it without an offset to see all of it.")
    return str(part)


@tool
async def write_file(state: State, path: str, content: str, executable: bool | None = None) -> str:
    """Create a text file, or replace its whole content.

    Args:
        path: The file, relative to the workspace.
        content: The whole new content.
        executable: Set or clear the executable bit; by default it stays as it is.
    """
    at = await place(state, path)
    await make_room(state, at, path)
    await state.put(f"file:{at}", content, literal=True)
    if executable is not None:
        await state.put(f"mode:{at}", "executable" if executable else None, literal=True)
    await _fill_folders(state, at)
    return "written"


@tool(merge=merge_file)
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
    at = await place(state, path)
    await state.put(f"file:{at}", text.replace(old_string, new_string), literal=True)
    return "edited"


@tool
async def delete_file(state: State, path: str) -> str:
    """Delete a file.

    Args:
        path: The file, relative to the workspace.
    """
    await _existing(state, path)
    at = await place(state, path)
    await state.delete(f"file:{at}", literal=True)
    if await state.get(f"mode:{at}", literal=True) is not None:
        await state.delete(f"mode:{at}", literal=True)
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
    at, to = await place(state, source), await place(state, destination)
    mode = await state.get(f"mode:{at}", literal=True)
    if not overwrite and await state.get(f"file:{to}", literal=True) is not None:
        raise ToolFailed(
            f"there is already a file {destination!r}", "Pass overwrite, or choose another name."
        )
    await state.delete(f"file:{at}", literal=True)
    await make_room(state, to, destination)
    await state.put(f"file:{to}", content, literal=True)
    if mode is not None:
        await state.delete(f"mode:{at}", literal=True)
        await state.put(f"mode:{to}", mode, literal=True)
    elif overwrite:
        await state.put(f"mode:{to}", None, literal=True)
    await _fill_folders(state, to)
    return "moved"


@tool
async def list_files(state: State, path: str = "", glob: str = "**/*") -> list[str]:
    """List the files under a folder.

    Args:
        path: The folder, relative to the workspace; the whole workspace by default.
        glob: Only files whose path below the folder matches; `**` crosses folders.
    """
    prefix, chosen = await _range(state, path, glob)
    names = [key[5:] for key in await state.list(prefix, glob=chosen, literal=True)]
    if len(names) > NAMES_MAX:
        return [*names[:NAMES_MAX], f"… and {len(names) - NAMES_MAX} more: narrow the glob"]
    return names


@tool
async def search_files(
    state: State, pattern: str, path: str = "", glob: str = "**/*", ignore_case: bool = False
) -> list[str]:
    """Search the files under a folder for lines that match a regular expression.

    Files that are not UTF-8 are searched byte by byte, which line 0 says; of binary files line 0 says that
    they match. Very large ones are left out, and the last line names them.

    Args:
        pattern: A regular expression, in RE2's syntax (as for ripgrep: no looking around, no references to
            groups), searched for in each line.
        path: The folder, or one file, relative to the workspace; the whole workspace by default.
        glob: Only files whose path below the folder matches; `**` crosses folders.
        ignore_case: Match letters of either case.

    Returns:
        Lines of the form `path:number: text`.
    """
    selector = Matches(pattern, ignore_case)
    steps_of(selector)  # first of all, so that it is no matter of what is in the folder
    prefix, chosen = await _range(state, path, glob)
    found = await state.select(prefix, selector, glob=chosen, literal=True)
    large = [key for key, part in found.items() if list(part[0]) == [0, NOT_SEARCHED]]
    for key in large:
        del found[key]
    matches = ((key, number, text) for key, part in found.items() for number, text in part)
    lines = [f"{key[5:]}:{number}: {_shorten(text)}" for key, number, text in islice(matches, MATCHES_MAX)]
    more = sum(map(len, found.values())) - len(lines)
    said = [f"… and {more} more: narrow the search"] if more else []
    return [*lines, *said, *_left_out([key[5:] for key in large])]


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


async def _range(state: State, path: str, glob: str) -> tuple[str, str | None]:
    """Return the prefix and the glob of the files under a folder, or of the one file that `path` names."""
    below = path.rstrip("/") if path.strip("/") else path
    folder = f"file:{await place(state, f'{below}/') if below not in ('', '.') else ''}"
    if folder != "file:" and await state.list(folder[:-1], glob=_literally(folder[5:-1]), literal=True):
        return folder[:-1], _literally(folder[5:-1])
    if glob in ("**/*", "**", ""):
        return folder, None
    if re.search(r"\{[^{}]*,[^{}]*\}", glob):
        raise ToolFailed(f"braces in {glob!r} are not understood", "Make one call for each alternative.")
    return folder, _literally(folder[5:]) + glob


def _left_out(paths: list[str]) -> list[str]:
    """Return the line that says of which files a search has seen nothing; none where there are none."""
    if not paths:
        return []
    more = f" and {len(paths) - _NAMED_MAX} more" if len(paths) > _NAMED_MAX else ""
    names = ", ".join(paths[:_NAMED_MAX])
    return [f"… not searched, too large or not readable: {names}{more} (grep in a shell searches any file)"]


def _literally(path: str) -> str:
    """Return a glob that matches the path alone."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _shorten(line: str) -> str:
    return line if len(line) <= LINE_LENGTH_MAX else f"{line[:LINE_LENGTH_MAX]}…"


async def _fill_folders(state: State, at: str) -> None:
    """Say of the folders that a file comes into, or in the place of, that they are not empty any more."""
    known = state.written("folder:")
    state.trace(f"folder:{at.partition('/')[0]}")
    for folder in (*above(at), at):
        if known.get(Key(f"folder:{folder}")) is not None:
            await state.delete(f"folder:{folder}", literal=True)


async def _existing(state: State, path: str) -> Any:
    content = await state.get(f"file:{await place(state, path)}", literal=True)
    if content is None:
        raise ToolFailed(f"there is no file {path!r}", await _hint(state, path))
    return content


async def _hint(state: State, path: str) -> str:
    """Return what may have been meant. It looks at few names, since what it sees becomes a premise."""
    folder, slash, name = (await place(state, path)).rstrip("/").rpartition("/")
    if name and await state.list(f"file:{folder}{slash}{name}/", literal=True):
        return "It is a folder: list the files in it."
    for glob in (f"**/{_literally(name)}", f"{_literally(folder + slash)}*"):
        names = [key[5:] for key in await state.list("file:", glob=glob)]
        if near := nearest(folder + slash + name, names):
            return f"Did you mean {near!r}?"
    return "List the files to see what there is."


def _text(path: str, content: Any) -> str:
    if large := large_name(content):
        raise ToolFailed(
            f"{path!r} has {large_size(large)} bytes, more than the file tools read",
            "Look at it with programs in a shell; a person can raise max_mib of the workspace.",
        )
    if isinstance(content, bytes) and (b"\0" not in content or content[:2] in (b"\xff\xfe", b"\xfe\xff")):
        raise ToolFailed(
            f"{path!r} is a text of {len(content)} bytes in another encoding than UTF-8",
            "search_files finds lines in it; to read or change it, convert it with iconv in a shell.",
        )
    if not isinstance(content, str):
        raise ToolFailed(
            f"{path!r} is a binary file of {len(content)} bytes, not text",
            "The file tools work on text only.",
        )
    return content


def _nearest_line(wanted: str, text: str) -> str:
    """Say where the text may have been meant, in one clause; empty where nothing is like it."""
    if "\r\n" in text and wanted in text.replace("\r\n", "\n"):
        return " with these line ends: in the file they are \\r\\n"
    lines = text[:_COMPARED_LENGTH_MAX].split("\n")
    first = next((line for line in wanted.split("\n") if line.strip()), "")
    bare = first.strip()
    for number, line in enumerate(lines, 1):
        if bare and line.strip() == bare:
            if line.rstrip("\r") == first:
                return f" (its first line is line {number}, but what follows differs)"
            return f" (line {number} is alike but for white space: {line[:200]!r})"
    near = nearest(first, lines[:_COMPARED_LINES_MAX], 0.8)
    return f" (the nearest line is {near!r})" if near else ""
