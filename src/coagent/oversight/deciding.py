"""Deciding about what is stuck, and about calls of which nobody knows whether they have run."""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

from coagent.runtime.domain import Domain

Decision: TypeAlias = Literal["retry", "accept", "drop"]


async def decide(domain: Domain, what: str, how: Decision) -> str | None:
    """Decide about an object or a call; returns why it is not decided all the same.

    Args:
        domain: Not open yet; it is opened for that.
        what: The object's key, or the call's id.
        how: As in `Domain.resolve`.
    """
    logging.getLogger("coagent.domain").setLevel(logging.ERROR)  # that a person has to decide is known here
    async with domain:
        kernel = domain.kernel
        if what in kernel.stuck or any(call.id == what for call in kernel.unknown):
            await domain.resolve(what, how)
            await domain.settle()
        if any(call.id == what for call in kernel.unknown):
            return "nobody knows whether it has run"
        return kernel.stuck.get(what)  # type: ignore[call-overload,no-any-return]  # a key
