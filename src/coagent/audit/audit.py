"""The audit of a log: records in, a report out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

from coagent.audit.arrival import ArrivalReplay
from coagent.audit.checkpoints import begin
from coagent.audit.findings import Class, Finding, Findings, Tally
from coagent.audit.objects import Thing
from coagent.audit.ordered import OrderedReplay
from coagent.audit.parts import UNKNOWN, same
from coagent.audit.picture import Show, brief
from coagent.audit.replay import Replay

ORDERED = ("mtpo", "serial")
BY_ARRIVAL = ("naive", "2pl", "occ")


class Expected(NamedTuple):
    """What a target should hold.

    Args:
        key: The object.
        values: What it may hold; the last one is what it should come to.
        by: Who wrote that last: a call, or "outside"; empty where nobody in the log has.
        person: Who that was outside, where that is known.
        without: A call that was taken back, without which it is what it is.
    """

    key: str
    values: tuple[Any, ...]
    by: str
    person: str = ""
    without: str = ""


class Audit:
    """Looks at one log, record by record.

    Args:
        protocol: The protocol that the log was begun with.
        order: "fixed" or "early".
        show: Says how a value of an object is shown, in one short line.

    Raises:
        ValueError: It is no protocol of which this auditor knows what must hold.
    """

    def __init__(self, protocol: str, order: str = "fixed", show: Show = brief) -> None:
        if protocol not in (*ORDERED, *BY_ARRIVAL):
            raise ValueError(f"no protocol {protocol!r} is known")
        kind = OrderedReplay if protocol in ORDERED else ArrivalReplay
        self._replay: Replay = kind(protocol, order, show)
        self.protocol = protocol
        self.began_after = 0
        self._compared: int | None = None

    def feed(self, number: int, record: str) -> None:
        """Take the next record.

        Args:
            number: Its number.
            record: Its text.
        """
        self._replay.feed(number, record)

    def begin_at(self, number: int, state: str) -> None:
        """Begin at a checkpoint, where the records before it are not there, or of an old format.

        Args:
            number: The number of the last record before it.
            state: Its text.

        Raises:
            ValueError: It is none of this format.
        """
        begin(self._replay, number, state)
        self.began_after = number

    def damaged(self, text: str, number: int = 0) -> None:
        """Note that the log itself cannot be read to its end."""
        self._replay.findings.add(Finding("damaged log", "damaged record", text, number))

    # ---- the live state ------------------------------------------------------------------------------------

    def expected(self) -> Iterator[Expected]:
        """Yield what targets should hold now, of everything that the log says was written."""
        for thing in self._written():
            values = _values(thing)
            if UNKNOWN not in values and thing.key not in self._replay.declared:
                top = thing.writes[-1] if thing.writes else None
                by = thing.base_by if top is None else "outside" if top.edit else top.call.id
                gone = thing.written if not by and "." in thing.written else ""
                yield Expected(thing.key, values, by, thing.person if by == "outside" else "", gone)

    def hidden(self) -> dict[str, int]:
        """Return how many objects were written of which nobody can say whether they are as they should be."""
        written = list(self._written())
        rest = [thing for thing in written if thing.key not in self._replay.declared]
        return {
            "only their own systems can tell, since declared tools wrote them": len(written) - len(rest),
            "the log does not hold what was merged with a change from outside": sum(
                any(value is UNKNOWN for value in _values(thing)) for thing in rest
            ),
        }

    def _written(self) -> list[Thing]:
        """Return what somebody in the log has written, but for what is stuck."""
        things = self._replay.things
        return [thing for thing in things.all.values() if thing.written and thing.key not in things.stuck]

    @staticmethod
    def holds(expected: Expected, found: Any) -> bool:
        """Tell whether a target holds what it may.

        Args:
            expected: What it should hold.
            found: What it holds; None: nothing.
        """
        return any(same(found, value) for value in expected.values)

    def looked_at(self, compared: int, wrong: Iterable[tuple[Expected, Any]]) -> None:
        """Take what there is in targets.

        Args:
            compared: How many objects were looked at.
            wrong: Those that do not hold what they should, with what they hold.
        """
        self._compared = compared
        for expected, live in wrong:
            key, by = expected.key, expected.by
            left, who = _left_by(expected)
            held = expected.values[-1]
            due, there = self._replay.show(held, key, live), self._replay.show(live, key, held)
            self._replay.findings.add(
                Finding(
                    "ungoverned writer",
                    "live value that no call wrote",
                    f"{key} is {there}, and no record says by whom; by the log it is {due}, {left}",
                    0,
                    calls=() if by in ("", "outside") else (by,),
                    key=key,
                    picture=(
                        key,
                        f"  {who}──▶ {due}",
                        f"  somebody outside ──wrote──▶ {there} ◀── is there now",
                    ),
                )
            )

    # ---- the end -------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """Return what was found, when there are no more records."""
        replay = self._replay
        if isinstance(replay, ArrivalReplay):
            replay.judge()
        for key, stuck in replay.things.stuck.items():
            replay.findings.add(
                Finding(
                    "failed inverse",
                    "stuck object",
                    f"record {stuck.number}: {key} could not be brought to what it should be: {stuck.error}",
                    stuck.number,
                    key=key,
                )
            )
        for call in [*replay.calls.values(), *replay.left.values()]:
            if call.phase == "unknown":
                replay.findings.add(
                    Finding(
                        "unknown effect",
                        "run whose process died",
                        f"{call.id} ({call.tool}) may have run or not: its process has died",
                        call.number,
                        agents=(call.agent.name,),
                        calls=(call.id,),
                    )
                )
        at_work = [agent.name for agent in replay.agents.values() if not agent.ended]
        return Report(
            self.protocol,
            replay.tally,
            replay.findings,
            tuple(at_work),
            self._compared,
            self.began_after,
        )


def _values(thing: Thing) -> tuple[Any, ...]:
    """Return what a target may hold of an object."""
    return tuple(thing.accepted) if thing.lagging and thing.live is not UNKNOWN else (thing.live,)


def _left_by(expected: Expected) -> tuple[str, str]:
    """Say who left what a target should hold: in a sentence, and in a picture."""
    if expected.by == "outside":
        who = expected.person or "somebody outside"
        return f"as {who} had left it", f"{who} ──wrote"
    if expected.by:
        return f"which {expected.by} wrote", f"{expected.by} ──wrote"
    if expected.without:
        return (
            f"as it was before {expected.without}, which was taken back",
            f"before {expected.without} ──was",
        )
    return "as it was found", "before ──was"


class Report(NamedTuple):
    """What an audit has found.

    Args:
        protocol: The protocol of the log.
        tally: What was looked at.
        findings: What was found.
        at_work: Agents that have not ended: what they saw is not final.
        compared: How many live objects were compared; None: the live state was not looked at.
        began_after: The number of the last record that was not looked at; 0: all were.
    """

    protocol: str
    tally: Tally
    findings: Findings
    at_work: tuple[str, ...]
    compared: int | None
    began_after: int = 0

    @property
    def serial(self) -> bool:
        """Whether the state is the serial one, as far as was looked."""
        return not self.findings.failing

    def of(self, classes: Iterable[Class]) -> list[Finding]:
        """Return the findings of some classes."""
        wanted = set(classes)
        return [finding for finding in self.findings.kept if finding.cls in wanted]

    def data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "serial": self.serial,
            "protocol": self.protocol,
            "at_work": list(self.at_work),
            "began_after": self.began_after,
            "live_compared": self.compared,
            "counts": asdict(self.tally),
            "findings_by_class": dict(self.findings.counts),
            "findings": [finding.data() for finding in self.findings.kept],
        }
