"""The harness works: scripted models drive the real clients, and cues decide which session goes next."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
from anthropic_endpoint import AnthropicEndpoint
from claude import run_claude, run_opencode, start_claude
from openai_endpoint import OpenAIEndpoint
from scripted_endpoint import Reply, Stage, StageClosed, Turn, call, say

Play = Generator[Reply, Turn, None]


def test_claude_code_reads_and_edits_a_file(tmp_path: Path, claude_code: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\ntwo\n")

    def script(turn: Turn) -> Play:
        assert "please" in turn.shown
        turn = yield call("Read", file_path=str(file))
        assert turn.result.text.startswith("1\tone\n2\ttwo")
        turn = yield [say("I edit."), call("Edit", file_path=str(file), old_string="two", new_string="2")]
        assert not turn.result.is_error, turn.result.text
        turn = yield call("Bash", command="cat a.txt", description="Show the file")
        assert turn.result.text == "one\n2"
        yield "All is done."

    with AnthropicEndpoint() as endpoint:
        endpoint.script("editor", script)
        run = run_claude(tmp_path, "[script:editor] please", endpoint)

    assert (run.exit_code, run.result["result"]) == (0, "All is done."), run.stderr
    assert file.read_text() == "one\n2\n"
    blocks = [block for turn in endpoint.turns_of("editor") for block in turn.reply]
    assert [block["name"] for block in blocks if block["type"] == "tool_use"] == ["Read", "Edit", "Bash"]


def test_what_a_hook_adds_is_shown_to_the_model(tmp_path: Path, claude_code: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    added = {"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": "B changed b.txt."}}
    (tmp_path / "added.json").write_text(json.dumps(added))
    hook = {"type": "command", "command": 'cat "$CLAUDE_PROJECT_DIR/added.json"'}
    settings = {"hooks": {"PostToolUse": [{"matcher": "Read", "hooks": [hook]}]}}

    def script(turn: Turn) -> Reply:
        return call("Read", file_path=str(tmp_path / "a.txt")) if turn.number == 0 else "Seen."

    with AnthropicEndpoint() as endpoint:
        endpoint.script("reader", script)
        run = run_claude(tmp_path, "[script:reader] go", endpoint, settings=settings)

    assert run.result["result"] == "Seen."
    assert "B changed b.txt." in endpoint.turns_of("reader")[1].shown


@pytest.mark.long  # all tests of two sessions rest on it
def test_three_sessions_go_in_the_order_of_the_cues(tmp_path: Path, claude_code: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text("start\n")
    names = ["a", "b", "c"]
    turns = {"a": "c edited", "b": "all have read", "c": "b edited"}

    with AnthropicEndpoint() as endpoint:
        stage = endpoint.stage

        def play(name: str) -> None:
            def script(turn: Turn) -> Play:
                turn = yield call("Read", file_path=str(file))
                assert "start" in turn.result.text
                stage.meet("have read", len(names))
                stage.give("all have read")
                stage.wait(turns[name])
                turn = yield call("Bash", command=f"echo {name} >> log.txt", description="Append")
                stage.give(f"{name} edited")
                yield f"{name} is done."

            endpoint.script(name, script)

        for name in names:
            play(name)
        sessions = [start_claude(tmp_path, f"[script:{name}] go", endpoint) for name in names]
        runs = [session.wait() for session in sessions]

    assert [run.result["result"] for run in runs] == ["a is done.", "b is done.", "c is done."]
    assert file.read_text() == "start\nb\nc\na\n"


def test_an_async_script_sees_what_the_other_session_did(tmp_path: Path, claude_code: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\n")

    with AnthropicEndpoint() as endpoint:
        stage = endpoint.stage

        async def slow(turn: Turn) -> AsyncGenerator[Reply, Turn]:
            turn = yield call("Read", file_path=str(file))
            stage.give("slow has read")
            await stage.until("quick has written")
            turn = yield call("Edit", file_path=str(file), old_string="one", new_string="1")
            assert "modified since read" in turn.result.text
            yield "It was changed."

        def quick(turn: Turn) -> Play:
            stage.wait("slow has read")
            yield call("Bash", command="echo two > a.txt", description="Write")
            stage.give("quick has written")

        endpoint.script("slow", slow)
        endpoint.script("quick", quick)
        sessions = [start_claude(tmp_path, f"[script:{name}] go", endpoint) for name in ("slow", "quick")]
        results = [session.wait().result["result"] for session in sessions]

    assert results == ["It was changed.", "done"]


def test_a_subagent_has_a_script_of_its_own(tmp_path: Path, claude_code: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")

    def parent(turn: Turn) -> Play:
        given = {"subagent_type": "general-purpose", "run_in_background": False}
        turn = yield call("Agent", description="Read", prompt="[script:child] read", **given)
        assert "It says one." in turn.result.text
        yield "Heard."

    def child(turn: Turn) -> Play:
        turn = yield call("Read", file_path=str(tmp_path / "a.txt"))
        assert "one" in turn.result.text
        yield "It says one."

    with AnthropicEndpoint() as endpoint:
        endpoint.script("parent", parent)
        endpoint.script("child", child)
        run = run_claude(tmp_path, "[script:parent] go", endpoint)

    assert run.result["result"] == "Heard."


@pytest.mark.long
def test_opencode_calls_a_tool_of_an_mcp_server(tmp_path: Path, opencode: Path) -> None:
    values = tmp_path / "values.json"
    server = [sys.executable, str(Path(__file__).with_name("small_mcp_server.py")), str(values)]

    def script(turn: Turn) -> Play:
        assert "small_put" in turn.tools
        turn = yield call("small_put", key="x", value="1")
        assert turn.result.text == "x is 1"
        yield "It is put."

    with OpenAIEndpoint() as endpoint:
        endpoint.script("putter", script)
        settings = {"mcp": {"small": {"type": "local", "command": server, "enabled": True}}}
        run = run_opencode(tmp_path, "[script:putter] go", endpoint, settings=settings)

    assert run.exit_code == 0, run.stderr
    assert json.loads(values.read_text()) == {"x": "1"}
    assert any("It is put." in json.dumps(event) for event in run.events), run.stdout


def test_answers_that_are_not_streamed() -> None:
    prompt = {"role": "user", "content": "[script:s] go"}

    def script(turn: Turn) -> Reply:
        return [say("I call."), call("put", key="x")]

    with OpenAIEndpoint() as openai:
        openai.script("s", script)
        body = {"model": "m", "messages": [prompt], "tools": [{"function": {"name": "put"}}]}
        message = httpx.post(f"{openai.base_url}/chat/completions", json=body).json()["choices"][0]["message"]
        assert message["content"] == "I call."
        assert message["tool_calls"][0]["function"] == {"name": "put", "arguments": '{"key": "x"}'}

    with AnthropicEndpoint() as anthropic:
        anthropic.script("s", script)
        body = {"model": "m", "messages": [prompt], "tools": [{"name": "put"}]}
        answer = httpx.post(f"{anthropic.url}/v1/messages", json=body).json()
        assert answer["stop_reason"] == "tool_use"
        assert answer["content"][1]["input"] == {"key": "x"}
        assert "input_tokens" in httpx.post(f"{anthropic.url}/v1/messages/count_tokens", json=body).json()
        assert httpx.head(anthropic.url).status_code == 200


def test_a_script_that_fails_ends_its_session_and_the_test(tmp_path: Path, claude_code: Path) -> None:
    stage = Stage()

    def failing(turn: Turn) -> Reply:
        raise ZeroDivisionError("on purpose")

    def waiting(turn: Turn) -> Reply:
        stage.wait("what never comes")
        return "not said"

    def both() -> None:
        with AnthropicEndpoint(stage) as endpoint:
            endpoint.script("failing", failing)
            endpoint.script("waiting", waiting)
            waiter = start_claude(tmp_path, "[script:waiting] go", endpoint)
            failed = run_claude(tmp_path, "[script:failing] go", endpoint)
            assert failed.result["is_error"]
            assert waiter.wait().result["is_error"]

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        both()


def test_a_wait_says_what_did_not_come() -> None:
    stage = Stage()
    stage.give("one")
    with pytest.raises(TimeoutError, match=r"the cue 'two' did not come within 0.01 s; cues given: one"):
        stage.wait("two", timeout_seconds=0.01)
    stage.close()
    with pytest.raises(StageClosed):
        stage.wait("two")
