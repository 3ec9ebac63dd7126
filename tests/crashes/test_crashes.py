"""Real processes, killed and stopped at random points: a few seconds of what `make crashes` does for long."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from crash_judge import faults_of
from crash_plan import POINTS, Plan, Wanted, plan_of

from coagent.protocol import events
from coagent.protocol.calls import Footprint, Observation

COMMAND = [sys.executable, str(Path(__file__).with_name("crashes.py"))]
NOTHING = Footprint(frozenset(), frozenset(), frozenset())


def crashes(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False, timeout=280)


def test_processes_that_are_killed_and_stopped_leave_what_the_committed_agents_would_have_one_by_one() -> (
    None
):
    done = crashes("--runs", "3", "--log", "sqlite", "--target", "files", "--target", "sqlite")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 runs are right" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("log", ["sqlite", "postgresql"])
@pytest.mark.parametrize("target", ["files", "sqlite", "postgresql", "kubernetes"])
def test_they_do_on_each_log_and_each_system(target: str, log: str) -> None:
    done = crashes("--runs", "12", "--seed", "300", "--log", log, "--target", target)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("broken", "options"),
    [
        ("no_fence", ("--point", "append", "--way", "stop")),
        ("no_late_puts", ("--point", "put", "--way", "stop")),
        ("applied_first", ("--point", "put", "--way", "kill")),
        ("tries_again", ("--point", "run", "--way", "kill")),
        ("forgets", ("--point", "run", "--way", "kill")),
    ],
)
def test_it_is_noticed_when_the_product_is_broken(broken: str, options: tuple[str, ...]) -> None:
    systems = ("--log", "sqlite", "--target", "files", "--target", "sqlite")
    for first in range(9000, 9200, 20):
        done = crashes("--runs", "20", "--seed", str(first), "--broken", broken, *systems, *options)
        if done.returncode:
            assert done.returncode == 1, done.stderr
            return
    raise AssertionError(f"nothing has come of it that {broken}")


def test_what_is_done_to_processes_is_as_wanted() -> None:
    wanted = Wanted(targets=("files",), logs=("sqlite",), processes=(2,), points=("put",), ways=("stop",))
    for seed in range(20):
        plan = plan_of(seed, wanted)
        assert (plan.target, plan.log, len(plan.agents)) == ("files", "sqlite", 2)
        shots = [shot for them in plan.shots for shot in them]
        assert {(shot.point, shot.signal) for shot in shots} == {("put", signal.SIGSTOP)}
    points = {shot.point for seed in range(60) for them in plan_of(seed).shots for shot in them}
    assert points == set(POINTS)


# ---- the judge ---------------------------------------------------------------------------------------------


def sent(name: str, seen: object) -> dict[str, object]:
    return {"tool": "mail", "agent": "A0", "step": 0, "seen": seen, "name": name}


def log_of(*, error: str | None = None, ended: events.Event) -> list[events.Event]:
    """Return the events of an agent that has sent one letter, under the name "first"."""
    seen = Observation({}, {}, {}, {}, "sent" if error is None else None, error)
    return [
        events.Joined("A0", 0),
        events.CallStaged(0, "mail", {"agent": "A0", "step": 0, "name": "x"}),
        events.Finished(0),
        events.RunBegun("A0.1", NOTHING, "one", "first"),
        events.CallRan("A0.1", seen),
        ended,
    ]


DROPPED = "it has not run: its process had died before"


@pytest.mark.parametrize(
    ("log", "letters", "said"),
    [
        (log_of(ended=events.Committed(0)), [sent("first", {"n": 1, "m": 0})], ""),
        (log_of(ended=events.Committed(0)), [], "was not sent, and the log says so"),
        (log_of(ended=events.Committed(0)), [sent("first", None)], "A0 has sent"),
        (log_of(ended=events.Committed(0)), [sent("first", {"n": 1, "m": 0})] * 2, "was sent 2 times"),
        (log_of(ended=events.Committed(0)), [sent("other", {"n": 1, "m": 0})], "does not know of it"),
        (log_of(error=DROPPED, ended=events.Committed(0)), [], ""),
        (log_of(error="no", ended=events.Committed(0)), [], "for no good reason"),
        (log_of(error=DROPPED, ended=events.Aborted(0, "")), [sent("first", None)], "says that it was not"),
        (log_of(ended=events.Finished(0)), [sent("first", None)], "has not ended"),
        (log_of(ended=events.Aborted(0, ""))[:4], [sent("first", None)], "what has become of it"),
    ],
)
def test_a_letter_too_many_too_few_or_unheard_of_is_noticed(
    log: list[events.Event], letters: list[dict[str, object]], said: str
) -> None:
    program = plan_of(random.Random(1).randrange(9)).programs["A0"][0]
    line = program._replace(tool="mail", names=("x",))
    plan = Plan(0, "files", "sqlite", "fixed", "abort", {"A0": [line]}, initial={"x": {"n": 1, "m": 0}})
    faults = faults_of(plan, log, {"x": {"n": 1, "m": 0}}, {}, letters)
    assert (said in " | ".join(faults)) if said else not faults


def test_a_document_or_a_booking_that_is_not_the_serial_one_is_noticed() -> None:
    plan = Plan(0, "files", "sqlite", "fixed", "abort", {}, initial={"x": {"n": 1, "m": 0}})
    assert faults_of(plan, [], {"x": {"n": 1, "m": 0}}, {"tea": []}, []) == []
    assert faults_of(plan, [], {}, {"tea": [["A0", 0, "name"]]}, []) == [
        "x is None, serially {'n': 1, 'm': 0}",
        "tea is booked by [['A0', 0]], serially by []",
    ]
