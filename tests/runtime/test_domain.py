"""What a domain refuses, and how it ends."""

from __future__ import annotations

import anyio
import pytest

import coagent
from coagent import CoAgentError, State, tool
from coagent.errors import JoinRefused


@pytest.mark.parametrize("name", ["A.1", "gpt-4.1", "a.b.12"])
def test_no_agent_has_a_name_that_reads_as_that_of_a_call(name: str) -> None:
    """`coagent undo` takes the one or the other, and would take back all that an agent has done."""

    async def main() -> None:
        async with coagent.open_domain("memory:") as domain:
            with pytest.raises(JoinRefused, match="it is that of call") as caught:
                await domain.join(name)
            assert name.replace(".", "-") in caught.value.cure or name.rpartition(".")[0] in caught.value.cure
            for allowed in ("A", "A.x", "v1.0", "A.0", ".1", "a.1b"):
                await domain.join(allowed)

    anyio.run(main)


def test_a_domain_that_is_abandoned_waits_for_nothing_that_hangs() -> None:
    """Also not for what is carried to its end otherwise: a killed process would not, either."""
    begun, ends = anyio.Event(), []

    @tool(effect="irreversible", gate="wait")
    async def hang(state: State) -> None:
        """Begin something that never ends."""
        begun.set()
        await anyio.sleep_forever()

    async def main() -> None:
        async def call() -> None:
            try:
                await agent.call("hang")
            except CoAgentError as error:
                ends.append(error)

        async with anyio.create_task_group() as others:
            with anyio.fail_after(5):
                async with coagent.open_domain("memory:", tools=[hang]) as domain:
                    agent = await domain.join("A")
                    others.start_soon(call)
                    await begun.wait()
                    domain.abandon()

    anyio.run(main)
    assert "what became of the call is not known" in str(ends[0])
