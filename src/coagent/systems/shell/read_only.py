"""Which commands are known to write nothing in the tree, so that they need no layer to write to.

Few are, and of these only what needs no shell: one program and plain words. With a layer each file that is
looked at takes twice the time, and `git status` does little else. One that wrote all the same would be told
that the file system is read-only.
"""

from __future__ import annotations

import re

_SHELL = re.compile(r"[;&|<>$`\\(){}\n\r]")
"""What may make more of a command than one program and its words."""
_ANY_OPTIONS = frozenset({"cat", "du", "grep", "head", "ls", "stat", "tail", "wc"})
"""Programs none of whose options writes (POSIX, and GNU coreutils and grep)."""
_GIT = re.compile(r"git (status|diff|log|show|blame|shortlog|describe|ls-files|rev-parse)(?!.*--ou)(\s+\S+)*")
"""Those of git that do nothing in the tree, without `--output`, and nothing in the index but refresh it,
which is in the git folder and has a layer of its own. Source: git-status(1), "Background refresh"."""


def only_reads(text: str) -> bool:
    """Tell whether a command is known to write nothing in the tree.

    Args:
        text: For bash.
    """
    text = text.strip()
    if _SHELL.search(text):
        return False
    plain = text.replace('"', "").replace("'", "")
    return text.partition(" ")[0] in _ANY_OPTIONS or _GIT.fullmatch(plain) is not None
