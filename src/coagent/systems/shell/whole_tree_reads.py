"""Commands that look at nearly all of a tree, such as `git status`: to follow them costs much, tells little.

Such a command runs again after nearly every change before it, followed or not. So once it has been seen to be
one, it is taken to have read everything, and followed again now and then, in case the tree has grown since.
Of some that is known beforehand: `git status`, `git add -A` and `git commit -a` look at all that git does not
ignore, `git grep` and `grep -r` search it.
"""

from __future__ import annotations

import re
import shlex

from coagent.systems.shell.views.confined import ReadSet
from coagent.systems.shell.views.snapshot import Snapshots

_SHARE = 0.9
"""How much of the tree such a command looks at, at least."""
_ENTRIES_MIN = 200
"""How much there is in a tree, at least: in smaller ones it costs little to follow a command."""
_SECONDS_MAX = 1.0
"""How long such a command may take, not followed: longer ones shall not run again for nothing."""
_LOOK_S = 100e-6
"""How much longer it takes for each path that is followed, about."""
_RUNS = 20
_BETWEEN = "();<>|&\n"
_ALL_OF_GIT = {"add": r"-A|--all|-u|--update|\.", "commit": r"-[a-zA-Z]*a[a-zA-Z]*|--all"}
"""What makes these look at all files. Sources: git-add(1), git-commit(1)."""
_COMMANDS_MAX = 1_000


class WholeTreeReads:
    """What is known of the commands over one tree.

    Args:
        snapshots: Of the tree.
    """

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._left: dict[str, int] = {}

    def is_known(self, text: str) -> bool:
        """Tell whether a command need not be followed this time."""
        if self._snapshots.count >= _ENTRIES_MIN and looks_at_all(text):
            return True
        left = self._left.pop(text, 0)
        if left:
            self._left[text] = left - 1
        return left > 0

    def learn(self, text: str, seen: ReadSet, seconds: float) -> None:
        """Hear what a command that was followed has looked at, and how long it took, in seconds."""
        paths = seen.looked_up | seen.opened
        if seconds - _LOOK_S * len(paths) > _SECONDS_MAX or self._snapshots.count < _ENTRIES_MIN:
            return
        if self._snapshots.share(paths) >= _SHARE:
            self._left[text] = _RUNS
            while len(self._left) > _COMMANDS_MAX:
                self._left.pop(next(iter(self._left)))


def looks_at_all(text: str) -> bool:
    """Tell of a command whether some part of it surely looks at nearly all of the tree, if it runs.

    Args:
        text: For bash.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_BETWEEN)
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    words: list[str] = []
    try:
        for word in lexer:
            if set(word) <= set(_BETWEEN):
                if _looks_at_all(words):
                    return True
                words = []
            else:
                words.append(word)
    except ValueError:  # a quote has no end
        return False
    return _looks_at_all(words)


def _looks_at_all(words: list[str]) -> bool:
    options = [word for word in words[1:] if word.startswith("-")]
    others = [word for word in words[1:] if not word.startswith("-")]
    match words[:2]:
        case ["git", "status"]:
            return len(words) == 2 + len(options)
        case ["git", "grep"]:
            return len(others) == 2 and "--" not in words
        case ["git", "add" | "commit" as verb]:
            return any(re.fullmatch(_ALL_OF_GIT[verb], word) for word in words[2:])
        case ["grep", *_]:
            recursive = any(
                re.fullmatch(r"-[a-zA-Z]*[rR][a-zA-Z]*|--(deref.*|recurs.*)", option) for option in options
            )
            return recursive and bool(others) and set(others[1:]) <= {".", "./"}
        case ["rg", *_]:
            return bool(others) and set(others[1:]) <= {".", "./"}
    return False
