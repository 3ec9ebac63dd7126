"""Kernels that are restored at random moments, and go on beside the one that has seen everything."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from coagent.log.codec import decode, decode_state, encode, encode_state
from coagent.protocol.checkpoint import restore, state_of
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo
from coagent_lab.sim.check import Violation
from coagent_lab.sim.dump import dump


class Restored:
    """A kernel restored from a checkpoint, that hears what has happened since.

    Args:
        kernel: The one that it must equal.
        make: Makes a new kernel of the same protocol.
        rng: Says when another one is restored.
        likely: How likely that is after an event.
    """

    def __init__(self, kernel: Mtpo, make: Callable[[], Mtpo], rng: random.Random, likely: float) -> None:
        self._kernel = kernel
        self._make = make
        self._rng = rng
        self._likely = likely
        self._shadow: Mtpo | None = None
        self._age = 0
        self.count = 0
        """How many were restored."""

    def take(self, event: Event) -> None:
        """Follow an event that the kernel has taken.

        Raises:
            Violation: A restored kernel is in another state, or has other answers.
        """
        if self._shadow is not None:
            self._shadow.step(decode(encode(event)))
            self._age += 1
            self.compare(event)
        if self._rng.random() < self._likely:
            self._shadow, self._age = self._make(), 0
            restore(self._shadow, decode_state(encode_state(state_of(self._kernel))))
            self.count += 1
            self.compare(event)

    def compare(self, event: Event) -> None:
        """Compare it with the kernel that has seen everything.

        Raises:
            Violation: They differ.
        """
        assert self._shadow is not None, "a kernel has been restored"
        self._shadow.check_invariants()
        for what in (dump, _answers):
            found, expected = what(self._shadow), what(self._kernel)
            if found != expected:
                raise Violation(
                    f"restored {self._age} events ago, a kernel differs after {event}:\n{found}\n{expected}"
                )


def _answers(kernel: Mtpo) -> Any:
    """Return what a kernel says to the questions that its runtime has."""
    ready = kernel.ready()
    return (
        [call.id for call in ready.reexecute],
        ready.apply,
        ready.promote,
        None if ready.run is None else ready.run.id,
        ready.commit,
        kernel.has_work,
        kernel.has_effects,
        sorted(kernel.unsettled()),
        sorted(kernel.stuck.items()),
        [_about(kernel, rank) for rank in sorted(kernel.agents)],
    )


def _about(kernel: Mtpo, rank: Any) -> Any:
    agent = kernel.agents[rank]
    if agent.ended:
        return agent.name, agent.phase
    inbox = kernel.inbox(agent)
    footprints = {call.id: call.footprint for call in agent.calls.values() if call.declared}
    return (
        agent.name,
        agent.phase,
        bool(agent.unread),
        inbox.call_ids,
        sorted(inbox.keys),
        kernel.its_turn(agent),
        kernel.promotion(agent),
        kernel.position(agent),
        [call.id for call in kernel.kept_calls(agent)],
        {
            call.id: [[one.id for one in them] for them in kernel.obstacles(call.position, footprint, call)]
            for call in agent.calls.values()
            if (footprint := footprints.get(call.id)) is not None
        },
    )
