"""The lanes that steps are folded into say what the kernel knows, after every event of random runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_steps import kept_run

from coagent.masking.mask import Mask
from coagent.protocol.kernel import Kernel
from coagent.protocol.phases import CallPhase
from coagent.story.steps import Story
from coagent.terminal.board import Board, Mark, Now, Wanted, one_line_difference
from coagent_lab.sim.options import Kind

RAN = (CallPhase.STANDING, CallPhase.LAPSED)


def differences(board: Board, kernel: Kernel) -> list[str]:
    """Return where the lanes are not as the kernel has them."""
    found = []
    for rank, agent in kernel.agents.items():
        lane = board.lanes[rank]
        have = [lane.name, lane.state]
        wanted = [agent.name, agent.phase.value]
        if not agent.ended:
            have += [lane.order, lane.calls, lane.failed]
            calls = agent.calls.values()
            failed = sum(one.phase in RAN and one.seen.error is not None for one in calls)
            wanted += [agent.order, len(agent.calls), failed]
        if have != wanted:
            found.append(f"{have}, not {wanted}")
    working = sorted((one.order, one.rank) for one in kernel.agents.values() if not one.ended)
    shown = [(one.order, one.rank) for one in board.agents(ended=False)]
    if shown != working:
        found.append(f"order {shown}, not {working}")
    return found


@pytest.mark.parametrize("kind", ["plain", "early", "outside", "inside", "declared", "failing"])
def test_lanes_are_as_the_kernel_has_them_after_every_event(kind: Kind, tmp_path: Path) -> None:
    for seed in range(1, 7):
        kept_run(seed, kind, tmp_path / f"{seed}.log")
        story = Story(f"sqlite:{tmp_path}/{seed}.log", Mask())
        board, taken, told = Board(), 0, 0
        while story.advance(1):
            for step in story.between(taken, len(story)):
                board.take(step)
                told += len(step.get("notices", ()))
            taken = len(story)
            watch = story.watch
            board.settle(Now(watch.agents(), watch.stuck(), watch.unknown()))
            assert not differences(board, watch.kernel), f"{kind} {seed}, record {watch.number}"
            unread = {one.rank: one.notices for one in watch.agents() if one.state in ("active", "finished")}
            assert unread == {one.rank: board.unread(one) for one in board.agents(ended=False)}
        assert (board.told, len(board.notices)) == (told, told)
        assert sum(lane.told for lane in board.lanes.values()) == told
        assert len(board.rows) == board.steps > 3
        story.close()


def joined(board: Board, rank: int, name: str) -> None:
    board.take(
        {"n": rank + 1, "at": None, "kind": "join", "rank": rank, "name": name, "order": rank, "text": ""}
    )


def call(n: int, rank: int, sequence: int, kind: str = "call", **more: object) -> dict[str, object]:
    step = {"n": n, "at": 1000 * n, "kind": kind, "rank": rank, "call": f"{rank}:{sequence}", "text": "t(x)"}
    return {**step, "state": "done", "error": None, "irreversible": False, "reads": [], "writes": [], **more}


def test_each_kind_of_step_leaves_its_mark() -> None:
    board = Board()
    joined(board, 0, "A")
    board.take(call(10, 0, 1, reads=[{"key": "kv:a", "part": None}]))
    board.take(call(11, 0, 2, writes=[{"key": "kv:a", "v": 1}]))
    board.take(call(12, 0, 3, state="failed", error="no"))
    board.take(call(13, 0, 2, "again"))
    board.take(call(14, 0, 2, "undo", state="undone"))
    board.take({"n": 15, "at": None, "kind": "told", "rank": 0, "text": "", "notices": []})
    board.take({"n": 16, "at": None, "kind": "finish", "rank": 0, "text": ""})
    lane = board.lanes[0]
    assert list(lane.marks) == [
        *(Mark.READ, Mark.WROTE, Mark.BAD, Mark.AGAIN, Mark.REPAIRED, Mark.TOLD, Mark.GOOD),
    ]
    assert (lane.calls, lane.failed, lane.repairs, lane.state) == (2, 1, 1, "finished")
    board.take(call(17, 0, 1, "undo", state="undone", person="ann"))
    assert board.lanes[0].repairs == 1  # what a person does is no repair of its agent's


def test_an_agent_with_a_call_under_way_is_calling() -> None:
    board = Board()
    joined(board, 0, "A")
    assert board.phase(board.lanes[0]) == "thinking"
    board.take(call(2, 0, 1, "start", state="running"))
    assert board.phase(board.lanes[0]) == "calling"
    board.take(call(3, 0, 1, "ran"))
    assert board.phase(board.lanes[0]) == "thinking"


def test_an_agent_that_is_blocked_waits_until_its_next_step() -> None:
    board = Board()
    joined(board, 0, "A")
    joined(board, 1, "B")
    board.take({"n": 3, "at": None, "kind": "block", "rank": 1, "by": [0], "text": "has to wait for A"})
    assert board.phase(board.lanes[1]) == "waits for A"
    board.take(call(4, 1, 1))
    assert board.phase(board.lanes[1]) == "thinking"


def test_what_is_wanted_is_found_by_agent_key_and_words() -> None:
    board = Board()
    joined(board, 0, "A")
    joined(board, 1, "B")
    board.take(call(3, 0, 1, writes=[{"key": "file:src/App.py", "v": 1}]))
    board.take(call(4, 1, 1, reads=[{"key": "file:docs/a.md", "part": None}]))

    def numbers(wanted: Wanted) -> list[int]:
        return [row.n for row in board.rows if wanted.row(row)]

    assert numbers(Wanted(rank=1)) == [2, 4]
    assert numbers(Wanted(words="app.PY")) == [3]
    assert numbers(Wanted(words="t(x) docs")) == [4]
    assert numbers(Wanted(rank=0, words="docs")) == []
    assert not Wanted(words="  ")


def test_what_is_kept_is_bounded_and_counted() -> None:
    board = Board()
    joined(board, 0, "A")
    for n in range(2, 12_002):
        board.take(call(n, 0, n))
    assert (board.steps, len(board.rows), board.rows[-1].n) == (12_001, 10_000, 12_001)
    assert (board.lanes[0].calls, len(board.lanes[0].marks)) == (12_000, 200)


@pytest.mark.parametrize(
    ("diff", "line"),
    [
        ("--- before\n+++ after\n@@ -1,2 +1,2 @@\n same\n-old\n+new\n", "-old  +new"),
        ("@@ -1 +1,3 @@\n+one\n+two\n+three", "+one  and 2 more"),
        ("1 -> 2", "1 -> 2"),
        ("/a: 1 -> 2\n/b: 3 -> 4", "/a: 1 -> 2 /b: 3 -> 4"),
        ('- "a"\n+ "b"', '-"a"  +"b"'),
        ("", ""),
    ],
)
def test_a_difference_fits_on_a_line(diff: str, line: str) -> None:
    assert one_line_difference(diff) == line
