"""What can be told from a shell command by reading it: whether it only looks, and which files it names.

Only a guess at what it reads, and never one at what it writes: that is seen from the tree.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

# fmt: off
_LOOKING = frozenset([
    "basename", "cat", "cd", "cut", "date", "diff", "dirname", "du", "echo", "egrep", "fgrep", "file",
    "find", "grep", "head", "jq", "less", "ls", "md5sum", "more", "nl", "pwd", "readlink", "realpath",
    "rg", "sha256sum", "sort", "stat", "tail", "test", "tr", "tree", "true", "uniq", "wc", "which",
    "xxd",
])
_LOOKING_GIT = frozenset([
    "blame", "cat-file", "describe", "diff", "grep", "log", "ls-files", "ls-tree", "rev-list",
    "rev-parse", "shortlog", "show", "status",
])
# fmt: on
_WRITING_WORDS = frozenset(
    (
        "-delete",
        "-exec",
        "-execdir",
        "-ok",
        "-fprint",
        "-fprintf",
        "-fls",
        "-i",
        "--in-place",
        "-o",
        "--output",
    )
)
_SEPARATORS = frozenset(["|", "||", "&&", ";", "&", "(", ")", "\n"])


class Told(NamedTuple):
    """What a command tells of itself.

    Args:
        looks: Whether it only looks, as far as its words tell.
        words: The words that may name files or folders.
    """

    looks: bool
    words: list[str]


def told(command: str) -> Told:
    """Read a command; one that cannot be parsed is taken to do anything."""
    try:
        parts = list(_simple_commands(command))
    except ValueError:
        return Told(False, [])
    words = [word for part in parts for word in part[1:] if not word.startswith("-")]
    harmless = not any(mark in command for mark in (">", "`", "$(", "<("))
    return Told(harmless and all(_looks(part) for part in parts if part), words)


def _looks(part: list[str]) -> bool:
    program = part[0].rpartition("/")[2]
    if program == "git":
        rest = [word for word in part[1:] if not word.startswith("-")]
        return bool(rest) and rest[0] in _LOOKING_GIT and "--output" not in " ".join(part)
    if "=" in part[0]:
        return False
    return program in _LOOKING and not any(word.partition("=")[0] in _WRITING_WORDS for word in part[1:])


def _simple_commands(command: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    part: list[str] = []
    for word in lexer:
        if word in _SEPARATORS or set(word) <= set("|&;()"):
            yield part
            part = []
        else:
            part.append(word)
    yield part
