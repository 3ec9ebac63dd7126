"""Reads that wait to be recorded while other processes change, and commit, what they saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from coagent import Domain, State, open_domain, targets, tool
from coagent.errors import AgentTakenUp, LogUnavailable
from coagent.protocol.events import Aborted, CallObserved, Event, OutsideWrite
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


@tool
async def read(state: State, key: str) -> Any:
    """Read an object."""
    return await state.get(key)


@tool
async def part(state: State, key: str) -> Any:
    """Read a part of an object."""
    return await state.get(key, path="/n")


@tool
async def names(state: State, prefix: str) -> list[str]:
    """List objects."""
    return await state.list(prefix)


@tool
async def put(state: State, key: str, value: Any) -> None:
    """Write an object."""
    await state.put(key, value)


def process(log: Path, live: targets.Memory) -> Domain:
    """Return the domain of a process that does nothing that it is not told to."""
    domain = open_domain(f"sqlite:{log}", targets=[live], tools=[read, part, names, put])
    domain.attends = False
    return domain


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("look", "seen", "now"),
    [
        (("read", {"key": "kv:a/x"}), {"n": 0}, {"n": 1}),
        (("part", {"key": "kv:a/x"}), 0, 1),
        (("names", {"prefix": "kv:a/"}), ["kv:a/x"], ["kv:a/x", "kv:a/y"]),
    ],
)
async def test_what_another_process_has_committed_meanwhile_is_told(
    tmp_path: Path, look: tuple[str, dict[str, Any]], seen: Any, now: Any
) -> None:
    log, live = tmp_path / "log", targets.Memory({"kv:a/x": {"n": 0}})
    async with process(log, live) as one, process(log, live) as two:
        a, b = await one.join("A"), await two.join("B")
        await b.call("read", key="kv:else")
        looked = await b.call(look[0], **look[1])
        assert looked.value == seen
        await a.call("put", key="kv:a/x", value={"n": 1})
        await a.call("put", key="kv:a/y", value={"n": 1})
        assert (await a.finish(wait=True)).state == "committed"
        happened: list[Event] = []
        two._opened.parts.recorder.observers.append(happened.append)
        settled = await b.finish(wait=True)
        assert settled.state == "notified"
        assert [notice.premises for notice in settled.notifications] == [[looked.call_id]]
        assert b.result(looked.call_id) == now
        assert not [event for event in happened if isinstance(event, OutsideWrite)], "nobody else was there"
        assert (await b.finish(wait=True)).state == "committed"


@pytest.mark.anyio
async def test_a_read_that_ends_while_its_agent_is_being_aborted_is_never_recorded(tmp_path: Path) -> None:
    looking, go_on = anyio.Event(), anyio.Event()

    @tool
    async def look(state: State) -> Any:
        """Read an object, slowly."""
        found = await state.get("kv:x")
        looking.set()
        await go_on.wait()
        return found

    async with open_domain(
        f"sqlite:{tmp_path / 'log'}", targets=[targets.Memory({})], tools=[look, put]
    ) as one:
        a, b = await one.join("A"), await one.join("B")
        await a.call("put", key="kv:y", value=1)
        recorder, log = one._opened.parts.recorder, one._opened.log
        append = log.append

        async def appending(events: Sequence[Event]) -> None:
            if any(isinstance(event, Aborted) for event in events):
                go_on.set()
                while not recorder.waiting.named_calls(one.kernel.agents[a.rank]):
                    await anyio.lowlevel.checkpoint()
            await append(events)

        log.append = appending  # type: ignore[method-assign]
        happened: list[Event] = []
        recorder.observers.append(happened.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.call, "look")
            await looking.wait()
            await a.abort()
        await b.call("put", key="kv:y", value=2)
        assert Aborted(a.rank, "") in happened
        assert [event.rank for event in happened if isinstance(event, CallObserved)] == [b.rank]


@pytest.mark.anyio
async def test_a_read_of_an_agent_that_others_have_taken_up_is_not_recorded_where_the_log_is_lost_then(
    tmp_path: Path,
) -> None:
    log, live = tmp_path / "log", targets.Memory({})
    async with process(log, live) as one, process(log, live) as two:
        a, b = await one.join("A"), await one.join("B")
        await a.call("read", key="kv:x")
        await a.flush()
        await a.call("read", key="kv:y")
        taken = await two.attach("A", force=True)
        reading = one._opened.log.read

        async def lost_when_it_has_told_some() -> Sequence[Event]:
            if not (events := await reading()):
                raise LogUnavailable("the log is away")
            return events

        one._opened.log.read = lost_when_it_has_told_some  # type: ignore[method-assign]
        with pytest.raises(LogUnavailable):
            await one.catch_up()
        one._opened.log.read = reading  # type: ignore[method-assign]
        await b.call("put", key="kv:x", value=1)
        await two.catch_up()
        assert [call.arguments["key"] for call in taken.calls] == ["kv:x"]


@pytest.mark.anyio
async def test_reads_that_are_in_the_log_by_the_time_when_the_lease_is_found_to_be_lost_wait_no_longer(
    tmp_path: Path,
) -> None:
    async with process(tmp_path / "log", targets.Memory({})) as one:
        a = await one.join("A")
        await a.call("read", key="kv:x")
        await a.flush()
        await a.call("read", key="kv:y")
        recorder = one._opened.parts.recorder
        happened: list[Event] = []
        recorder.observers.append(happened.append)
        append = one._opened.log.append

        async def appending(events: Sequence[Event]) -> None:
            await append(events)
            await one._opened.log.end_lease(recorder.tenure.owner)
            await recorder.tenure.renew()

        one._opened.log.append = appending  # type: ignore[method-assign]
        await one.flush()
        one._opened.log.append = append  # type: ignore[method-assign]
        assert [event.arguments["key"] for event in happened if isinstance(event, CallObserved)] == ["kv:y"]
        assert recorder.waiting.named_calls(one.kernel.agents[a.rank]) == []


@pytest.mark.anyio
async def test_what_runs_once_does_not_see_what_a_later_agent_has_written_in_another_process(
    tmp_path: Path,
) -> None:
    sent: list[Any] = []
    reached, go_on = anyio.Event(), anyio.Event()

    @tool(effect="irreversible", gate="wait")
    async def pay(state: State) -> None:
        """Pay what there is."""
        sent.append([await state.get("kv:x"), await state.list("kv:a/")])

    class Slow(targets.Memory):
        """Takes its time, once, before it reads."""

        instant = False

        async def get(self, key: Key) -> Value:
            if key == "kv:x":
                reached.set()
                await go_on.wait()
            return await super().get(key)

    log, live = tmp_path / "log", targets.Memory({"kv:x": 1})
    slow = Slow({})
    slow._objects = live._objects
    async with (
        open_domain(f"sqlite:{log}", targets=[slow], tools=[pay, put]) as one,
        open_domain(f"sqlite:{log}", targets=[live], tools=[pay, put]) as two,
    ):
        a, b = await one.join("A"), await two.join("B")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.call, "pay")
            await reached.wait()
            await b.call("put", key="kv:x", value=2)
            await b.call("put", key="kv:a/x", value=2)
            await two.settle()
            assert live.snapshot() == {"kv:x": 2, "kv:a/x": 2}
            go_on.set()
        assert sent == [[1, []]]


class Lossy(targets.Memory):
    """Loses the log, for so many requests, as it has read an object that somebody outside has changed."""

    instant = False
    domain: Domain | None = None
    requests = 0

    async def get(self, key: Key) -> Value:
        found = await super().get(key)
        if self.domain is not None:
            log = self.domain._opened.log
            reading = log.read

            async def lost() -> Sequence[Event]:
                if self.requests:
                    self.requests -= 1
                    raise LogUnavailable("the log is away")
                return await reading()

            log.read, self.domain = lost, None  # type: ignore[method-assign]
        return found


@pytest.mark.anyio
async def test_a_call_during_which_the_log_is_away_is_not_recorded_as_failed(tmp_path: Path) -> None:
    live = Lossy({"kv:x": 1})
    async with process(tmp_path / "log", live) as one:
        a = await one.join("A")
        await a.call("read", key="kv:x")
        live.outside("kv:x", 2)
        live.domain, live.requests = one, 1
        with pytest.raises(LogUnavailable):
            await a.call("read", key="kv:x")
        assert [call.tool for call in a.calls] == ["read"]


@pytest.mark.anyio
async def test_what_somebody_outside_has_changed_is_seen_though_the_log_was_away_as_it_was_looked_at(
    tmp_path: Path,
) -> None:
    live = Lossy({"kv:x": 1})
    async with process(tmp_path / "log", live) as one:
        a = await one.join("A")
        await a.call("read", key="kv:x")
        live.outside("kv:x", 2)
        live.outside("kv:y", 2)
        live.domain, live.requests = one, 1
        with pytest.raises(LogUnavailable):
            await one.look_around()
        assert (await a.call("read", key="kv:x")).value == 2


@pytest.mark.anyio
async def test_what_somebody_outside_has_made_is_seen_though_the_log_was_away_as_it_was_looked_at(
    tmp_path: Path,
) -> None:
    live = Lossy({})
    async with process(tmp_path / "log", live) as one:
        a = await one.join("A")
        listed = await a.call("names", prefix="kv:a/")
        live.outside("kv:a/x", 2)
        live.outside("kv:a/y", 2)
        appending = one._opened.log.append

        async def lost(events: Sequence[Event]) -> None:
            one._opened.log.append = appending  # type: ignore[method-assign]
            raise LogUnavailable("the log is away")

        one._opened.log.append = lost  # type: ignore[method-assign]
        with pytest.raises(LogUnavailable):
            await one.look_around()
        assert await one.look_around()
        (notice,) = await a.notifications()
        assert (notice.premises, notice.after) == ([listed.call_id], ["kv:a/x", "kv:a/y"])


@pytest.mark.anyio
async def test_what_runs_once_waits_for_the_log_that_is_away_as_it_reads(tmp_path: Path) -> None:
    sent: list[Any] = []

    @tool(effect="irreversible", gate="wait")
    async def pay(state: State) -> None:
        """Pay what there is."""
        sent.append(await state.get("kv:x"))

    live = Lossy({"kv:x": 1})
    async with open_domain(f"sqlite:{tmp_path / 'log'}", targets=[live], tools=[read, pay]) as one:
        a = await one.join("A")
        await a.call("read", key="kv:x")

        async def changed_meanwhile(agent: Any) -> bool:
            live.outside("kv:x", 2)
            live.domain, live.requests = one, 2
            return False

        one._opened.parts.outsiders.look_at_premises = changed_meanwhile  # type: ignore[method-assign]
        await a.call("pay")
        assert sent == [2]
        assert live.requests == 0


@pytest.mark.anyio
@pytest.mark.parametrize("gate", ["wait", "stage"])
async def test_what_runs_once_goes_no_further_where_others_took_its_process_for_dead_as_it_read(
    tmp_path: Path, gate: Any
) -> None:
    sent: list[Any] = []
    reached, go_on = anyio.Event(), anyio.Event()

    @tool(effect="irreversible", gate=gate)
    async def pay(state: State) -> None:
        """Pay what there is."""
        sent.append(await state.get("kv:x"))

    class Slow(targets.Memory):
        """Takes its time, once, before it reads."""

        instant = False

        async def get(self, key: Key) -> Value:
            if key == "kv:x" and not reached.is_set():
                reached.set()
                await go_on.wait()
            return await super().get(key)

    log, live = tmp_path / "log", targets.Memory({"kv:x": 1})
    slow = Slow({})
    slow._objects = live._objects
    async with (
        open_domain(f"sqlite:{log}", targets=[slow], tools=[pay], on_death="keep") as one,
        open_domain(f"sqlite:{log}", targets=[live], tools=[pay], on_death="keep") as two,
    ):
        a = await one.join("A")
        refused: list[str] = []

        async def work() -> None:
            try:
                await a.call("pay")
                await a.finish(wait=True)
            except AgentTakenUp as failure:
                refused.append(failure.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await reached.wait()
            tenure = one._opened.parts.recorder.tenure
            tenure._until_s = 0.0  # it stood still for so long
            await two._opened.log.end_lease(tenure.owner)
            taken = await two.attach("A", force=True)
            (unknown,) = two.kernel.unknown
            await two.resolve(unknown.id, "drop")
            go_on.set()
        assert refused == ["agent_taken_up"]
        assert sent == []
        settled = await taken.finish(wait=True)
        assert [news.kind for notice in settled.notifications for news in notice.calls] == ["withdrawn"]
        await taken.call("pay")
        assert (await taken.finish(wait=True)).state == "committed"
        assert sent == [1]


@pytest.mark.anyio
async def test_that_a_run_failed_where_another_process_has_begun_it_again_is_not_recorded(
    tmp_path: Path,
) -> None:
    sent: list[str] = []
    entered, go_on = [anyio.Event(), anyio.Event()], [anyio.Event(), anyio.Event()]

    @tool(effect="irreversible", gate="wait")
    async def pay(state: State) -> str:
        """Pay; the first one to try does not get through."""
        at = int(entered[0].is_set())
        entered[at].set()
        await go_on[at].wait()
        if at == 0:
            raise OSError("no way through")
        sent.append("paid")
        return "paid"

    log, live = tmp_path / "log", targets.Memory({})
    async with (
        open_domain(f"sqlite:{log}", targets=[live], tools=[pay], on_death="keep") as one,
        open_domain(f"sqlite:{log}", targets=[live], tools=[pay], on_death="keep") as two,
    ):
        a = await one.join("A")

        async def work() -> None:
            with pytest.raises(AgentTakenUp):
                await a.call("pay")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await entered[0].wait()
            await two._opened.log.end_lease(one._opened.parts.recorder.tenure.owner)
            taken = await two.attach("A", force=True)
            (unknown,) = two.kernel.unknown
            tasks.start_soon(two.resolve, unknown.id, "retry")
            await entered[1].wait()
            go_on[0].set()
            await one.settle()
            go_on[1].set()
        assert sent == ["paid"]
        await two.settle()
        assert taken.effective(unknown.id)


@pytest.mark.anyio
async def test_who_joins_or_ends_does_not_wait_until_others_read_no_more(tmp_path: Path) -> None:
    async with process(tmp_path / "log", targets.Memory({"kv:x": 0})) as domain:
        a = await domain.join("A")
        log, reads, left = domain._opened.parts.recorder.log, 0, 300
        append = log.append

        async def slow(events: Sequence[Event]) -> None:
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            await append(events)

        async def go_on_reading() -> None:
            nonlocal reads
            while reads < left:
                reads += 1
                await a.call("read", key="kv:x")
                await anyio.lowlevel.checkpoint()

        log.append = slow  # type: ignore[method-assign]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_on_reading)
            await anyio.lowlevel.checkpoint()
            b = await domain.join("B")
            await b.abort()
            assert reads < left
            left = 0
        assert (await a.finish(wait=True)).state == "committed"
