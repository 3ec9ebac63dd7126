"""Commands that look at nearly all of a tree, such as `git status`: to follow them costs much, tells little.

Such a command runs again after nearly every change before it, followed or not. So once it has been seen to be
one, it is taken to have read everything, and followed again only now and then, lest the tree has grown since.
Of `git status` that is known beforehand: it looks at all that git does not ignore.
"""

from __future__ import annotations

import re

from coagent.systems.shell.views.confined import Seen
from coagent.systems.shell.views.snapshot import Snapshots

_SHARE = 0.9
"""How much of the tree such a command looks at, at least."""
_ENTRIES_MIN = 200
"""How much there is in a tree, at least: in smaller ones it costs little to follow a command."""
_SECONDS_MAX = 1.0
"""How long such a command may take: longer ones shall not run again for nothing, and are slowed down less."""
_RUNS = 20
_GIT_STATUS = re.compile(r"\s*git status(\s+-[\w=-]+)*\s*")
_COMMANDS_MAX = 1_000


class Sweeping:
    """What is known of the commands over one tree.

    Args:
        snapshots: Of the tree.
    """

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._left: dict[str, int] = {}

    def is_known(self, text: str) -> bool:
        """Tell whether a command need not be followed this time."""
        if self._snapshots.count >= _ENTRIES_MIN and _GIT_STATUS.fullmatch(text):
            return True
        left = self._left.pop(text, 0)
        if left:
            self._left[text] = left - 1
        return left > 0

    def learn(self, text: str, seen: Seen, seconds: float) -> None:
        """Hear what a command that was followed has looked at, and how long it took, in seconds."""
        if seconds > _SECONDS_MAX or self._snapshots.count < _ENTRIES_MIN:
            return
        if self._snapshots.share(seen.looked_up | seen.opened) >= _SHARE:
            self._left[text] = _RUNS
            while len(self._left) > _COMMANDS_MAX:
                self._left.pop(next(iter(self._left)))
