"""What a model is shown of its calls: results, failures and notices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from coagent.errors import CoAgentError
from coagent.protocol.values import Value
from coagent.wording.notices import Readable, notices_text
from coagent.wording.quoting import Quoting, one_line, printable

RESULT_LENGTH_MAX = 20_000
CHANGED_LENGTH_MAX = 2_000

_STATUS = {
    "staged": "staged: this cannot be taken back, so it runs when your work is committed; "
    "until then you can undo it",
    "held_back": "held back: this cannot be taken back and did not run, because there is a notice to read "
    "first; call it again if it is still right",
}


class Answer(Protocol):
    """What a call, an undo or an amendment gives; see `Outcome`."""

    @property
    def value(self) -> Value:
        """What the tool returned."""
        ...

    @property
    def call_id(self) -> str:
        """The call; empty where none was recorded."""
        ...

    @property
    def status(self) -> str:
        """`done`, `staged` or `held_back`."""
        ...

    @property
    def notifications(self) -> Sequence[Readable]:
        """What its agent has not been told yet."""
        ...

    @property
    def changed(self) -> Mapping[str, Value]:
        """Later calls of its own, and what they return now."""
        ...


def text_of(value: Value, length_max: int = RESULT_LENGTH_MAX) -> str:
    """Return a value as text, cut to size with a note that says so."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bytes):
        text = f"{len(value)} bytes: {value[:64].hex(' ')}{' …' if len(value) > 64 else ''}"
    else:
        text = _json(value)
    if len(text) > length_max:
        text = f"{text[:length_max]}\n… ({len(text) - length_max} more characters, not shown: ask for a part)"
    return text


def _json(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)


def outcome_text(outcome: Answer, quoting: Quoting, said: str | None = None) -> str:
    """Return the outcome of a call, undo or amendment as the model sees it: notices, result, call id.

    Args:
        outcome: The outcome.
        quoting: Of the agent that sees it.
        said: The result in words; by default its value written out.
    """
    result = quoting.set_apart(text_of(outcome.value if said is None else said))
    lines = [_STATUS.get(outcome.status, result)]
    end = outcome_end(outcome, quoting)
    return with_notices(outcome.notifications, "\n".join([*lines, end] if end else lines), quoting)


def outcome_end(outcome: Answer, quoting: Quoting) -> str:
    """Return what stands behind a result: which other results have changed, and the call's id."""
    lines = changed_lines(outcome.changed, quoting)
    if outcome.call_id:
        lines.append(f"[call {one_line(outcome.call_id)}]")
    return "\n".join(lines)


def outcome_data(outcome: Answer, quoting: Quoting) -> dict[str, Value] | None:
    """Return the outcome of a call as data; None where the result itself is a text, or would have to be cut.

    It says all that the text says: some clients show their model this instead of it. What others have written
    stands in `result` alone, so it cannot pass for anything else.

    Args:
        outcome: The outcome.
        quoting: Of the agent that sees it.
    """
    if not isinstance(outcome.value, dict | list) or len(_json(outcome.value)) > RESULT_LENGTH_MAX:
        return None
    return {
        "notices": [notices_text(outcome.notifications, quoting)] if outcome.notifications else [],
        "result": outcome.value,
        "changed": dict(outcome.changed),
        "call": outcome.call_id,
    }


def undone_text(outcome: Answer, quoting: Quoting) -> str:
    """Return the outcome of an undo."""
    lines = [f"{one_line(outcome.call_id)} is undone.", *changed_lines(outcome.changed, quoting)]
    return with_notices(outcome.notifications, "\n".join(lines), quoting)


def changed_lines(changed: Mapping[str, Value], quoting: Quoting) -> list[str]:
    """Say which of the agent's own later calls return something else now."""
    return [
        f"your call {one_line(call_id)} returns now: {quoting.set_apart(text_of(value, CHANGED_LENGTH_MAX))}"
        for call_id, value in changed.items()
    ]


def error_text(error: CoAgentError, quoting: Quoting) -> str:
    """Return a failure as the model sees it."""
    text = f"error: {quoting.set_apart(printable(text_of(str(error))))}"
    if error.call_id:
        text += f"\n[call {one_line(error.call_id)}]"
    return with_notices(error.notifications, text, quoting)


def with_notices(notices: Iterable[Readable], text: str, quoting: Quoting) -> str:
    """Put notices in front of a text."""
    above = notices_text(notices, quoting)
    return f"{above}\n\n{text}" if above else text
