"""What an agent may spend before it is stopped and its work withdrawn."""

from __future__ import annotations

from dataclasses import dataclass, fields

from coagent.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on one agent; None lifts a limit.

    Args:
        requests: Answers of the model.
        tokens: Input and output tokens together, as the provider counts them; looked at after each answer.
        calls: Calls, undos and amendments.
        seconds: Time at work. Waiting for the agents that come before, with nothing left to do, is free.

    Raises:
        ConfigurationError: A limit is not positive.
    """

    requests: int | None = 60
    tokens: int | None = 1_000_000
    calls: int | None = 300
    seconds: float | None = 1800.0

    def __post_init__(self) -> None:
        for one in fields(self):
            limit = getattr(self, one.name)
            if limit is not None and limit <= 0:
                raise ConfigurationError(
                    f"the budget allows {limit!r} {one.name}",
                    "A limit is a positive number, or None for no limit.",
                )
