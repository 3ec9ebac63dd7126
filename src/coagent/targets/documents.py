"""Markdown files by heading, so that agents at different sections of one file do not disturb each other.

A file is a list of headings with a body each; a body ends at the next heading of any level. Its objects:

- `doc:plan.md#`        the outline, `[[level, path, source], ...]`; None where the file does not exist
- `doc:plan.md#/`       the text before the first heading
- `doc:plan.md#A/B`     the body of heading B below heading A; a title that stands twice becomes `B~2`

Blank lines before a heading belong to the heading, so a new section changes the outline and nothing else.
An empty body is an absent object: a heading that the outline creates has none until its own put, and one that
the outline drops has lost it by then. In order of key the outline always comes first.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.targets.base import GuardFailed, Target
from coagent.targets.workspace import TEMPORARY, Workspace

_SUFFIXES = (".md", ".markdown")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n.*?\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_MARKDOWN = MarkdownIt("commonmark")
_MARKDOWN.core.ruler.enableOnly(["normalize", "block"])  # headings are blocks: no need to look into lines


class Heading(NamedTuple):
    """One heading: its level from 1 to 6, its path, and its source with the blank lines before it."""

    level: int
    path: str
    source: str


class Document(NamedTuple):
    """A parsed file: the text before the first heading, the headings, and the non-empty bodies by path."""

    preamble: str
    headings: list[Heading]
    bodies: dict[str, str]

    @property
    def outline(self) -> list[Value]:
        """The headings as plain data."""
        return [list(heading) for heading in self.headings]

    @property
    def text(self) -> str:
        """The file's text; a body that a heading follows loses its blank end and gets a line end."""
        parts = [self.preamble]
        for heading in self.headings:
            parts += heading.source, self.bodies.get(heading.path, "")
        *inner, last = parts
        return "".join(closed(part) if index % 2 == 0 else part for index, part in enumerate(inner)) + last


def parse(text: str) -> Document:
    """Split a Markdown text at its headings; headings inside fences, quotes and lists do not count."""
    hidden = _FRONT_MATTER.match(text)
    visible = text if hidden is None else "\n" * len(_lines(hidden.group())) + text[hidden.end() :]
    lines = _lines(text)
    starts: list[int] = []
    found: list[tuple[int, str, str]] = []
    tokens = _MARKDOWN.parse(visible)
    for index, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map is not None:
            first, end = token.map
            while first > 0 and not lines[first - 1].strip() and (not starts or first > starts[-1]):
                first -= 1
            found.append((int(token.tag[1:]), tokens[index + 1].content, "".join(lines[first:end])))
            starts += first, end
    paths = paths_of([(level, component(title)) for level, title, _ in found])
    pieces = [
        "".join(lines[end:first]) for end, first in zip([0, *starts[1::2]], [*starts[::2], None], strict=True)
    ]
    headings = [Heading(level, path, source) for (level, _, source), path in zip(found, paths, strict=True)]
    bodies = {path: body for path, body in zip(paths, pieces[1:], strict=True) if body}
    return Document(pieces[0], headings, bodies)


def component(title: str) -> str:
    """Return a title as one step of a path: `%`, `/`, `~` and line ends are percent-encoded."""
    return re.sub(r"[%/~\x00-\x1f]", lambda match: f"%{ord(match.group()):02X}", title.strip()) or "untitled"


def paths_of(steps: Sequence[tuple[int, str]]) -> list[str]:
    """Return the path of each heading, given level and title; the second of one name gets `~2`."""
    above: list[tuple[int, str]] = []
    times: Counter[str] = Counter()
    paths = []
    for level, name in steps:
        while above and above[-1][0] >= level:
            above.pop()
        path = f"{above[-1][1]}/{name}" if above else name
        times[path] += 1
        if times[path] > 1:
            path = f"{path}~{times[path]}"
        above.append((level, path))
        paths.append(path)
    return paths


def _lines(text: str) -> list[str]:
    return [line for line in _LINE.findall(text) if line]


def closed(text: str, line_end: str = "\n") -> str:
    """Return a text that a heading can follow: blank lines at its end belong to that heading."""
    lines = _lines(text)
    while lines and not lines[-1].strip():
        lines.pop()
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines.append(line_end)
    return "".join(lines)


class Documents(Target):
    """The Markdown files below a directory (`.md`, `.markdown`; names with `#` in them are left out).

    Args:
        root: The directory; symbolic links that lead out of it are refused.
    """

    schemes = ("doc",)

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._workspace = Workspace(root)
        self._parsed: dict[str, tuple[str, Document]] = {}

    def canonical(self, key: Key) -> Key:
        name, hash_sign, section = key.removeprefix("doc:").partition("#")
        return f"doc:{self._workspace.canonical(name)}{hash_sign}{section}"

    def entangled(self, key: Key, others: Collection[Key]) -> bool:
        file = f"{key.partition('#')[0]}#"
        return any(other.startswith(file) for other in others)

    async def get(self, key: Key) -> Value:
        name, section = _split(key)
        document = self._read(name)
        return None if document is None else _part(document, section)

    async def list(self, prefix: str) -> Mapping[Key, Value]:
        return self.snapshot(prefix)

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        name, section = _split(key)
        path = self._path(name)
        with self._locked():
            document = self._read(name)
            found = None if document is None else _part(document, section)
            value = value or None if section else value
            if same(found, value):
                return
            if not any(same(found, one) for one in expected):
                raise GuardFailed(key, found)
            if not section and value is None:
                path.unlink()
                self._parsed.pop(name, None)
                return
            changed = _changed(key, document, section, value)
            _replace(path, changed)

    async def admit(self, key: Key, value: Value) -> Value:
        _, section = _split(key)
        if not section:
            return value
        if value is not None and type(value) is not str:
            raise TargetError(f"the body {key!r} must be text, not {type(value).__name__}")
        if value and parse(value).headings:
            raise TargetError(f"the body {key!r} holds a heading", "Write the headings to the outline.")
        return value or None

    def snapshot(self, prefix: str = "") -> dict[Key, Value]:
        """Return outline, preamble and bodies of every file as objects."""
        found: dict[Key, Value] = {}
        for name in self._names(prefix):
            document = self._read(name)
            if document is None:
                continue
            found[f"doc:{name}#"] = document.outline
            if document.preamble:
                found[f"doc:{name}#/"] = document.preamble
            found.update({f"doc:{name}#{path}": body for path, body in document.bodies.items()})
        return {key: found[key] for key in sorted(found) if key.startswith(prefix)}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes that write documents of this folder waiting."""
        folder = os.open(self._workspace.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _names(self, prefix: str) -> Sequence[str]:
        name, hash_sign, _ = prefix.removeprefix("doc:").partition("#")
        if hash_sign:
            return [name]
        found = sorted(self._workspace.walk(name))
        return [path for path in found if path.endswith(_SUFFIXES) and "#" not in path]

    def _path(self, name: str) -> Path:
        if not name.endswith(_SUFFIXES):
            raise TargetError(
                f"{name!r} is no Markdown file", f"Its name must end in {' or '.join(_SUFFIXES)}."
            )
        return Path(self._workspace.absolute(name))

    def _read(self, name: str) -> Document | None:
        path = self._path(name)
        try:
            text = path.read_bytes().decode()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise TargetError(
                f"{name!r} is not UTF-8 text", "Convert it, or leave it to a file target."
            ) from None
        except OSError as error:
            raise TargetError(f"{name!r} cannot be read: {error.strerror}") from None
        known = self._parsed.get(name)
        if known is None or known[0] != text:
            known = self._parsed[name] = (text, parse(text))
        return known[1]


def _split(key: Key) -> tuple[str, str]:
    name, hash_sign, section = key.removeprefix("doc:").partition("#")
    if not hash_sign:
        raise TargetError(
            f"{key!r} names no section", f"Write {f'{key}#Heading'!r}, or {f'{key}#'!r} for the outline."
        )
    return name, section


def _part(document: Document, section: str) -> Value:
    if not section:
        return document.outline
    if section == "/":
        return document.preamble or None
    return document.bodies.get(section)


def _changed(key: Key, document: Document | None, section: str, value: Value) -> str:
    """Return the file's text with one object changed.

    Raises:
        TargetError: Read back, it would be another object than the one written.
    """
    now = document or Document("", [], {})
    if document is None and section:
        raise TargetError(f"the file of {key!r} does not exist", "Write its outline first.")
    if not section:
        try:
            wanted = now._replace(headings=[Heading(*entry) for entry in value])
        except TypeError:
            raise TargetError(f"the outline {key!r} must be a list of [level, path, source]") from None
    elif section == "/":
        wanted = now._replace(preamble=value or "")
    else:
        if all(heading.path != section for heading in now.headings):
            raise TargetError(f"there is no section {key!r}", "Append it: write it to the outline.")
        wanted = now._replace(bodies={**now.bodies, section: value or ""})
    text = wanted.text
    if not same(_part(parse(text), section), value):
        raise TargetError(
            f"{key!r} would read back otherwise",
            "A heading must stay a heading: close fences and lists before it, and keep it out of bodies.",
        )
    return text


def _replace(path: Path, text: str) -> None:
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        os.chmod(temporary, path.stat().st_mode & 0o7777 if path.exists() else 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise TargetError(f"{path.name!r} cannot be written: {error.strerror}") from None
