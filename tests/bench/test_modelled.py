"""Language models as agents of the contended workloads, driven by models that are Python functions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from coagent.agents.budget import Budget
from coagent.errors import ConfigurationError
from coagent_lab.bench.contended.families import family_of
from coagent_lab.bench.contended.measure import Measured, Plan, measure
from coagent_lab.bench.contended.modelled import Modelled
from coagent_lab.bench.contended.workload import Workload

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def workload(name: str = "copy") -> Workload:
    """A sets a.txt; B copies a.txt to b.txt."""
    final = {"a.txt": "new", "b.txt": "new"}
    return Workload.model_validate(
        {
            "schema": "coagent-workload/1",
            "id": name,
            "family": "coding",
            "arity": 2,
            "initial_state": {"files": {"a.txt": "old"}},
            "tools": [],
            "agents": [
                {"name": "A", "goal": "Set a.txt to new.", "policy_function": "", "policy_source": ""},
                {"name": "B", "goal": "Copy a.txt to b.txt.", "policy_function": "", "policy_source": ""},
            ],
            "serial": [
                {"order": ["A", "B"], "final": final},
                {"order": ["B", "A"], "final": {"a.txt": "new", "b.txt": "old"}},
            ],
        }
    )


def call(tool: str, **arguments: Any) -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart(tool, arguments)])


class Pair(FunctionModel):
    """Plays A and B, which it tells apart by their goals; B amends its copy when a notice proposes it."""

    def __init__(self) -> None:
        self.requests = 0
        self.tools: set[str] = set()
        super().__init__(self._answer)

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.requests += 1
        self.tools |= {one.name for one in info.function_tools}
        shown = "\n".join(str(getattr(part, "content", "")) for one in messages for part in one.parts)
        made = sum(isinstance(part, ToolCallPart) for one in messages for part in one.parts)
        if "Set a.txt" in shown:
            steps = [call("fs_write", path="a.txt", content="new")]
        elif "coagent notice" in shown:
            found = re.search(r"amend (B\.\d+) with", shown)
            assert found is not None, shown
            made -= "[call B.2]\n" in shown and "Your goal was" not in shown and 2
            steps = [call("amend", call_id=found[1], arguments={"content": "new"})]
        else:
            read = re.search(r"^(old|new)\n\[call", shown, re.M)
            steps = [
                call("fs_read", path="a.txt"),
                call("fs_write", path="b.txt", content=read[1] if read else ""),
            ]
        return steps[made] if made < len(steps) else ModelResponse(parts=[TextPart("done")])


def quiet(workload: str, protocol: str, done: int) -> None:
    pass


async def measured(
    runner: Modelled, *workloads: Workload, protocols: tuple[str, ...] = ("mtpo",)
) -> Measured:
    pairs = [(one, family_of(one, None)) for one in workloads or (workload(),)]
    return await measure(Plan(pairs, protocols=protocols, trials=1, runner=runner), quiet)


async def test_models_run_the_same_table_and_are_judged_by_the_serial_outcomes() -> None:
    model = Pair()
    found = (await measured(Modelled(model), protocols=("naive", "mtpo"))).as_data()
    figures = found["workloads"][0]["protocols"]
    assert figures["serial"]["serial_in_order"] == figures["mtpo"]["serial_in_order"] == 1.0
    assert figures["mtpo"]["failed"] == 0
    assert figures["mtpo"]["tokens_ratio"] > 0
    assert "language models" in found["parameters"]["agents"]
    assert {"fs_read", "fs_write", "undo", "amend"} <= model.tools


async def test_results_and_transcripts_are_kept_and_not_run_again(tmp_path: Path) -> None:
    model = Pair()
    first = (await measured(Modelled(model, keep=tmp_path))).as_data()
    asked = model.requests
    again = (await measured(Modelled(model, keep=tmp_path))).as_data()
    assert model.requests == asked
    assert again["workloads"] == first["workloads"]
    transcript = json.loads((tmp_path / "copy" / "mtpo" / "0" / "B.json").read_text())
    assert "Copy a.txt" in transcript[0]["parts"][0]["content"]


async def test_results_of_other_parameters_are_not_mixed(tmp_path: Path) -> None:
    await measured(Modelled(Pair(), keep=tmp_path))
    with pytest.raises(ConfigurationError, match="with another budget"):
        await measured(Modelled(Pair(), keep=tmp_path, budget=Budget(requests=3)))


async def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "copy" / "serial" / "0").mkdir(parents=True)
    (tmp_path / "copy" / "serial" / "0" / "result.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"result\.json"):
        await measured(Modelled(Pair(), keep=tmp_path))


async def test_an_endpoint_that_dies_costs_its_trials_only_and_they_are_run_again(tmp_path: Path) -> None:
    """The first workload's endpoint is gone; the second one runs; a later run mends the first."""

    class Dying(Pair):
        async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            if self.requests >= 3 and not self.revived:
                from pydantic_ai.exceptions import ModelAPIError

                raise ModelAPIError("pair", "connection refused")
            return await super()._answer(messages, info)

        revived = False

    model = Dying()
    runner = Modelled(model, keep=tmp_path)
    broken = (await measured(runner, workload("one"), workload("two"))).as_data()
    figures = {one["id"]: one["protocols"]["mtpo"] for one in broken["workloads"]}
    assert figures["one"]["failed"] == figures["two"]["failed"] == 1
    assert "connection refused" in figures["one"]["failures"][0]
    model.revived = True
    mended = (await measured(runner, workload("one"), workload("two"))).as_data()
    assert [one["protocols"]["mtpo"]["failed"] for one in mended["workloads"]] == [0, 0]
