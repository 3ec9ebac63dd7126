"""Honest logs: what the simulator's runs append, as texts of records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from coagent.audit.audit import Audit, Report
from coagent.log.base import LogSettings
from coagent.log.codec import encode
from coagent.log.memory import MemoryLog
from coagent.protocol.events import Event
from coagent_lab.sim.options import Kind
from coagent_lab.sim.run import run_seed
from coagent_lab.sim.server import Server


class Honest(NamedTuple):
    """A log that a run has appended to.

    Args:
        settings: What it was begun with.
        texts: Its records.
    """

    settings: LogSettings
    texts: list[str]


@contextmanager
def kept_logs() -> Iterator[list[Honest]]:
    """Keep what is appended to logs in memory meanwhile."""
    logs: list[Honest] = []
    by_log: dict[int, Honest] = {}
    patched: list[tuple[type[Any], str, Any]] = []

    def patch(cls: type[Any], name: str, replacement: Any) -> None:
        patched.append((cls, name, cls.__dict__[name]))
        setattr(cls, name, replacement)

    made, note, append, server = MemoryLog.__init__, MemoryLog.note, MemoryLog.append, Server.__init__

    def init(self: MemoryLog, settings: LogSettings) -> None:
        made(self, settings)
        by_log[id(self)] = kept = Honest(settings, [])
        logs.append(kept)

    def noted(self: MemoryLog, event: Event) -> None:
        note(self, event)
        by_log[id(self)].texts.append(encode(event))

    async def appended(self: MemoryLog, events: Sequence[Event]) -> None:
        await append(self, events)
        by_log[id(self)].texts.extend(map(encode, events))

    def begun(self: Server, settings: LogSettings, *rest: Any, **named: Any) -> None:
        server(self, settings, *rest, **named)
        logs.append(Honest(settings, self.records))

    try:
        patch(MemoryLog, "__init__", init)
        patch(MemoryLog, "note", noted)
        patch(MemoryLog, "append", appended)
        patch(Server, "__init__", begun)
        yield logs
    finally:
        for cls, name, original in reversed(patched):
            setattr(cls, name, original)


def logs_of(seed: int, kind: Kind = "plain", protocol: str = "mtpo") -> list[Honest]:
    """Return the logs that a simulated run has appended to."""
    with kept_logs() as logs:
        run_seed(seed, kind=kind, protocol=protocol)
    return [log for log in logs if log.texts]


def audited(settings: LogSettings, texts: list[str]) -> Audit:
    """Return an audit that has taken all records."""
    audit = Audit(settings.protocol, settings.order)
    for number, text in enumerate(texts, 1):
        audit.feed(number, text)
    return audit


def report_of(log: Honest) -> Report:
    """Return what an audit finds in a log."""
    return audited(log.settings, log.texts).report()


def live_of(log: Honest) -> dict[str, Any]:
    """Return the live state that an honest log leads to."""
    return {one.key: one.values[-1] for one in audited(log.settings, log.texts).expected()}
