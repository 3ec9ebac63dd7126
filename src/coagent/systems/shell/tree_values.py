"""Between objects of a workspace and what a view shows at a path: files with modes, links, empty folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from coagent.content import EMPTY_FOLDER, FOLDER, Content, file_content
from coagent.errors import ToolFailed
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.systems.files.encoding import decode, encode
from coagent.systems.files.large import large_name, large_value

SCHEMES = ("file", "gitdir", "mode", "link", "folder")
"""Of the objects that make up the tree."""


def scheme_of(path: str) -> str:
    """Return the scheme of a path: repositories in subfolders are governed file by file, but apart."""
    return "gitdir" if ".git" in path.split("/") else "file"


def contents(
    written: Mapping[Key, Value], before: Callable[[str], Content | None]
) -> tuple[dict[str, Content | None], dict[str, Content | None]]:
    """Return what is to be shown at paths, and that of it which is otherwise in a directory.

    Args:
        written: Objects and their values.
        before: Tells what the directory has at a path.
    """
    found: dict[str, Content | None] = {}
    differing: dict[str, Content | None] = {}
    for path in _paths(written):
        old = before(path)
        new = _content(path, written, old)
        if new is not None or old is not None:
            found[path] = new
            if new != old:
                differing[path] = new
    return found, differing


def _paths(written: Iterable[Key]) -> dict[str, None]:
    return {key.partition(":")[2]: None for key in written}


def _content(path: str, written: Mapping[Key, Value], old: Content | None) -> Content | None:
    def kept(kind: str) -> Content | None:
        return old if old is not None and old.kind == kind else None

    link = kept("link")
    if f"link:{path}" in written:
        value = written[Key(f"link:{path}")]
        link = None if value is None else Content(encode(value), kind="link")
    file = kept("file")
    mode = file.mode if file is not None else None
    if f"mode:{path}" in written:
        mode = _text(written[Key(f"mode:{path}")])
    if (key := Key(f"{scheme_of(path)}:{path}")) in written:
        value = written[key]
        file = None if value is None else _file(value, mode)
    elif file is not None:
        file = file_content(file.data, mode, file.large)
    folder = kept("folder")
    if f"folder:{path}" in written:
        folder = None if written[Key(f"folder:{path}")] is None else EMPTY_FOLDER
    return link or file or folder


def _file(value: Value, mode: str | None) -> Content:
    large = large_name(value)
    return file_content(b"" if large else encode(value), mode, large)


def _text(value: Value) -> str | None:
    return None if value is None else str(value)


def values(path: str, old: Content | None, new: Content | None) -> Iterator[tuple[Key, Value]]:
    """Yield the objects that change where the content of a path does, with their new values.

    Raises:
        ToolFailed: A link leads to what is no valid text.
    """
    was, now = (_values(path, content) for content in (old, new))
    for key in {**was, **now}:
        if was.get(key) != now.get(key):
            yield key, now.get(key)


def _values(path: str, content: Content | None) -> dict[Key, Value]:
    if content is None:
        return {}
    if content.is_file:
        scheme = scheme_of(path)
        data = large_value(content.large) if content.large else decode(content.data)
        found: dict[Key, Value] = {Key(f"{scheme}:{path}"): data}
        if content.mode is not None and scheme == "file":
            found[Key(f"mode:{path}")] = content.mode
        return found
    if content.kind == "folder":
        return {
            Key(f"folder:{path}"): FOLDER
        }  # also in `.git`: without `objects` and `refs` it is no repository
    if scheme_of(path) != "file":
        return {}  # git needs no links
    target = decode(content.data)
    if not isinstance(target, str):
        raise ToolFailed(
            f"the link {path!r} leads to {content.data!r}, which is not valid UTF-8",
            "Nothing that the command did was kept. Lead it elsewhere.",
        )
    return {Key(f"link:{path}"): target}
