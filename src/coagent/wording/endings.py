"""What a model is told that has finished: it is committed, or waits, or has something to look at first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coagent.wording.notices import Readable, listed
from coagent.wording.quoting import Quoting, one_line
from coagent.wording.repairs import Repairs
from coagent.wording.results import with_notices

COMMITTED = (
    "Your work is committed. A further call begins a new piece of work, which comes last in the order."
)
NOTHING_TO_COMMIT = "You have not called anything: nothing to commit."


def notified(notices: Iterable[Readable], repairs: Repairs, again: str, quoting: Quoting) -> str:
    """Return what a model is told that had finished when something moved.

    Args:
        notices: What moved.
        repairs: What its tools for repairs are called.
        again: How it ends its work, such as "end your turn".
        quoting: Of the agent that gets them.
    """
    return with_notices(
        notices,
        "You had finished, but the above changed before your work was committed. Look at what it names: keep "
        f"what is still right, use `{repairs.amend}` or `{repairs.undo}` for the calls that are not, and "
        f"call "
        f"what is missing now. Then {again} again.",
        quoting,
    )


def notified_session(text: str) -> str:
    """Return what a model is told that works with its client's own tools, and had ended its turn.

    Args:
        text: The notices.
    """
    return (
        f"{text}\n\nYou had finished, but the above changed before your work was committed. Look at what it "
        "names: keep what is still right, and correct what is not with your usual tools. Then end your turn "
        "again; if all is right, just say so."
    )


def waiting(names: Sequence[str], waited_s: float, unknown: Sequence[str] = ()) -> str:
    """Return what a client is told that has finished before those before it.

    Args:
        names: For whom it waits.
        waited_s: How long it has waited, in seconds.
        unknown: Its calls of which nobody knows whether they have run.
    """
    if unknown:
        calls = ", ".join(one_line(one) for one in unknown)
        return (
            f"Your work is finished, but nobody knows whether {calls} has run: its process has died. A "
            "person has to decide, with `coagent resolve`: tell your user. It is then committed without you."
        )
    who = ", ".join(one_line(name) for name in names) or "others"
    return (
        f"Your work is finished, and waits for {who} to commit ({waited_s:g} s so far). Nothing is left to "
        "do: call coagent_finish again to go on waiting, or end here; it is then committed without you, "
        "unless something that you have read changes."
    )


def waits_for_others(names: Sequence[str]) -> str:
    """Return what a person is told whose session has ended its turn before its turn to commit.

    Args:
        names: For whom it waits.
    """
    who = listed(names) or "others"
    return (
        f"CoAgent: the work of this turn is finished, and waits for {who}. It is committed by itself once "
        f"they "
        "have ended their turns; just go on. `coagent status` shows them, and `coagent undo NAME --abort` "
        "ends one."
    )


def joined(name: str, rank: int, handle: str) -> str:
    """Return what a client is told that has an agent of its own now."""
    return (
        f'You are agent {one_line(name)}, rank {rank}. Pass coagent_handle = "{handle}" with every call, and '
        "keep it to yourself: whoever has it is you."
    )


def not_made_again(call_id: str) -> str:
    """Return what a client is told whose call another server had made, which died before it could answer."""
    return (
        f"[coagent] This is your last call ({one_line(call_id)}) once more: it had been made before your "
        "server ended, and is not made again. This is what it returned. Should you mean another one, call it "
        "again."
    )


def not_governed(folders: Sequence[str], root: str) -> str:
    """Return what a person is told of sessions beside theirs that nobody governs.

    Args:
        folders: Where they work.
        root: The workspace.
    """
    return (
        f"CoAgent: Claude Code also works in {listed(folders)} and is not governed there: its changes count "
        f"as somebody outside's. Start it in {one_line(root, len(root))} itself; `coagent doctor` says "
        "more."
    )


def nobody_looked(name: str, keys: Sequence[str]) -> str:
    """Return what a person is told of a session that had ended when something came to it.

    Args:
        name: Its agent.
        keys: What has changed since the session read it.
    """
    return (
        f"CoAgent: {one_line(name)} had ended when {listed(keys)} changed, which it had read. What it did "
        "stands and is committed; nobody has looked whether it is still right."
    )
