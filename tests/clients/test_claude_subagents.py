"""Subagents of real sessions: each works in a place of its own, inside that of its session."""

from __future__ import annotations

import subprocess

import pytest
from claude_workspace import Play, Workspace
from scripted_endpoint import Block, Turn, call

NOTICE = "[coagent notice]"


def agent(name: str, background: bool = True) -> Block:
    """A call that sends a subagent."""
    return call(
        "Agent",
        description=name,
        prompt=f"[script:{name}] go",
        subagent_type="general-purpose",
        run_in_background=background,
    )


def test_a_subagent_is_told_what_one_before_it_has_changed_and_nobody_else_is(workspace: Workspace) -> None:
    (workspace.root / "x.txt").write_text("one\n")
    stage = workspace.stage

    def main(turn: Turn) -> Play:
        yield agent("first")
        stage.wait("first is there")
        yield agent("second")
        stage.wait("second has read")
        stage.give("first may write")
        stage.wait("second has ended")
        turn = yield call("Read", file_path=workspace.path("x.txt"))
        assert "two" in turn.result.text
        assert NOTICE not in turn.shown
        yield "Done."

    def first(turn: Turn) -> Play:
        assert "You are agent 'lead/general-purpose'" in turn.shown
        stage.give("first is there")
        yield call("Read", file_path=workspace.path("x.txt"))
        stage.wait("first may write")
        turn = yield call("Edit", file_path=workspace.path("x.txt"), old_string="one", new_string="two")
        stage.give("first has written")
        assert NOTICE not in turn.shown
        yield "Written."

    def second(turn: Turn) -> Play:
        assert "You are agent 'lead/general-purpose-2'" in turn.shown
        yield call("Read", file_path=workspace.path("x.txt"))
        stage.give("second has read")
        stage.wait("first has written")
        turn = yield call("Bash", command="cat x.txt", description="Look")
        assert NOTICE in turn.shown
        assert "two" in turn.shown
        stage.give("second has ended")
        yield "Seen."

    for name, script in (("first", first), ("second", second)):
        workspace.endpoint.script(name, script)
    assert workspace.start("lead", main).wait().exit_code == 0
    assert workspace.text("x.txt") == "two\n"


@pytest.mark.long
def test_what_a_later_subagent_does_is_not_seen_by_one_before_it(workspace: Workspace) -> None:
    workspace.fix_order()
    (workspace.root / "x.txt").write_text("one\n")
    stage = workspace.stage

    def main(turn: Turn) -> Play:
        yield agent("first")
        stage.wait("first is there")
        yield agent("second", background=False)
        stage.give("second has answered")
        yield "Done."

    def first(turn: Turn) -> Play:
        stage.give("first is there")
        stage.wait("second has answered")
        turn = yield call("Bash", command="cat x.txt; ls", description="Look")
        assert turn.result.text == "one\nx.txt"
        turn = yield call("Read", file_path=workspace.path("x.txt"))
        assert "one" in turn.result.text
        yield call("Bash", command="echo first >> x.txt", description="Write")
        yield "Done."

    def second(turn: Turn) -> Play:
        yield call("Bash", command="echo second >> x.txt; touch new.txt", description="Write")
        yield "Done."

    for name, script in (("first", first), ("second", second)):
        workspace.endpoint.script(name, script)
    assert workspace.start("lead", main).wait().exit_code == 0
    assert workspace.text("x.txt") == "one\nfirst\nsecond\n"
    assert (workspace.root / "new.txt").exists()


@pytest.mark.long
def test_what_comes_to_a_subagent_that_has_answered_is_told_to_its_session(workspace: Workspace) -> None:
    workspace.fix_order()
    for name in ("x.txt", "y.txt"):
        (workspace.root / name).write_text("one\n")
    stage = workspace.stage

    def early(turn: Turn) -> Play:
        stage.wait("scout has answered")
        yield call("Bash", command="echo two > x.txt", description="Write")
        stage.give("early has written")
        yield "Done."

    def main(turn: Turn) -> Play:
        yield agent("scout", background=False)
        stage.give("scout has answered")
        stage.wait("early has written")
        turn = yield call("Read", file_path=workspace.path("y.txt"))
        told = turn.shown + "".join(result.text for result in turn.results)
        assert "concerns the work of your subagent 'general-purpose'" in told
        assert "x.txt" in told
        assert "two" in told
        yield "Done."

    def scout(turn: Turn) -> Play:
        yield call("Read", file_path=workspace.path("x.txt"))
        yield "It says one."

    workspace.endpoint.script("scout", scout)
    sessions = [workspace.start("early", early), workspace.start("late", main)]
    for session in sessions:
        assert session.wait().exit_code == 0
    assert "scout" not in workspace.agents()


def test_a_subagent_goes_on_with_what_is_staged_and_hands_on_what_it_stages(workspace: Workspace) -> None:
    def main(turn: Turn) -> Play:
        yield call("Bash", command="echo a > a.txt && git add a.txt", description="Stage")
        yield agent("helper", background=False)
        turn = yield call("Bash", command="git commit -qm all && git show --stat --format=", description="x")
        assert "a.txt" in turn.result.text
        assert "b.txt" in turn.result.text
        yield "Done."

    def helper(turn: Turn) -> Play:
        turn = yield call("Bash", command="git diff --cached --name-only", description="Look")
        assert turn.result.text == "a.txt"
        yield call("Bash", command="echo b > b.txt && git add b.txt", description="Stage")
        yield "Staged."

    workspace.endpoint.script("helper", helper)
    assert workspace.start("lead", main).wait().exit_code == 0


@pytest.mark.long
def test_a_subagent_that_is_asked_again_comes_after_what_was_done_since(workspace: Workspace) -> None:
    (workspace.root / "x.txt").write_text("one\n")

    def main(turn: Turn) -> Play:
        turn = yield agent("helper", background=False)
        id = turn.result.text.partition("agentId: ")[2].split()[0]
        yield call("Bash", command="echo main > x.txt", description="Write")
        yield call("SendMessage", to=id, summary="more", message="Go on.", type="message")
        turn = yield "I wait for it."
        yield "Done."

    def helper(turn: Turn) -> Play:
        turn = yield call("Bash", command="cat x.txt", description="Look")
        assert turn.result.text == "one"
        turn = yield "It says one."
        turn = yield call("Bash", command="cat x.txt; echo more >> x.txt", description="Look")
        assert turn.result.text == "main"
        yield "Done."

    workspace.endpoint.script("helper", helper)
    assert workspace.start("lead", main).wait().exit_code == 0
    assert workspace.text("x.txt") == "main\nmore\n"


def test_what_works_in_a_worktree_of_its_own_is_left_alone_and_can_be_merged(workspace: Workspace) -> None:
    (workspace.root / "x.txt").write_text("one\n")
    git = "git -c user.name=a -c user.email=a@b"
    subprocess.run(f"git add x.txt && {git} commit -qm one", shell=True, cwd=workspace.root, check=True)

    def main(turn: Turn) -> Play:
        turn = yield {
            **(sent := agent("alone", background=False)),
            "input": {**sent["input"], "isolation": "worktree"},
        }
        assert "Committed." in turn.result.text
        turn = yield call(
            "Bash",
            command="cat x.txt; git branch --list 'worktree-*' --format='%(refname:short)'",
            description="Look",
        )
        before, branch = turn.result.text.split()
        assert before == "one"
        turn = yield call("Bash", command=f"{git} merge -q {branch} && cat x.txt", description="Merge")
        assert turn.result.text == "one\ntwo"
        assert "coagent" not in turn.shown
        yield "Done."

    def alone(turn: Turn) -> Play:
        turn = yield call("Bash", command="pwd; ls", description="Look")
        assert "/.claude/worktrees/" in turn.result.text
        yield call("Bash", command=f"echo two >> x.txt; {git} commit -qam two", description="Commit")
        yield "Committed."

    workspace.endpoint.script("alone", alone)
    assert workspace.start("lead", main).wait().exit_code == 0
    assert workspace.text("x.txt") == "one\ntwo\n"


def test_a_session_in_a_worktree_of_its_own_is_left_alone_and_says_so(workspace: Workspace) -> None:
    (workspace.root / "x.txt").write_text("one\n")
    git = "git -c user.name=a -c user.email=a@b"
    subprocess.run(f"git add x.txt && {git} commit -qm one", shell=True, cwd=workspace.root, check=True)

    def alone(turn: Turn) -> Play:
        both = f"echo two >> x.txt; {git} commit -qam two && pwd"
        turn = yield call("Bash", command=both, description="Commit")
        assert "/.claude/worktrees/own" in turn.result.text
        yield "Done."

    run = workspace.start("alone", alone, {"arguments": ["--worktree", "own"]}).wait()
    assert run.exit_code == 0
    assert "CoAgent leaves this session alone" in run.stdout
    assert workspace.text("x.txt") == "one\n"
    assert not (workspace.root / ".coagent" / "log.db").exists()


def test_a_session_in_a_folder_below_is_governed_or_named_to_the_person_of_one_that_is(
    workspace: Workspace,
) -> None:
    (workspace.root / "sub").mkdir()
    stage = workspace.stage

    def below(turn: Turn) -> Play:
        stage.wait("it has been named")
        yield "Done."

    def main(turn: Turn) -> Play:
        yield "Done."

    apart = workspace.start("below", below, {"cwd": workspace.root / "sub"})
    run = workspace.start("lead", main).wait()
    governed = "below" in workspace.agents()  # newer clients read the settings at the top of the repository
    stage.give("it has been named")
    assert governed != (f"also works in {workspace.root}/sub and is not governed" in run.stdout)
    assert apart.wait().exit_code == 0
