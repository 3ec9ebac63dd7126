"""Which writes to show a model once more before it commits: those that a moved premise has left untouched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coagent.runtime.notices import Notification


def standing(
    notices: Sequence[Notification],
    repaired: Sequence[tuple[int, str]],
    effective: Callable[[str], bool],
    *,
    first: int,
) -> list[Notification]:
    """Return the notices of which a dependent write still stands as it was when they came.

    Args:
        notices: All that the agent has been told, in order.
        repaired: Calls that it has undone or amended, each with the number of notices told by then.
        effective: Tells whether a call stands and counts.
        first: The first notice that has not been looked at a second time.
    """
    found = []
    for number, notice in enumerate(notices[first:], first):
        touched = {call_id for told, call_id in repaired if told > number}
        if any(one not in touched and effective(one) for one in notice.dependents):
            found.append(notice)
    return found
