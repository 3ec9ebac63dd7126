"""What an agent may be called."""

from __future__ import annotations

from coagent.errors import JoinRefused
from coagent.protocol.calls import parsed_call_id

_LENGTH_MAX = 100


def check_name(name: str) -> None:
    """See that an agent may have a name.

    Raises:
        JoinRefused: It is too long or not printable, or reads as the id of a call.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > _LENGTH_MAX:
        raise JoinRefused(
            f"{name!r} is no name for an agent", f"Use 1 to {_LENGTH_MAX} printable characters."
        )
    if (call := parsed_call_id(name)) is not None:
        raise JoinRefused(
            f"{name!r} is no name for an agent: it is that of call {call[1]} of {call[0]!r}",
            f"Use another name, such as {f'{call[0]}-{call[1]}'!r}.",
        )
