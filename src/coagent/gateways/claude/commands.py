"""What can be told from a shell command by reading it: whether it only looks, and what it names.

Only a guess at what it reads, and never one at what it writes: that is seen from the tree.
"""

from __future__ import annotations

import re
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
_LOOKING_COAGENT = frozenset(["doctor", "log", "status"])
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


def asks_coagent(command: str) -> bool:
    """Tell whether a command looks at the domain by CoAgent's own commands, and else only looks."""
    try:
        parts = [part for part in _simple_commands(command) if part]
    except ValueError:
        return False
    asking = [part for part in parts if _asks(part)]
    rest = (part for part in parts if part not in asking)
    return bool(asking) and _is_harmless(command) and all(_looks(part) for part in rest)


def _asks(part: list[str]) -> bool:
    for number, word in enumerate(part):
        if word.rpartition("/")[2] == "coagent" and (number == 0 or part[number - 1] in ("-m", "run")):
            return number + 1 < len(part) and part[number + 1] in _LOOKING_COAGENT
    return False


def parse_command(command: str) -> Told:
    """Read a command; one that cannot be parsed is taken to do anything."""
    try:
        parts = list(_simple_commands(command))
    except ValueError:
        return Told(False, [])
    words = [word for part in parts for word in part[1:] if not word.startswith("-")]
    return Told(_is_harmless(command) and all(_looks(part) for part in parts if part), words)


def _is_harmless(command: str) -> bool:
    """Tell whether a command writes into no file and runs no other one, as far as its marks tell."""
    quiet = re.sub(r"2?>\s*/dev/null\b|2>&1", "", command)
    return not any(mark in quiet for mark in (">", "`", "$(", "<("))


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
