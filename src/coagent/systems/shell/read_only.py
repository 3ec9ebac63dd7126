"""Which commands are known to write nothing in the tree, so that they need no layer to write to.

Few are: one program with plain words, or a pipeline of such ones. With a layer each file that is looked at
takes twice the time, and `git status` does little else. One that wrote all the same would be told that the
file system is read-only.
"""

from __future__ import annotations

import re

_SHELL = re.compile(r"[;&<>$`\\(){}\n\r]")
"""What may make more of a command than programs and their words, one after another in a pipeline."""
_ANY_OPTIONS = frozenset({"cat", "cut", "du", "grep", "head", "ls", "stat", "tail", "tr", "wc"})
"""Programs none of whose options writes (POSIX, and GNU coreutils and grep)."""
_GIT = re.compile(
    r"git (status|diff|grep|log|show|blame|shortlog|describe|ls-files|rev-parse)"
    r"(?!.*(--ou|--op|\s-\w*O))(\s+\S+)*"
)
"""Those of git that do nothing in the tree, without `--output` or a pager, and nothing in the index but
refresh it, which is in the git folder and has a layer of its own.
Source: git-status(1), "Background refresh"."""


def only_reads(text: str) -> bool:
    """Tell whether a command is known to write nothing in the tree.

    Args:
        text: For bash.
    """
    text = text.strip()
    if _SHELL.search(text):
        return False
    # A bar that is quoted makes too many parts of it, of which one is no program that is known.
    return all(_part_only_reads(part.strip()) for part in text.split("|"))


def _part_only_reads(part: str) -> bool:
    plain = part.replace('"', "").replace("'", "")
    return part.partition(" ")[0] in _ANY_OPTIONS or _GIT.fullmatch(plain) is not None
