"""What must be true of a run, whatever the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from coagent.agents.scripted import AgentReport
from coagent.log.codec import decode, encode
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.values import same
from coagent_lab.sim.dump import dump
from coagent_lab.sim.oracle import SerialRun
from coagent_lab.sim.tools import document_of

NOTICES_PER_CALL_MAX = 20


class Violation(AssertionError):
    """A run did what no run may do."""


def check_outcome(
    live: Mapping[str, Any],
    effects: Sequence[tuple[str, str, Any]],
    reports: Iterable[AgentReport],
    serial: SerialRun,
    absent: Iterable[str],
    *,
    grouped: bool = False,
) -> None:
    """Compare where a run ended with where the serial run ends.

    Args:
        live: The live state at the end.
        effects: The irreversible effects, in their order.
        reports: How the agents have fared.
        serial: Where the serial run ends.
        absent: The agents that were ended from outside.
        grouped: Whether the order of irreversible effects counts within each agent alone, as where agents
            pass others that they have nothing to do with.

    Raises:
        Violation: The live state, the irreversible effects or who gave up differs.
    """
    got = {key: document_of(key, value) for key, value in live.items()}
    want = {key: document_of(key, value) for key, value in serial.state.items()}
    wrong = [key for key in sorted({*got, *want}) if not same(got.get(key), want.get(key))]
    if wrong:
        lines = [f"  {key}: {got.get(key)!r}, serially {want.get(key)!r}" for key in wrong]
        raise Violation("\n".join(["the live state is not the serial one:", *lines]))
    counted = [effect for effect in effects if effect[0] not in set(absent)]
    expected = serial.effects
    if grouped:
        counted, expected = (sorted(them, key=lambda effect: effect[0]) for them in (counted, expected))
    if counted != expected:
        raise Violation(f"the irreversible effects are {counted}, serially {expected}")
    aborted = {report.name for report in reports if report.state == "aborted"} - set(absent)
    if aborted != serial.aborted:
        raise Violation(f"{sorted(aborted)} gave up, serially {sorted(serial.aborted)}")


def check_once(effects: Sequence[tuple[str, str, Any]]) -> None:
    """Check that nothing that cannot be taken back was done twice.

    Raises:
        Violation: Something was.
    """
    done = [effect[:2] for effect in effects]
    twice = [effect for number, effect in enumerate(effects) if effect[:2] in done[:number]]
    if twice:
        raise Violation(f"what cannot be taken back was done twice: {twice}")


def check_notices(
    reports: Sequence[AgentReport], upwards: Callable[[int, int], bool] = lambda cause, rank: cause < rank
) -> None:
    """Check that notices go upwards only, speak of real changes, and are bounded.

    Args:
        reports: Of all agents.
        upwards: Tells whether what the agent of one rank did may be news to that of another.

    Raises:
        Violation: One of them does not, or there are too many.
    """
    for report in reports:
        for notice in report.tally.notices:
            if not notice.own and not upwards(notice.cause.rank, report.rank):
                raise Violation(f"{report.name} was notified from above: {notice}")
            if same(notice.before, notice.after):
                raise Violation(f"{report.name} was notified of nothing: {notice}")
    calls = sum(one.tally.calls + one.tally.amended + one.tally.undone for one in reports)
    notices = sum(one.tally.notifications for one in reports)
    if notices > NOTICES_PER_CALL_MAX * (calls + len(reports)):
        raise Violation(f"{notices} notices for {calls} calls")


def check_replay(events: Sequence[Event], dumps: Sequence[str], kernel: Mtpo) -> None:
    """Replay a log, encoded and decoded, and compare the state after every event.

    Args:
        events: The log.
        dumps: The state of the original kernel after each of them.
        kernel: A new kernel of the same protocol.

    Raises:
        Violation: Some prefix of the log leads elsewhere.
    """
    if len(events) != len(dumps):
        raise Violation(f"{len(events)} events in the log, {len(dumps)} seen by the kernel")
    for number, (event, original) in enumerate(zip(events, dumps, strict=True), 1):
        again = decode(encode(event))
        if encode(again) != encode(event):
            raise Violation(f"event {number} is not what it was before it was logged: {event}")
        kernel.step(again)
        if dump(kernel) != original:
            raise Violation(f"replay differs after event {number}, {event}:\n{dump(kernel)}\n{original}")
