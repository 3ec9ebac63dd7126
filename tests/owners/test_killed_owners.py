"""Processes that are killed with kill -9: whoever comes next, or is there, sees to what they leave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from owner_worker import opened, sent

from coagent import ConfigurationError, TargetError
from coagent.runtime.domain import Domain
from coagent.runtime.watch import Watch

WORKER = Path(__file__).with_name("owner_worker.py")


@contextmanager
def worker(tmp_path: Path, *does: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process until it has said something; killed at the end."""
    arguments = [sys.executable, str(WORKER), str(tmp_path / "log"), str(tmp_path), *does]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            heard = []
            for line in process.stdout:
                heard.append(line.strip())
                if heard[-1] == until:
                    break
            else:
                assert process.stderr is not None
                raise AssertionError(f"{heard} {process.stderr.read()}")
            yield process
        finally:
            process.kill()


def killed(tmp_path: Path, *does: str, until: str) -> None:
    """Run a process until it has said something, and kill it then."""
    with worker(tmp_path, *does, until=until):
        pass


def domain_of(tmp_path: Path) -> Domain:
    return opened(tmp_path / "log", tmp_path)


def files(tmp_path: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (tmp_path / "files").iterdir()}


async def settled(domain: Domain, *, until: str) -> None:
    """Wait until agent A has come so far."""
    with anyio.fail_after(20):
        while [agent.phase.value for agent in domain.agents if agent.name == "A"] != [until]:
            await domain.settle()
            await anyio.sleep(0.02)


def states(domain: Domain) -> dict[str, str]:
    return {agent.name: agent.phase.value for agent in domain.agents}


@pytest.mark.anyio
async def test_an_unfinished_agent_of_a_killed_process_is_aborted_by_whoever_comes_next(
    tmp_path: Path,
) -> None:
    killed(tmp_path, "think", until="thinks")
    assert files(tmp_path) == {"x": "half done"}
    watch = Watch(f"sqlite:{tmp_path / 'log'}")
    list(watch.events())
    assert [(one.name, one.served) for one in watch.agents()] == [("A", "dead")]
    watch.close()
    async with domain_of(tmp_path) as domain:
        assert states(domain) == {"A": "aborted"}
        a = await domain.join("A")
        assert await a.call("get", key="file:x")
        assert (await a.finish(wait=True)).state == "committed"
    assert files(tmp_path) == {}


@pytest.mark.anyio
async def test_who_is_there_already_waits_for_no_dead_one(tmp_path: Path) -> None:
    async with domain_of(tmp_path) as domain:
        with worker(tmp_path, "think", until="thinks"):
            b = await domain.join("B")
            await b.call("put", key="file:y", value="of B")
            assert (await b.finish()).waits_for == ["A"]
        with anyio.fail_after(20):
            assert (await b.finish(wait=True)).state == "committed"
    assert files(tmp_path) == {"y": "of B"}


@pytest.mark.anyio
async def test_an_agent_to_be_kept_waits_for_whoever_takes_it_up_and_nobody_else_does_at_once(
    tmp_path: Path,
) -> None:
    killed(tmp_path, "think", "keep", until="thinks")
    async with domain_of(tmp_path) as domain, domain_of(tmp_path) as other:
        assert states(domain) == {"A": "active"}
        assert domain.agents[0].owner == ""
        a = await domain.attach("A")
        assert domain.agents[0].epoch == 2
        with pytest.raises(Exception, match="is served by process"):
            await other.attach("A")
        assert (await a.finish(wait=True)).state == "committed"
    assert files(tmp_path) == {"x": "half done"}


@pytest.mark.anyio
async def test_what_is_complete_is_committed_where_that_is_wanted(tmp_path: Path) -> None:
    killed(tmp_path, "think", "commit", until="thinks")
    async with domain_of(tmp_path) as domain:
        await settled(domain, until="committed")
    assert files(tmp_path) == {"x": "half done"}


@pytest.mark.anyio
async def test_a_finished_agent_of_a_killed_process_goes_on_to_its_commit_with_what_it_had_staged(
    tmp_path: Path,
) -> None:
    async with domain_of(tmp_path) as domain:
        first = await domain.join("first")
        await first.call("get", key="file:z")
        killed(tmp_path, "finish", until="thinks")
        await domain.settle()
        assert states(domain) == {"first": "active", "A": "finished"}
        assert sent(tmp_path) == []
        await first.finish()
        await settled(domain, until="committed")
    assert files(tmp_path) == {"x": "done"}
    assert sent(tmp_path) == ["hello"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("how", "after"), [("accept", "committed"), ("retry", "committed"), ("drop", "active")]
)
async def test_of_a_staged_call_that_may_have_run_a_person_decides_and_nobody_waits_unknowing(
    tmp_path: Path, how: str, after: str, caplog: pytest.LogCaptureFixture
) -> None:
    killed(tmp_path, "letter", "keep", "before", until="begins")
    async with domain_of(tmp_path) as domain:
        assert [call.id for call in domain.kernel.unknown] == ["A.2"]
        (said,) = [one.message for one in caplog.records if one.name == "coagent.domain"]
        assert said.endswith("waits until a person decides: coagent resolve A.2")
        b = await domain.join("B")
        await b.call("put", key="file:y", value="of B")
        assert (await b.finish()).waits_for == ["A"]
        watch = Watch(f"sqlite:{tmp_path / 'log'}")
        list(watch.events())
        assert watch.agents()[0].unknown == ["A.2"]
        assert [(one.tool, one.wanted) for one in watch.unknown()] == [("letter", True)]
        watch.close()
        with pytest.raises(ConfigurationError, match=r"There is: A\.2"):
            await domain.resolve("file:x", "accept")
        await domain.resolve("A.2", how)  # type: ignore[arg-type]
        await settled(domain, until=after if how != "drop" else "finished")
        if how == "drop":
            a = await domain.attach("A")
            assert (await a.finish()).state == "notified"
            await a.finish()
        assert (await b.finish(wait=True)).state == "committed"
    assert sent(tmp_path) == (["hello"] if how == "retry" else [])
    assert files(tmp_path) == {"x": "done", "y": "of B"}


@pytest.mark.anyio
@pytest.mark.parametrize("hangs", ["before", "after"])
@pytest.mark.parametrize("name", ["parcel", "transfer"])
async def test_a_tool_that_can_be_asked_or_acts_once_for_a_name_decides_by_itself_and_acts_once(
    tmp_path: Path, name: str, hangs: str
) -> None:
    killed(tmp_path, name, "abort", hangs, until="begins" if hangs == "before" else "acted")
    before = sent(tmp_path)
    assert len(before) == (hangs == "after")
    async with domain_of(tmp_path) as domain:
        await settled(domain, until="committed")
        assert domain.kernel.unknown == []
    assert len(sent(tmp_path)) == 1
    assert not before or before == sent(tmp_path), "the run in its place had the same name"


@pytest.mark.anyio
async def test_who_has_to_do_with_a_call_that_may_have_run_is_refused_and_everybody_else_goes_on(
    tmp_path: Path,
) -> None:
    killed(tmp_path, "order", "abort", "before", until="begins")
    async with domain_of(tmp_path) as domain:
        assert states(domain) == {"A": "aborted"}
        assert [call.id for call in domain.kernel.unknown] == ["A.2"]
        b = await domain.join("B")
        assert (await b.call("order", item="milk")).value == "sent milk"
        with pytest.raises(TargetError, match=r"coagent resolve A\.2"):
            await b.call("order", item="tea")
        with pytest.raises(ConfigurationError, match="nobody wants"):
            await domain.resolve("A.2", "retry")
        await domain.resolve("A.2", "drop")
        assert (await b.call("order", item="tea")).value == "sent tea"
        assert (await b.finish(wait=True)).state == "committed"
        assert (await (await domain.join("C")).finish(wait=True)).state == "committed"
