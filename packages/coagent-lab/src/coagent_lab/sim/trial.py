"""What is run, and how it went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from coagent.agents.scripted import AgentReport
from coagent.protocol.events import Event
from coagent_lab.sim.options import Options
from coagent_lab.sim.world import World

_TEXT_MAX = 200


class Trial(NamedTuple):
    """One run to be made.

    Args:
        seed: Names it.
        options: How the world is run.
        world: Where it begins, and what agents do.
        schedule: What follows from chance follows from this.
    """

    seed: int
    options: Options
    world: World
    schedule: int


@dataclass
class Verdict:
    """How a run went.

    Args:
        trial: What was run; its world is as it was before.
        violation: What was wrong; None where nothing was.
        events: How many events were logged.
        overtaken: Whether no serial run can end like this one, since an outsider's work came to count below
            what an agent cannot take back; its outcome is then not compared.
        timeline: What happened, one line for each event and for what it did to systems.
    """

    trial: Trial
    reports: list[AgentReport] = field(default_factory=list)
    events: int = 0
    violation: str | None = None
    overtaken: bool = False
    timeline: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """What names the run."""
        return self.trial.seed

    @property
    def notifications(self) -> int:
        """How many notices there were."""
        return sum(report.tally.notifications for report in self.reports)

    def note(self, event: Event) -> None:
        """Put an event on the timeline."""
        text = str(event)
        self.timeline.append(text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 1]}…")

    def describe(self) -> Iterable[str]:
        """Return the world, how it was run, and the timelines, line by line."""
        yield str(self.trial.options)
        yield self.trial.world.describe()
        for report in self.reports:
            yield f"{report.name} (rank {report.rank}): {report.state} {report.failure}"
            yield from (f"  {event.kind} {event.text}" for event in report.tally.timeline)
        yield f"timeline (schedule {self.trial.schedule}):"
        yield from (f"  {number}. {text}" for number, text in enumerate(self.timeline, 1))
