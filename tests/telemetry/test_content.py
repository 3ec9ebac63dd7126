"""What calls are given and return is sent where it is asked for, masked; and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from looked import Seen, looked_at

from coagent import ToolFailed

pytestmark = pytest.mark.anyio

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"


def everything(seen: Seen) -> str:
    """Return all that was told of spans."""
    return str(
        [
            (span.name, dict(span.attributes or {}), [dict(link.attributes or {}) for link in span.links])
            for span in seen.spans
        ]
        + [span.status.description for span in seen.spans]
    )


async def used(arguments: bool) -> Seen:
    async with looked_at({"kv:x": "first words", "kv:p": "poison"}, arguments=arguments) as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("get", key="kv:x")
        await a.call("put", key="kv:x", value={"password": "correct horse battery", "note": "second words"})
        await b.call("put", key="kv:config", value=f"token={TOKEN}")
        await b.call("get", key="kv:config")
        await b.amend("B.2", value="third words")
        with pytest.raises(ToolFailed):
            await b.call("copy", source="kv:p", to="kv:q")
    return seen


async def test_by_default_no_argument_result_key_or_error_is_told() -> None:
    text = everything(await used(arguments=False))
    for secret in ("words", "horse", TOKEN, "kv:", "poison", "hunter2"):
        assert secret not in text


async def test_where_it_is_asked_for_it_is_told_and_secrets_are_masked() -> None:
    seen = await used(arguments=True)
    text = everything(seen)
    assert "horse" not in text
    assert TOKEN not in text
    read: dict[str, Any] = dict(seen.of_call("B.1").attributes or {})
    assert json.loads(read["gen_ai.tool.call.arguments"]) == {"key": "kv:x"}
    assert json.loads(read["gen_ai.tool.call.result"]) == "first words"
    again = dict(seen.of_call("B.1", run="reexecution").attributes or {})
    assert "second words" in str(again["gen_ai.tool.call.result"])
    amended = dict(seen.of_call("B.2", run="amend").attributes or {})
    assert "third words" in str(amended["gen_ai.tool.call.arguments"])
    (link,) = seen.of_call("B.2").links
    assert (link.attributes or {})["coagent.notice.key"] == "kv:x"
    assert "poison" in str(seen.the("execute_tool copy").status.description)


async def test_contents_are_cut_short() -> None:
    async with looked_at(arguments=True) as (domain, seen):
        a = await domain.join("A")
        await a.call("put", key="kv:x", value=["word"] * 10_000)
        await a.call("get", key="kv:x")
    for call in ("A.1", "A.2"):
        for name in ("arguments", "result"):
            assert len(str((seen.of_call(call).attributes or {})[f"gen_ai.tool.call.{name}"])) <= 8192
