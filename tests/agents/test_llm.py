"""LLM agents, driven by models that are Python functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from endpoint import Failure, Script, calls, says, serving
from pydantic_ai import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import coagent
from coagent import State, tool
from coagent.agents.llm import Budget, LlmAgent
from coagent.tools.names import function_names
from coagent.wording.results import RESULT_LENGTH_MAX, text_of

pytestmark = pytest.mark.anyio

Step = ModelResponse | Callable[[list[ModelMessage]], Any]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@tool
async def get(state: State, name: str) -> Any:
    """Read a value."""
    value = await state.get(f"kv:{name}")
    if value is None:
        raise ValueError(f"there is no {name}")
    return value


@tool
async def put(state: State, name: str, value: Any) -> str:
    """Set a value."""
    await state.put(f"kv:{name}", value)
    return "ok"


@tool(effect="irreversible")
async def mail(state: State, text: str) -> str:
    """Send a mail."""
    SENT.append(text)
    return "sent"


SENT: list[str] = []
TOOLS = [get, put, mail]


def use(name: str, /, **arguments: Any) -> ToolCallPart:
    return ToolCallPart(name, arguments)


def reply(*parts: ToolCallPart | str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(part) if isinstance(part, str) else part for part in parts])


class Model(FunctionModel):
    """Answers its n-th request with the n-th step, then ends its turn; `seen` holds what it was sent last."""

    def __init__(self, *steps: Step) -> None:
        self.seen: list[str] = []
        remaining = list(steps)

        async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            self.seen.append("\n".join(str(getattr(part, "content", "")) for part in messages[-1].parts))
            step = remaining.pop(0) if remaining else reply("done")
            if isinstance(step, ModelResponse):
                return step
            made: ModelResponse = await step(messages)
            return made

        super().__init__(answer)


def when(event: anyio.Event, *parts: ToolCallPart | str) -> Step:
    async def step(messages: list[ModelMessage]) -> ModelResponse:
        await event.wait()
        return reply(*parts)

    return step


def noting(event: anyio.Event, *parts: ToolCallPart | str) -> Step:
    """Return a step that says that it has come."""

    async def step(messages: list[ModelMessage]) -> ModelResponse:
        event.set()
        return reply(*parts)

    return step


async def run(agent: LlmAgent, memory: coagent.targets.Memory) -> None:
    async with coagent.open_domain(targets=[memory], tools=TOOLS) as domain:
        await agent.run(domain, await domain.join(agent.name))
        assert domain.quiescent


async def test_a_notice_after_the_last_turn_leads_to_an_amended_call(tmp_path: Path) -> None:
    b_has_read, b_is_done = anyio.Event(), anyio.Event()
    a = Model(when(b_is_done, use("put", name="geo", value="good")))
    b = Model(
        reply(use("get", name="geo")),
        noting(b_has_read, use("put", name="canary", value="bad")),
        noting(b_is_done, "made the canary"),
        reply(use("amend", call_id="B.2", arguments={"value": "good"})),
        reply("amended it"),
    )
    memory = coagent.targets.Memory({"kv:geo": "bad"})
    agents = [LlmAgent("A", "repair geo", a), LlmAgent("B", "make a canary", b, transcripts=tmp_path)]
    async with coagent.open_domain(targets=[memory], tools=TOOLS) as domain:
        sessions = [await domain.join(agent.name) for agent in agents]
        async with anyio.create_task_group() as group:
            for agent, session in zip(agents, sessions, strict=True):
                group.start_soon(agent.run, domain, session)
    assert memory.snapshot() == {"kv:canary": "good", "kv:geo": "good"}
    assert [agent.state for agent in agents] == ["committed", "committed"]
    assert "B.1 get: returns something else now" in b.seen[3]
    assert "If it came from there, amend B.2" in b.seen[3]
    assert "You had finished" in b.seen[3]
    assert "Your goal was:\nmake a canary" in b.seen[3]
    assert '[call B.2] put {"name":"canary","value":"bad"}' in b.seen[3]
    counters = agents[1].counters
    assert (counters.calls, counters.amendments, len(counters.notices)) == (2, 1, 1)
    assert agents[1].answer == "amended it"
    transcript = json.loads((tmp_path / "B.json").read_text())
    assert [message["kind"] for message in transcript] == ["request", "response"] * 5


@pytest.mark.parametrize("second_look", [True, False])
async def test_a_write_left_standing_on_a_moved_premise_is_shown_once_more(second_look: bool) -> None:
    b_has_written, a_is_done = anyio.Event(), anyio.Event()
    a = Model(when(b_has_written, use("put", name="geo", value="good")), noting(a_is_done, "done"))
    b = Model(
        reply(use("get", name="geo")),
        reply(use("put", name="canary", value="bad")),
        noting(b_has_written, use("get", name="other")),
        when(a_is_done, use("get", name="other")),
        reply("all is right"),  # it has overlooked the notice
        reply(use("amend", call_id="B.2", arguments={"value": "good"})),
    )
    memory = coagent.targets.Memory({"kv:geo": "bad", "kv:other": 1})
    agents = [LlmAgent("A", "…", a), LlmAgent("B", "…", b, second_look=second_look)]
    async with coagent.open_domain(targets=[memory], tools=TOOLS) as domain:
        sessions = [await domain.join(agent.name) for agent in agents]
        async with anyio.create_task_group() as group:
            for agent, session in zip(agents, sessions, strict=True):
                group.start_soon(agent.run, domain, session)
    assert memory.snapshot()["kv:canary"] == ("good" if second_look else "bad")
    assert any("look once more" in seen for seen in b.seen) == second_look


async def test_a_model_asked_with_its_whole_context_still_has_it() -> None:
    b_is_done = anyio.Event()
    a = Model(when(b_is_done, use("put", name="x", value=2)))
    b = Model(reply(use("get", name="x")), noting(b_is_done, "read it"), reply("fine"))
    memory = coagent.targets.Memory({"kv:x": 1})
    agents = [LlmAgent("A", "…", a), LlmAgent("B", "read x", b, short_prompt=False)]
    async with coagent.open_domain(targets=[memory], tools=TOOLS) as domain:
        sessions = [await domain.join(agent.name) for agent in agents]
        async with anyio.create_task_group() as group:
            for agent, session in zip(agents, sessions, strict=True):
                group.start_soon(agent.run, domain, session)
    assert "You had finished" in b.seen[2]
    assert "Your goal was" not in b.seen[2]


def test_tools_are_offered_under_names_that_providers_take() -> None:
    names = function_names(["k8s.list", "k8s_list", "a/b", "x" * 80])
    assert list(names.values()) == ["k8s.list", "k8s_list", "a/b", "x" * 80]
    assert list(names) == ["k8s_list", "k8s_list_2", "a_b", "x" * 64]


async def test_a_notice_comes_in_front_of_the_next_result() -> None:
    b_has_read, a_is_done = anyio.Event(), anyio.Event()
    a = Model(when(b_has_read, use("put", name="x", value=2)), noting(a_is_done, "done"))
    b = Model(
        reply(use("get", name="x")),
        noting(b_has_read, use("get", name="y")),
        when(a_is_done, use("get", name="y")),
    )
    memory = coagent.targets.Memory({"kv:x": 1, "kv:y": 1})
    agents = [LlmAgent("A", "…", a), LlmAgent("B", "…", b)]
    async with coagent.open_domain(targets=[memory], tools=TOOLS) as domain:
        sessions = [await domain.join(agent.name) for agent in agents]
        async with anyio.create_task_group() as group:
            for agent, session in zip(agents, sessions, strict=True):
                group.start_soon(agent.run, domain, session)
    told = [text for text in b.seen if "[coagent notice]" in text]
    assert len(told) == 1
    assert told[0].endswith("\n\n1\n[call B.3]")


async def test_failures_are_results_that_name_their_call() -> None:
    model = Model(reply(use("get", name="nothing")), reply(use("undo", call_id="A.9")))
    memory = coagent.targets.Memory({"kv:x": 1})
    agent = LlmAgent("A", "…", model)
    await run(agent, memory)
    assert model.seen[1].startswith("error: tool 'get' failed:")
    assert "there is no nothing" in model.seen[1]
    assert model.seen[1].endswith("[call A.1]")
    assert "agent 'A' has no standing call 'A.9'" in model.seen[2]
    assert agent.state == "committed"


async def test_wrong_arguments_are_told_and_leave_no_call() -> None:
    model = Model(
        reply(use("put", nam="x")), reply(use("putt", name="x")), reply(use("put", name="x", value=2))
    )
    memory = coagent.targets.Memory({"kv:x": 1})
    agent = LlmAgent("A", "…", model)
    await run(agent, memory)
    assert "wrong arguments for tool 'put'" in model.seen[1]
    assert "putt" in model.seen[2]
    assert model.seen[3] == "ok\n[call A.1]"
    assert memory.snapshot() == {"kv:x": 2}


async def test_a_model_that_never_gets_its_arguments_right_is_stopped() -> None:
    model = Model(*[reply(use("put", nam="x"))] * 20)
    agent = LlmAgent("A", "…", model)
    await run(agent, coagent.targets.Memory({"kv:x": 1}))
    assert agent.state == "aborted"
    assert "the model does not answer as it should" in agent.reason


async def test_parallel_calls_run_in_the_order_of_the_model() -> None:
    model = Model(reply(*(use("put", name="x", value=value) for value in range(10))))
    memory = coagent.targets.Memory({"kv:x": -1})
    await run(LlmAgent("A", "…", model), memory)
    assert memory.snapshot() == {"kv:x": 9}
    assert [line for line in model.seen[1].splitlines() if line.startswith("[")] == [
        f"[call A.{number}]" for number in range(1, 11)
    ]


async def test_undo_withdraws_and_says_what_else_changed() -> None:
    model = Model(
        reply(use("put", name="x", value=2)),
        reply(use("get", name="x")),
        reply(use("undo", call_id="[call A.1]")),
    )
    memory = coagent.targets.Memory({"kv:x": 1})
    agent = LlmAgent("A", "…", model)
    await run(agent, memory)
    assert model.seen[3] == "A.1 is undone.\nyour call A.2 returns now: 1"
    assert memory.snapshot() == {"kv:x": 1}
    assert agent.counters.undos == 1


async def test_an_irreversible_call_is_staged_until_commit() -> None:
    SENT.clear()
    model = Model(reply(use("mail", text="hello")))
    await run(LlmAgent("A", "…", model), coagent.targets.Memory({"kv:x": 1}))
    assert model.seen[1].startswith("staged: ")
    assert SENT == ["hello"]


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(requests=3), "3 model requests of 3"),
        (Budget(tokens=200), "tokens of 200"),
        (Budget(calls=3), "it has made 3 calls"),
    ],
)
async def test_going_over_budget_withdraws_the_work(budget: Budget, reason: str) -> None:
    model = Model(*(reply(use("put", name="x", value=value)) for value in range(10)))
    memory = coagent.targets.Memory({"kv:x": -1})
    agent = LlmAgent("A", "…", model, budget=budget)
    await run(agent, memory)
    assert agent.state == "aborted"
    assert agent.reason.startswith("budget: ")
    assert reason in agent.reason
    assert memory.snapshot() == {"kv:x": -1}


async def test_a_model_that_thinks_too_long_is_stopped() -> None:
    model = Model(reply(use("put", name="x", value=2)), when(anyio.Event(), "never"))
    memory = coagent.targets.Memory({"kv:x": 1})
    agent = LlmAgent("A", "…", model, budget=Budget(seconds=0.2))
    await run(agent, memory)
    assert (agent.state, agent.reason) == ("aborted", "budget: it has worked for 0.2 s")
    assert memory.snapshot() == {"kv:x": 1}


async def test_cancellation_withdraws_the_work() -> None:
    written = anyio.Event()
    model = Model(
        reply(use("put", name="x", value=2)),
        noting(written, use("get", name="x")),
        when(anyio.Event(), "never"),
    )
    memory = coagent.targets.Memory({"kv:x": 1})
    agent = LlmAgent("A", "…", model)
    async with coagent.open_domain(targets=[memory], tools=TOOLS) as domain:
        session = await domain.join("A")
        async with anyio.create_task_group() as group:
            group.start_soon(agent.run, domain, session)
            await written.wait()
            group.cancel_scope.cancel()
        assert memory.snapshot() == {"kv:x": 1}
        assert (agent.state, agent.reason, session.state) == ("aborted", "cancelled", "aborted")


async def test_an_agent_that_somebody_else_aborted_ends() -> None:
    aborted = anyio.Event()
    model = Model(reply(use("put", name="x", value=2)), when(aborted, use("put", name="x", value=3)))
    memory = coagent.targets.Memory({"kv:x": 1})
    agent = LlmAgent("A", "…", model)
    async with coagent.open_domain(targets=[memory], tools=TOOLS) as domain:
        session = await domain.join("A")
        async with anyio.create_task_group() as group:
            group.start_soon(agent.run, domain, session)
            while memory.snapshot() != {"kv:x": 2}:
                await anyio.lowlevel.checkpoint()
            await (await domain.attach("A")).abort("somebody said so")
            aborted.set()
    assert agent.state == "aborted"
    assert "has aborted" in agent.reason
    assert memory.snapshot() == {"kv:x": 1}


@pytest.mark.parametrize("protocol", ["2pl", "occ"])
async def test_an_agent_that_a_baseline_undid_begins_again(protocol: str) -> None:
    """Both read x and then write it: one is undone, starts anew, and sees the other's value."""
    both_have_read = [anyio.Event(), anyio.Event()]

    def adds(own: anyio.Event, other: anyio.Event) -> FunctionModel:
        async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            content = str(getattr(messages[-1].parts[-1], "content", ""))
            if content == "add 1":
                return reply(use("get", name="x"))
            if content.startswith("ok"):
                return reply("done")
            own.set()
            await other.wait()
            return reply(use("put", name="x", value=int(content.split("\n", maxsplit=1)[0]) + 1))

        return FunctionModel(answer)

    a = LlmAgent("A", "add 1", adds(*both_have_read))
    b = LlmAgent("B", "add 1", adds(*reversed(both_have_read)))
    memory = coagent.targets.Memory({"kv:x": 1})
    async with coagent.open_domain(targets=[memory], tools=TOOLS, protocol=protocol) as domain:
        sessions = [await domain.join(agent.name) for agent in (a, b)]
        async with anyio.create_task_group() as group:
            for agent, session in zip((a, b), sessions, strict=True):
                group.start_soon(agent.run, domain, session)
    assert memory.snapshot() == {"kv:x": 3}
    assert a.counters.restarts + b.counters.restarts == 1


async def test_only_the_tools_named_are_offered() -> None:
    offered: list[str] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        offered.extend(one.name for one in info.function_tools)
        return reply("done")

    await run(LlmAgent("A", "…", FunctionModel(answer), tools=["get"]), coagent.targets.Memory({"kv:x": 1}))
    assert offered == ["get", "undo", "amend"]


def test_results_are_cut_to_size_with_a_note() -> None:
    text = text_of("x" * (RESULT_LENGTH_MAX + 5))
    assert text.endswith("(5 more characters, not shown: ask for a part)")
    assert text_of({"ä": [1, None]}) == '{"ä":[1,null]}'
    assert text_of(b"\x00\x01") == "2 bytes: 00 01"


# ---- over HTTP ---------------------------------------------------------------------------------------------


async def test_an_openai_compatible_endpoint() -> None:
    memory = coagent.targets.Memory({"kv:x": 1})
    model = Script(calls(("get", {"name": "x"}), ("put", {"name": "x", "value": 2})), says("done"))
    with serving(qwen=model) as url:
        agent = LlmAgent("A", "count", "openai:qwen", base_url=url)
        await run(agent, memory)
    assert memory.snapshot() == {"kv:x": 2}
    # No null: llama.cpp's server refuses it.
    told = [message["content"] for message in model.requests[1][-3:]]
    assert told == ["", "1\n[call A.1]", "ok\n[call A.2]"]
    assert (agent.usage.requests, agent.usage.input_tokens, agent.usage.output_tokens) == (2, 200, 20)


async def test_a_request_that_fails_is_repeated() -> None:
    failures = [Failure(500), Failure(503)]

    def broken(messages: list[dict[str, Any]]) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return says("done")

    with serving(qwen=broken) as url:
        agent = LlmAgent("A", "…", "qwen", base_url=url, request_retries=2)
        await run(agent, coagent.targets.Memory({"kv:x": 1}))
    assert agent.state == "committed"


async def test_an_endpoint_that_keeps_failing_ends_the_agent() -> None:
    def dying(messages: list[dict[str, Any]]) -> dict[str, Any]:
        if len(messages) > 2:
            raise Failure(500)
        return calls(("put", {"name": "x", "value": 2}))

    memory = coagent.targets.Memory({"kv:x": 1})
    with serving(qwen=dying) as url:
        agent = LlmAgent("A", "…", "qwen", base_url=url, request_retries=1)
        await run(agent, memory)
    assert agent.state == "aborted"
    assert agent.reason.startswith("the model cannot be reached: ")
    assert "500" in agent.reason
    assert memory.snapshot() == {"kv:x": 1}


async def test_an_endpoint_that_is_gone_ends_the_agent() -> None:
    with serving() as url:
        pass
    agent = LlmAgent("A", "…", "qwen", base_url=url, request_retries=0)
    await run(agent, coagent.targets.Memory({"kv:x": 1}))
    assert agent.state == "aborted"
    assert "the model cannot be reached" in agent.reason


def test_models_that_cannot_be_used_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(coagent.ConfigurationError, match="OPENAI_API_KEY"):
        LlmAgent("A", "…", "openai:gpt-5-mini")
    with pytest.raises(coagent.ConfigurationError, match="Unknown model"):
        LlmAgent("A", "…", "opnai:gpt-5-mini")
    with pytest.raises(coagent.ConfigurationError, match="cannot be used"):
        LlmAgent("A", "…", "gpt-5-mini")
    with pytest.raises(coagent.ConfigurationError, match="is no URL"):
        LlmAgent("A", "…", "qwen", base_url="127.0.0.1:80")
    with pytest.raises(coagent.ConfigurationError, match="positive"):
        Budget(requests=0)
