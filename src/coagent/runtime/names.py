"""What agents may be called."""

from __future__ import annotations

from coagent.errors import JoinRefused
from coagent.protocol.calls import parsed_call_id


def check_name(name: str) -> None:
    """Refuse what is no name for an agent.

    Raises:
        JoinRefused: It is none; the message says why.
    """
    if (
        not isinstance(name, str)
        or not name.strip()
        or any(not one.isprintable() for one in name)
        or len(name) > 100
    ):
        raise JoinRefused(f"{name!r} is no name for an agent", "Use 1 to 100 printable characters.")
    if (call := parsed_call_id(name)) is not None:
        raise JoinRefused(
            f"{name!r} is no name for an agent: it is that of call {call[1]} of {call[0]!r}",
            f"Use another name, such as {f'{call[0]}-{call[1]}'!r}.",
        )
