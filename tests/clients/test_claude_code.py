"""Real Claude Code sessions, unmodified, several at once in one tree, governed by their hooks alone."""

from __future__ import annotations

import os
import signal

import pytest
from claude import start_claude
from claude_workspace import Play, Script, Workspace, coagent
from scripted_endpoint import Turn, call, say

pytestmark = pytest.mark.usefixtures("claude_code")


def repairer(workspace: Workspace) -> Script:
    """Mends the image in config.txt, once the other one has read it."""

    def script(turn: Turn) -> Play:
        workspace.stage.wait("B has read")
        yield [say("I read the configuration first."), call("Read", file_path=workspace.path("config.txt"))]
        turn = yield call(
            "Edit", file_path=workspace.path("config.txt"), old_string="image=bad", new_string="image=good"
        )
        assert not turn.result.is_error, turn.result.text
        workspace.stage.give("A has edited")
        yield "The image is mended."

    return script


def copier(workspace: Workspace) -> Script:
    """Copies the image to canary.txt; where it is told that the image has changed, it copies it again."""

    def script(turn: Turn) -> Play:
        turn = yield call("Read", file_path=workspace.path("config.txt"))
        image = turn.result.text.partition("image=")[2].split()[0]
        workspace.stage.give("B has read")
        workspace.stage.wait("A has edited")
        turn = yield call("Write", file_path=workspace.path("canary.txt"), content=f"image={image}\n")
        while True:
            if "object: config.txt" in turn.shown:
                turn = yield call("Read", file_path=workspace.path("config.txt"))
                image = turn.result.text.partition("image=")[2].split()[0]
                turn = yield call("Write", file_path=workspace.path("canary.txt"), content=f"image={image}\n")
            else:
                turn = yield "There is a canary."

    return script


def canary(workspace: Workspace) -> None:
    (workspace.root / "config.txt").write_text("name=geo\nimage=bad\n")
    sessions = [
        workspace.start("A", repairer(workspace)),
        workspace.start("B", copier(workspace)),
    ]
    for session in sessions:
        assert session.wait().exit_code == 0


def test_without_coagent_the_canary_carries_the_bad_image(bare: Workspace) -> None:
    canary(bare)
    assert (bare.text("config.txt"), bare.text("canary.txt")) == ("name=geo\nimage=good\n", "image=bad\n")


def test_with_coagent_the_canary_ends_as_one_after_another(workspace: Workspace) -> None:
    canary(workspace)
    assert workspace.text("config.txt") == "name=geo\nimage=good\n"
    assert workspace.text("canary.txt") == "image=good\n"
    assert workspace.agents() == {"A": "committed", "B": "committed"}
    told = coagent(workspace.root, "log", "--agent", "A").splitlines()
    said = [line.partition(" A ")[2].strip() for line in told if "says: " in line or "is to: " in line]
    assert said[0].startswith("is to: ")
    assert said[1:] == ["says: I read the configuration first.", "says: The image is mended."]


@pytest.mark.long
def test_a_session_sees_nothing_of_what_a_later_one_has_done(workspace: Workspace) -> None:
    workspace.fix_order()
    (workspace.root / "x.txt").write_text("one\ntwo\nthree\nfour\n")
    (workspace.root / "old.txt").write_text("two of old\n")
    stage = workspace.stage

    def early(turn: Turn) -> Play:
        stage.wait("late has written")
        turn = yield call("Read", file_path=workspace.path("x.txt"))
        assert turn.result.text.startswith("1\tone\n2\ttwo\n3\tthree"), turn.result.text
        turn = yield call("Read", file_path=workspace.path("new.txt"))
        assert turn.result.is_error
        assert "does not exist" in turn.result.text
        turn = yield call("Read", file_path=workspace.path("old.txt"))
        assert "two of old" in turn.result.text
        turn = yield call("Glob", pattern="*.txt")
        assert sorted(line.rpartition("/")[2] for line in turn.result.text.splitlines()) == [
            "old.txt",
            "x.txt",
        ]
        turn = yield call("Grep", pattern="two", output_mode="content")
        assert sorted(turn.result.text.splitlines()[:2]) == ["old.txt:1:two of old", "x.txt:2:two"]
        yield "Seen."

    def late(turn: Turn) -> Play:
        yield call("Read", file_path=workspace.path("x.txt"))
        yield call("Edit", file_path=workspace.path("x.txt"), old_string="two", new_string="TWO")
        yield call("Write", file_path=workspace.path("new.txt"), content="two of new\n")
        yield call("Bash", command="rm old.txt", description="Remove the old file")
        stage.give("late has written")
        yield "Done."

    sessions = [workspace.start("early", early), workspace.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0
    assert sorted(one.name for one in workspace.root.glob("*.txt")) == ["new.txt", "x.txt"]
    assert workspace.text("x.txt") == "one\nTWO\nthree\nfour\n"


def test_edits_of_one_file_are_put_in_order_also_those_that_the_client_refuses(workspace: Workspace) -> None:
    (workspace.root / "x.txt").write_text("one\ntwo\nthree\nfour\n")
    stage = workspace.stage

    def early(turn: Turn) -> Play:
        yield call("Read", file_path=workspace.path("x.txt"))
        stage.give("early has read")
        stage.wait("late has written")
        # An older client refuses: the file was modified since. At this session's place it was not.
        turn = yield call("Edit", file_path=workspace.path("x.txt"), old_string="four", new_string="4")
        assert not turn.result.is_error or "has been done after all" in turn.shown, turn.shown
        # Every client refuses: these two lines are not on disk like that any more.
        turn = yield call(
            "Edit", file_path=workspace.path("x.txt"), old_string="two\nthree", new_string="two\n3"
        )
        assert "has been done after all" in turn.shown
        turn = yield call("Read", file_path=workspace.path("x.txt"))
        assert turn.result.text.startswith("1\tone\n2\ttwo\n3\t3\n4\t4"), turn.result.text
        yield "Done."

    def late(turn: Turn) -> Play:
        stage.wait("early has read")
        yield call("Read", file_path=workspace.path("x.txt"))
        yield call("Edit", file_path=workspace.path("x.txt"), old_string="two", new_string="TWO")
        stage.give("late has written")
        turn = yield "Done."
        assert "object: x.txt" in turn.shown
        yield "Still right."

    sessions = [workspace.start("early", early), workspace.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0
    assert workspace.text("x.txt") == "one\nTWO\n3\n4\n"


@pytest.mark.long
def test_three_sessions_append_to_one_list_in_the_order_of_their_ranks(workspace: Workspace) -> None:
    (workspace.root / "registry.py").write_text("HANDLERS = [\n    'base',\n]\n")
    stage, names = workspace.stage, ["first", "second", "third"]
    turns = {"first": "second has written", "second": "third has written", "third": "all have read"}

    def appender(name: str) -> Script:
        def script(turn: Turn) -> Play:
            yield call("Read", file_path=workspace.path("registry.py"))
            stage.meet("have read", len(names))
            stage.give("all have read")
            stage.wait(turns[name])
            edit = call(
                "Edit",
                file_path=workspace.path("registry.py"),
                old_string="]",
                new_string=f"    {name!r},\n]",
            )
            yield edit
            stage.give(f"{name} has written")
            while True:
                yield "Done."

        return script

    sessions = [workspace.start(name, appender(name)) for name in names]
    for session in sessions:
        assert session.wait().exit_code == 0
    expected = "".join(f"    {name!r},\n" for name in ["base", *names])
    assert workspace.text("registry.py") == f"HANDLERS = [\n{expected}]\n"


@pytest.mark.long
def test_a_session_waits_at_its_end_for_those_before_it(workspace: Workspace) -> None:
    workspace.fix_order()
    stage = workspace.stage

    def early(turn: Turn) -> Play:
        stage.wait("late says that it is done")
        yield call("Write", file_path=workspace.path("a.txt"), content="a\n")
        assert workspace.agents()["late"] == "finished"
        yield "Done."

    def late(turn: Turn) -> Play:
        yield call("Write", file_path=workspace.path("b.txt"), content="b\n")
        stage.give("late says that it is done")
        yield "Done."

    sessions = [workspace.start("early", early), workspace.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0
    assert workspace.agents() == {"early": "committed", "late": "committed"}


@pytest.mark.parametrize("on_leave", ["commit", pytest.param("abort", marks=pytest.mark.long)])
def test_a_killed_session_holds_nobody_back(workspace: Workspace, on_leave: str) -> None:
    workspace.fix_order()
    config = workspace.root / ".coagent" / "config.toml"
    config.write_text(config.read_text().replace('on_leave = "commit"', f'on_leave = "{on_leave}"'))
    stage = workspace.stage

    def doomed(turn: Turn) -> Play:
        yield call("Write", file_path=workspace.path("half.txt"), content="half\n")
        stage.give("half is written")
        yield call("Bash", command="tail -f /dev/null", description="Take long")

    def other(turn: Turn) -> Play:
        stage.wait("half is written")
        yield call("Write", file_path=workspace.path("whole.txt"), content="whole\n")
        stage.give("whole is written")
        while True:
            yield "Done."

    killed, session = workspace.start("doomed", doomed), workspace.start("other", other)
    stage.wait("whole is written")
    killed.kill(signal.SIGKILL)
    assert session.wait().exit_code == 0
    assert workspace.agents()["other"] == "committed"
    assert (workspace.root / "half.txt").exists() == (on_leave == "commit")


@pytest.mark.parametrize("where", ["in a view", pytest.param("in the tree", marks=pytest.mark.long)])
def test_what_commands_change_is_taken_over_and_undone(workspace: Workspace, where: str) -> None:
    if where == "in the tree":  # as where there are no namespaces
        settings = workspace.root / ".claude" / "settings.local.json"
        settings.write_text(settings.read_text().replace("CLAUDE_CODE_SHELL_PREFIX", "NO_PREFIX"))
    (workspace.root / "a.txt").write_text("old\n")
    (workspace.root / "b.bin").write_bytes(b"\xff\x00")

    def script(turn: Turn) -> Play:
        turn = yield call(
            "Bash",
            command="sed -i s/old/new/ a.txt && rm b.bin && mkdir d && echo made > d/c.sh && chmod +x d/c.sh",
            description="Change things",
        )
        assert not turn.result.is_error, turn.result.text
        turn = yield call("Bash", command="echo more >> a.txt; exit 3", description="Fail after a change")
        assert turn.result.is_error
        assert workspace.text("a.txt") == "new\nmore\n"
        coagent(workspace.root, "undo", "worker", "--yes")
        yield "Done."

    assert workspace.start("worker", script).wait().exit_code == 0
    assert workspace.text("a.txt") == "old\n"
    assert (workspace.root / "b.bin").read_bytes() == b"\xff\x00"
    assert not (workspace.root / "d").exists()


def test_what_a_subagent_does_is_committed_with_its_session(workspace: Workspace) -> None:
    (workspace.root / "a.txt").write_text("one\n")

    def parent(turn: Turn) -> Play:
        given = {"subagent_type": "general-purpose", "run_in_background": False}
        yield call("Agent", description="Edit", prompt="[script:child] go", **given)
        yield "Done."

    def child(turn: Turn) -> Play:
        yield call("Read", file_path=workspace.path("a.txt"))
        yield call("Edit", file_path=workspace.path("a.txt"), old_string="one", new_string="1")
        yield "Edited."

    workspace.endpoint.script("child", child)
    assert workspace.start("parent", parent).wait().exit_code == 0
    assert workspace.text("a.txt") == "1\n"
    assert workspace.agents() == {"parent": "committed", "parent/general-purpose": "committed"}


def test_a_killed_daemon_is_replaced_and_the_session_goes_on(workspace: Workspace) -> None:
    (workspace.root / "a.txt").write_text("one\n")

    def script(turn: Turn) -> Play:
        yield call("Read", file_path=workspace.path("a.txt"))
        yield call("Edit", file_path=workspace.path("a.txt"), old_string="one", new_string="1")
        os.kill(int((workspace.root / ".coagent" / "daemon.lock").read_text()), signal.SIGKILL)
        turn = yield call("Edit", file_path=workspace.path("a.txt"), old_string="1", new_string="2")
        assert not turn.result.is_error, turn.result.text
        assert "warning" not in turn.shown
        yield "Done."

    assert workspace.start("worker", script).wait().exit_code == 0
    assert workspace.text("a.txt") == "2\n"
    assert workspace.agents() == {"worker": "committed"}


@pytest.mark.parametrize("on_failure", ["warn", pytest.param("stop", marks=pytest.mark.long)])
def test_where_coagent_is_broken_the_session_is_warned_or_stopped(bare: Workspace, on_failure: str) -> None:
    coagent(bare.root, "init")
    config = bare.root / ".coagent" / "config.toml"
    text = config.read_text().replace('on_failure = "warn"', f'on_failure = "{on_failure}"')
    config.write_text(text + "\nnonsense = 1\n")

    def script(turn: Turn) -> Play:
        yield call("Write", file_path=bare.path("a.txt"), content="a\n")
        yield "Done."

    bare.endpoint.script("worker", script)
    run = start_claude(bare.root, "[script:worker] go", bare.endpoint).wait()
    assert run.exit_code == 0
    if on_failure == "warn":
        assert "[coagent warning]" in bare.shown("worker")
        assert "unknown key 'nonsense'" in bare.shown("worker")
        assert bare.text("a.txt") == "a\n"
    else:
        assert not (bare.root / "a.txt").exists()


def test_hooks_left_behind_after_uninstalling_do_no_harm(bare: Workspace) -> None:
    coagent(bare.root, "init")
    settings = bare.root / ".claude" / "settings.local.json"
    settings.write_text(
        settings.read_text().replace("gateways/claude/hook.py", "gateways/claude/gone/hook.py")
    )

    def script(turn: Turn) -> Play:
        turn = yield call("Write", file_path=bare.path("a.txt"), content="a\n")
        assert not turn.result.is_error
        yield "Done."

    bare.endpoint.script("worker", script)
    run = start_claude(bare.root, "[script:worker] go", bare.endpoint).wait()
    assert (run.exit_code, run.result["result"]) == (0, "Done.")
    assert "CoAgent is not installed here any more" in run.stdout
    assert bare.text("a.txt") == "a\n"
