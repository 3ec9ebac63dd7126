"""What a session has in git for itself, which is to outlive the agents that it is turn by turn.

An agent's index and stashes end with it. A session is another agent after each commit, and goes on with what
the last one had; when it ends, what it has stashed goes to the stashes of the repository, where people look.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from coagent.runtime.session import AgentSession
from coagent.systems.git.references import agent_key

_KEPT = ("staged", "files")
_STASHED = re.compile(r"^\S+ (?P<commit>[0-9a-f]{40,64}) [^\t]*\t?(?P<what>.*)$")
_GIT_S_MAX = 30


async def of(agent: AgentSession) -> dict[str, Any]:
    """Return what an agent has for itself."""
    private = await agent.peek(agent_key(agent.rank))
    known = private if isinstance(private, Mapping) else {}
    return {name: known[name] for name in _KEPT if known.get(name)}


def stashes(left: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the stashes in it, oldest first: commits, and what they were called."""
    log = left.get("files", {}).get("logs/refs/stash") or {}
    found = (_STASHED.match(line) for line in str(log.get("text", "")).splitlines())
    return [(answer["commit"], answer["what"]) for answer in found if answer is not None]


def hand_over(root: str, left: Mapping[str, Any], name: str) -> None:
    """Put the stashes of a session that has ended to those of the repository; what cannot be is still there.

    Args:
        root: The workspace.
        left: What the session had.
        name: Of its last agent.
    """
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    for commit, what in stashes(left):
        store = ["git", "-c", "core.hooksPath=/dev/null", "stash", "store", "-m", f"{name}: {what}", commit]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(store, cwd=root, env=known, capture_output=True, check=True, timeout=_GIT_S_MAX)
