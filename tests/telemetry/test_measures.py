"""Metrics: what is counted and measured, and by what."""

from __future__ import annotations

import pytest
from looked import looked_at

from coagent import ToolFailed
from coagent.runtime.clock import VirtualClock

pytestmark = pytest.mark.anyio
FUNCTION = ("gen_ai.tool.type", "function")


async def test_calls_notices_reexecutions_repairs_and_ends_are_counted() -> None:
    async with looked_at({"kv:x": 1, "kv:p": "poison"}) as (domain, seen):
        a, b, c = [await domain.join(name) for name in "ABC"]
        await b.call("get", key="kv:x")
        await b.call("mail", text="hello")
        await a.call("put", key="kv:x", value=2)
        await b.call("get", key="kv:x")
        with pytest.raises(ToolFailed):
            await b.call("copy", source="kv:p", to="kv:q")
        await b.undo("B.3")
        await c.abort()
        await a.finish()
        assert (await b.finish(wait=True)).state == "committed"
        tool, status = "gen_ai.tool.name", "coagent.call.status"
        assert seen.values("coagent.calls") == {
            ((status, "done"), (tool, "get")): 2,
            ((status, "done"), (tool, "put")): 1,
            ((status, "staged"), (tool, "mail")): 1,
            ((status, "failed"), ("error.type", "ToolFailed"), (tool, "copy")): 1,
        }
        assert seen.values("coagent.notices") == {(): 1}
        assert seen.values("coagent.reexecutions") == {((tool, "get"),): 1}
        assert seen.values("coagent.repairs") == {(("coagent.run", "undo"), (tool, "get")): 1}
        assert seen.values("coagent.commits") == {(): 2}
        assert seen.values("coagent.aborts") == {(): 1}
        measured = seen.values("gen_ai.execute_tool.duration")
        assert measured[(tool, "get"), FUNCTION] == 2
        assert measured[("error.type", "ToolFailed"), (tool, "copy"), FUNCTION] == 1
        assert measured[(tool, "mail"), FUNCTION] == 2, "it was staged, and it has run"


async def test_the_wait_for_the_commit_is_measured_by_the_domains_clock() -> None:
    clock = VirtualClock()
    async with looked_at(clock=clock) as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("put", key="kv:x", value=2)
        assert (await b.finish()).state == "waiting"
        async with clock.participant():
            await clock.sleep(60)
        await a.finish()
        assert (await b.finish()).state == "committed"
        data = seen._metrics.get_metrics_data()
        assert data is not None
        (wait,) = [
            point
            for one in data.resource_metrics[0].scope_metrics[0].metrics
            if one.name == "coagent.commit.wait.duration"
            for point in one.data.data_points
        ]
        assert (wait.count, wait.sum) == (2, 60)
