"""Commands in the tree itself, where the governed shell cannot be had: no namespaces, or another prefix.

CoAgent cannot see into such a command. The tree is compared before and after, so one that may write runs at a
time; what a command reads is known only as far as it names files, and it sees the work of later agents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coagent.gateways.claude.commands import parse_command
from coagent.gateways.claude.native import NativeWrite
from coagent.systems.files.changes import file_change
from coagent.wording.notices import listed

if TYPE_CHECKING:
    from coagent.gateways.claude.session import ClaudeSession

COMMAND_SHOWN_MAX = 200
_NAMED_MAX = 50


async def before(session: ClaudeSession, given: Mapping[str, Any]) -> str:
    """Have the tree remembered before a command that may write.

    Returns:
        Why it may not run now; empty where it may.
    """
    hub = session.hub
    if parse_command(str(given.get("command", ""))).looks or await hub.begin_command(session.id):
        return ""
    return (
        f"[coagent] Another agent's command has been running for {hub.settings.busy_s:g} s in this "
        "directory, and only one that may write runs at a time. Try again later; reading and editing files "
        "goes on meanwhile."
    )


async def after(session: ClaudeSession, event: Mapping[str, Any]) -> None:
    """Take over what a command has changed, and record what it names."""
    hub = session.hub
    command = str(event["tool_input"].get("command", ""))
    read = await _named(session, command, str(event.get("cwd", "")))
    differing = hub.differing(session.agent.position)
    async with hub.ended_command(session.id) as changed:
        if not changed and not read:
            return
        writes = {key: NativeWrite(before, after) for key, (before, after) in changed.items()}
        async with hub.tree.taking_over(writes):
            await session.loudly(
                "record_changes",
                f"Bash {command[:COMMAND_SHOWN_MAX]!r}",
                what=command,
                changes=[file_change(key, before, after) for key, (before, after) in changed.items()],
                read=read,
            )
    if differing:
        names = listed(sorted(key.partition(":")[2] for key in differing))
        session.say(
            "[coagent] Commands run on the tree as it is on disk. There these files already hold the "
            f"work of agents after you, which you leave out of account: {names}."
        )


async def _named(session: ClaudeSession, command: str, cwd: str) -> list[str]:
    """Return the files that a command names, as far as they are governed."""
    found: dict[str, None] = {}
    for word in parse_command(command).words:
        key = session.hub.key_of(word, cwd)
        if key is None or len(found) >= _NAMED_MAX:
            continue
        if not key.endswith(("/", ":")) and await session.agent.peek(key) is not None:
            found[key.partition(":")[2]] = None
    return list(found)
