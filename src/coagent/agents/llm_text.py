"""What a language model is asked about notices, beside what every door says."""

from __future__ import annotations

from collections.abc import Sequence

from coagent.errors import CoAgentError
from coagent.runtime.notices import Notification
from coagent.runtime.outcomes import Issued
from coagent.runtime.session import AgentSession
from coagent.wording.endings import notified
from coagent.wording.quoting import Quoting, one_line, printable
from coagent.wording.repairs import PLAIN
from coagent.wording.results import CHANGED_LENGTH_MAX, text_of, with_notices

_AGAIN = "end your turn"


def notified_prompt(notices: Sequence[Notification], quoting: Quoting) -> str:
    """Return what the model is told when it had finished and something moved."""
    return notified(notices, PLAIN, _AGAIN, quoting)


def judging_prompt(goal: str, session: AgentSession, notices: Sequence[Notification]) -> str:
    """Return what a model that had finished is asked in a conversation of its own.

    It carries what the answer needs and nothing else: the goal, the agent's calls, and the notices.
    """
    named = {one for notice in notices for one in (*notice.premises, *notice.dependents)}
    lines = [f"Your goal was:\n{goal}", "To reach it you have made these calls:"]
    for call in session.calls:
        text = _call_text(session, call)
        if call.call_id in named:
            text += f"\n  returned: {session.quoting.set_apart(_returned(session, call.call_id))}"
        lines.append(text)
    return "\n".join(lines) + "\n\n" + notified_prompt(notices, session.quoting)


def second_look_prompt(session: AgentSession, notices: Sequence[Notification]) -> str:
    """Return what a model is asked before it commits, about writes that it has left as they were."""
    calls: dict[str, Issued] = {call.call_id: call for call in session.calls}
    standing = sorted({one for notice in notices for one in notice.dependents} & calls.keys())
    lines = [_call_text(session, calls[one]) for one in standing]
    return with_notices(
        notices,
        "Before your work is committed, look once more. These calls of yours came before the above and stand "
        "as they were:\n"
        + "\n".join(lines)
        + "\nAmend or undo those that are wrong now, and keep those that "
        "are still right. Then end your turn again.",
        session.quoting,
    )


def _call_text(session: AgentSession, call: Issued) -> str:
    arguments = session.quoting.set_apart(text_of(dict(call.arguments), CHANGED_LENGTH_MAX))
    return f"[call {one_line(call.call_id)}] {one_line(call.tool)} {arguments}"


def _returned(session: AgentSession, call_id: str) -> str:
    try:
        return text_of(session.result(call_id), CHANGED_LENGTH_MAX)
    except CoAgentError as failure:
        return f"error: {printable(str(failure))}"
