"""Runs of declared calls during which the log is away, or does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from test_declared_owners import Shop, process

from coagent.errors import LogUnavailable
from coagent.protocol.events import Event, RunBegun
from coagent.runtime.domain import Domain


def lose(domain: Domain, of: type[Event], *, appended: bool) -> None:
    """Have the log be away once, as an event is appended: before it has it, or before it says so."""
    log = domain._opened.log
    append, pending = log.append, [of]

    async def appending(events: Sequence[Event]) -> None:
        here = pending and any(isinstance(event, of) for event in events)
        if here:
            pending.clear()
        if here and not appended:
            raise LogUnavailable("the log is away")
        before = log._at  # type: ignore[attr-defined]
        await append(events)
        if here:
            log._at = before  # type: ignore[attr-defined]  # it does not know that they are there
            raise LogUnavailable("the log was lost before it answered")

    log.append = appending  # type: ignore[method-assign]


@pytest.mark.anyio
@pytest.mark.parametrize("appended", [False, True])
async def test_a_run_goes_on_when_the_log_is_back_that_was_away_for_what_it_is_taken_back_by(
    tmp_path: Path, appended: bool
) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one:
        a = await one.join("A")
        lose(one, RunBegun, appended=appended)
        shop.held = held = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(a.call, "book", who="A", item="tea"))
            await shop.acted.wait()
            for _ in range(20):  # nobody takes it for one that has yet to be made
                await anyio.lowlevel.checkpoint()
            await one.catch_up()
            held.set()
        await one.settle()
        assert shop.who("tea") == ["A"]
        (booked,) = a.calls
        assert booked.effective
        await a.undo(booked.call_id)
        assert shop.who("tea") == []
        assert (await a.finish(wait=True)).state == "committed"
