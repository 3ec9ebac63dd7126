"""Looking on at what agents do, from outside: who does so is asked once, and wraps what it looks at.

A domain that nobody looks on at pays nothing for it: its sessions and runners are then the plain ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from coagent.protocol.participants import Participant
from coagent.runtime.runner import Parts, Runner
from coagent.runtime.session import AgentSession
from coagent.runtime.work import Work
from coagent.tools.base import Kind

if TYPE_CHECKING:
    from coagent.runtime.domain import Domain


class Instrument(Protocol):
    """Looks on at one domain, such as telemetry does."""

    def began(self, domain: Domain, parts: Parts) -> dict[Kind, Runner]:
        """Hear that the domain is being opened, and return what runs its tools."""

    def session(self, parts: Parts, work: Work, participant: Participant) -> AgentSession:
        """Return a session for an agent."""

    def ended(self) -> None:
        """Hear that the domain has been closed."""
