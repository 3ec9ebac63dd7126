"""Markdown text as headings with a body each; a body ends at the next heading of any level.

Blank lines before a heading belong to the heading, so a new section changes the outline and nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from markdown_it import MarkdownIt

from coagent.protocol.values import Value

_MARK = "\ufeff"
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
    """A parsed file: the text before the first heading, the headings, and the non-empty bodies by path.

    A byte order mark, which some editors put first, is none of these, and stays where it is.
    """

    preamble: str
    headings: list[Heading]
    bodies: dict[str, str]
    mark: str = ""

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
        text = "".join(close_section(part) if index % 2 == 0 else part for index, part in enumerate(inner))
        return self.mark + text + last


def parse(text: str) -> Document:
    """Split a Markdown text at its headings; headings inside fences, quotes and lists do not count."""
    mark = _MARK if text.startswith(_MARK) else ""
    text = text[len(mark) :]
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
    return Document(pieces[0], headings, bodies, mark)


def stands_alone(body: str, *, first: bool) -> bool:
    """Tell whether a text holds no heading, and lets one follow it: it leaves nothing open.

    A code fence or a comment that is left open hides the headings after it, whoever adds them.

    Args:
        body: The text.
        first: Whether it comes before all headings, where front matter may stand.
    """
    before = "" if first else "# above\n"
    found = parse(f"{before}{close_section(body)}\n# below\n").headings
    return len(found) == 2 - first and found[-1].source.strip() == "# below"


def open_fence(text: str) -> str:
    """Return the line that closes the code fence that a text leaves open; empty where there is none."""
    tokens = [token for token in _MARKDOWN.parse(text) if token.level == 0]
    if not tokens or tokens[-1].type != "fence" or stands_alone(text, first=False):
        return ""
    return tokens[-1].markup


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


def close_section(text: str, line_end: str = "\n") -> str:
    """Return a text that a heading can follow: blank lines at its end belong to that heading."""
    lines = _lines(text)
    while lines and not lines[-1].strip():
        lines.pop()
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines.append(line_end)
    return "".join(lines)
