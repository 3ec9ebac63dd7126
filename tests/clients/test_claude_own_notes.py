"""Claude Code's own notes on files that have changed: when they come, and what our word beside them says."""

from __future__ import annotations

import json
import re

from claude_workspace import Play, Workspace
from scripted_endpoint import Turn, call

CLIENTS_NOTE = re.compile(
    "was modified, either by the user or by a linter|changed on disk since you last read"
)


def seen(turn: Turn) -> str:
    """Return all that a model was sent since its last reply."""
    messages = turn.body["messages"]
    last = max(index for index, one in enumerate(messages) if one["role"] == "assistant")
    return json.dumps(messages[last + 1 :])


def test_a_file_that_was_only_read_is_none_of_the_clients_business(workspace: Workspace) -> None:
    workspace.fix_order()
    (workspace.root / "x.txt").write_text("one\n")
    stage = workspace.stage

    def early(turn: Turn) -> Play:
        yield call("Read", file_path=workspace.path("x.txt"))
        stage.give("early has read")
        stage.wait("late has written")
        turn = yield call("Bash", command="true", description="Do nothing")
        assert not CLIENTS_NOTE.search(seen(turn))
        yield "Seen."

    def late(turn: Turn) -> Play:
        stage.wait("early has read")
        yield call("Read", file_path=workspace.path("x.txt"))
        yield call("Edit", file_path=workspace.path("x.txt"), old_string="one", new_string="two")
        stage.give("late has written")
        yield "Done."

    sessions = [workspace.start("early", early), workspace.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0


def test_of_a_file_that_it_has_changed_a_session_hears_twice_and_ours_says_whose_work_it_is(
    workspace: Workspace,
) -> None:
    workspace.fix_order()
    (workspace.root / "x.txt").write_text("one\ntwo\n")
    stage = workspace.stage

    def early(turn: Turn) -> Play:
        yield call("Read", file_path=workspace.path("x.txt"))
        yield call("Edit", file_path=workspace.path("x.txt"), old_string="one", new_string="ONE")
        stage.give("early has written")
        stage.wait("late has written")
        turn = yield call("Bash", command="true", description="Do nothing")
        told = seen(turn)
        assert CLIENTS_NOTE.search(told)
        assert "Agents after you have changed x.txt. Leave out of account" in told
        yield "Seen."

    def late(turn: Turn) -> Play:
        stage.wait("early has written")
        yield call("Read", file_path=workspace.path("x.txt"))
        yield call("Edit", file_path=workspace.path("x.txt"), old_string="two", new_string="TWO")
        stage.give("late has written")
        yield "Done."

    sessions = [workspace.start("early", early), workspace.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0
    assert workspace.text("x.txt") == "ONE\nTWO\n"
