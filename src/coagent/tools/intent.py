"""What a run of a tool is known by for ever, so that systems which act once for a name can be asked to.

The name is in the log before the tool runs. Where a process dies meanwhile, nobody knows whether the run has
had its effect; a run in its place has the same name, and a probe is asked about that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from coagent.protocol.values import Value

_current: ContextVar[str] = ContextVar("intent", default="")


class Probed(NamedTuple):
    """What a probe has found out about a run.

    Args:
        ran: Whether it has had its effect.
        result: What it would have returned.
    """

    ran: bool
    result: Value = None


class Probe(Protocol):
    """Asks a system whether a run has had its effect there."""

    async def __call__(self, intent: str, /, **arguments: Any) -> Probed | bool | None:
        """Return what was found out; None where that cannot be told.

        Args:
            intent: What the run was known by.
            **arguments: Those of the tool.
        """


def idempotency_key() -> str | None:
    """Return the name of the run that asks: the same for each try of one run, and never that of another.

    Only what cannot be taken back mechanically has one: irreversible and declared tools; None elsewhere.
    """
    return _current.get() or None


@contextmanager
def under(intent: str) -> Iterator[None]:
    """Run a tool under a name."""
    token = _current.set(intent)
    try:
        yield
    finally:
        _current.reset(token)


async def probed(probe: Probe | None, intent: str, arguments: Mapping[str, Any]) -> Probed | None:
    """Ask a probe; None where there is none, or it cannot tell."""
    found = None if probe is None else await probe(intent, **arguments)
    return Probed(found) if isinstance(found, bool) else found
