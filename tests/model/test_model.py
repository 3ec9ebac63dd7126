"""Small cases, every situation of them; and that a broken rule is found, with a short way to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import check_model
import pytest
from befalling import Case
from cases import X, Y, copy, look, put, with_
from exploring import Explored, explore
from telling import told

from coagent.protocol.calls import Call
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase
from coagent.protocol.state import MtpoState
from coagent.protocol.turns import Turns

DOCUMENT = Path(__file__).parents[2] / "docs" / "model.md"

SMALL = Case(
    "small",
    "a blind write below a reading",
    {X: 1, Y: 2},
    {"A": with_(put, X, 7), "B": with_(copy, X, Y)},
    aborts=1,
    mortal=("A",),
)
EARLY = Case(
    "small, early",
    "a reading below a blind write",
    {X: 1, Y: 2},
    {"A": with_(copy, X, Y), "B": with_(put, X, 7)},
    early=True,
)
INSIDE = Case(
    "small, inside",
    "a write inside the place of one agent, and a reading by the next",
    {X: 1, Y: 2},
    {"A": with_(put, Y, 1), "B": with_(look, X), "inside A": with_(put, X, 7)},
    inside={"inside A": "A"},
)


@pytest.mark.parametrize("case", [SMALL._replace(aborts=0), EARLY, INSIDE], ids=lambda case: str(case.name))
def test_in_no_situation_of_a_small_case_is_anything_wrong(case: Case) -> None:
    found = explore(case, twice_every=2)
    assert found.violation is None, told(case, found.violation)
    assert found.complete
    assert found.states > found.depth > 0 < found.ends


def test_every_case_has_a_name_of_its_own_and_its_extent_is_in_the_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check_model.main(["--list"]) == 0
    names = [line[:22].strip() for line in capsys.readouterr().out.splitlines()]
    assert len(names) == len(set(names)) == len(check_model.CASES)
    shown = DOCUMENT.read_text(encoding="utf-8").partition("## What was explored")[2]
    assert [name for name in names if f"\n{name:22} " not in shown] == []


def test_programs_can_read_what_was_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_model, "CASES", [EARLY])
    assert check_model.main(["--json", "--states-max", "50"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert not printed["complete"]
    assert [(one["case"], one["violation"]) for one in printed["cases"]] == [(EARLY.name, None)]


# ---- it can fail -------------------------------------------------------------------------------------------


def _asks_nobody(self: MtpoState, *_: Any) -> None:
    """Rule 2: nobody is asked whether they saw something else."""


def _is_never_news(self: MtpoState, call: Call) -> None:
    """Rule 4: what a call returns now is never news to its agent."""
    self.agents[call.rank].pending.pop(call.id, None)


def _may_be_out_of_turn(self: Turns, agent: Participant) -> str | None:
    """Rule 7: whoever has finished commits, whoever comes before."""
    waits = agent.unread or self._dirty.concerns(agent.rank) or self._owes(agent)
    return "not yet" if waits else None


def _whoever_has_finished(self: Turns) -> Any:
    ready = [agent.rank for agent in self._order if agent.phase is AgentPhase.FINISHED]
    return next((rank for rank in ready if self.may_commit(self.agents[rank]) is None), None)


def _may_have_to_run_again(self: Turns, agent: Participant) -> str | None:
    """Rule 7: an agent commits although a call of it has to run again."""
    return "not yet" if agent.unread or self._owes(agent) or self._order[0] is not agent else None


def _keeps_writes(self: Mtpo, agent: Participant) -> None:
    """Rule 8: an abort leaves what has been written."""
    for call in list(agent.calls.values()):
        call.writes = {}


def _only_readings_conflict(self: Turns, call: Call, order: int) -> int | None:
    """Rule 10: what others below have read does not keep anybody from passing them."""
    found = [self._objects.trajectories[key].written_below(order) for key, _ in call.seen.reads]
    return next((one for one in found if one is not None), None)


def _makes_no_room(self: Turns, order: int) -> int:
    """Joining inside: nobody moves up."""
    return order


def _never_runs_readings(self: Turns) -> tuple[Call, ...]:
    """Rule 3: a call that has only read waits for ever."""
    return tuple(call for call in self._dirty.in_order() if call.writes)


BROKEN: dict[str, tuple[Case, dict[tuple[type, str], Callable[..., Any]], int]] = {
    "write": (SMALL, {(MtpoState, "_spread"): _asks_nobody}, 3),
    "notify": (SMALL, {(MtpoState, "_review"): _is_never_news}, 4),
    "commit in turn": (
        SMALL,
        {(Turns, "may_commit"): _may_be_out_of_turn, (Turns, "_commit_due"): _whoever_has_finished},
        6,
    ),
    "commit when settled": (SMALL, {(Turns, "may_commit"): _may_have_to_run_again}, 8),
    "abort": (SMALL, {(Mtpo, "_withdraw_all"): _keeps_writes}, 4),
    "early commit": (EARLY, {(Turns, "_conflict_of"): _only_readings_conflict}, 6),
    "inside": (INSIDE, {(Turns, "_room_at"): _makes_no_room}, 2),
    "cascade": (SMALL, {(Turns, "_reexecutable"): _never_runs_readings}, 8),
}
"""Rule to the case that shows it broken, what is broken, and how short a way there is."""


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_found_by_a_short_trace(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, breaks, steps = BROKEN[rule]
    for (owner, name), broken in breaks.items():
        monkeypatch.setattr(owner, name, broken)
    found = explore(case, twice_every=10)
    assert found.violation is not None
    assert 0 < len(found.violation.trace) <= steps
    assert _last_step(case, found).startswith(str(found.violation.trace[-1]))


@pytest.mark.parametrize("rule", ["write", "commit in turn", "early commit"])
def test_it_is_found_by_hand_too_without_the_invariants_of_the_kernel(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, breaks, _ = BROKEN[rule]
    monkeypatch.setattr(Mtpo, "check_invariants", lambda self: None)
    for (owner, name), broken in breaks.items():
        monkeypatch.setattr(owner, name, broken)
    assert explore(case, twice_every=10).violation is not None


def _last_step(case: Case, found: Explored) -> str:
    assert found.violation is not None
    return told(case, found.violation).splitlines()[-1].partition(". ")[2]
