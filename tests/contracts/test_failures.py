"""Failures that pass differ from refusals, and neither changes anything."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

import anyio
import pytest
from subjects import Subject

from coagent.errors import TargetError, TargetUnavailable


def away(subject: Subject) -> AbstractContextManager[None]:
    if subject.away is None:
        pytest.skip("it is never away")
    return subject.away()


def test_a_system_that_is_away_is_unavailable_and_comes_back(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        await target.put(key, subject.first, expected=[None])
        assert await target.get(key) == subject.first
        before = target.snapshot(subject.prefix)
        with away(subject):
            for act in (
                lambda: target.get(key),
                lambda: target.get(subject.other),
                lambda: target.list(subject.prefix),
                lambda: target.put(key, subject.second, expected=[subject.first]),
                lambda: target.put(key, None, expected=[subject.first]),
                lambda: target.put(subject.other, subject.others[0], expected=[None]),
                lambda: target.changed([key], [subject.prefix]),
            ):
                with pytest.raises(TargetUnavailable) as caught:
                    await act()
                assert caught.value.cause
                assert caught.value.cure
            assert not target.unchanged(key)
            assert not target.unchanged(subject.other)
        assert target.snapshot(subject.prefix) == before
        await target.put(key, subject.second, expected=[subject.first])
        assert await target.get(key) == subject.second

    anyio.run(main)


def test_opening_needs_no_live_system(subject: Subject) -> None:
    async def main() -> None:
        await subject.target.put(subject.key, subject.first, expected=[None])
        with away(subject):
            target = subject.again()
            assert target.identity == subject.target.identity
            with pytest.raises(TargetUnavailable):
                await target.get(subject.key)
        assert await target.get(subject.key) == subject.first
        await target.close()

    if not subject.opens_away:
        pytest.skip("a folder that does not exist is a mistake, so long as it was never opened")
    anyio.run(main)


def test_changes_while_the_system_was_away_are_noticed(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        await target.put(key, subject.first, expected=[None])
        await target.get(key)
        await target.changed([key], ())
        with away(subject), pytest.raises(TargetUnavailable):
            await target.changed([key], ())
        await anyio.to_thread.run_sync(subject.person, key, subject.second)
        assert await target.get(key) == subject.second

    anyio.run(main)


def test_a_refusal_is_definite_and_changes_nothing(subject: Subject) -> None:
    if subject.refused is None:
        pytest.skip("it refuses nothing")
    key, value = subject.refused
    target = subject.target

    async def main() -> None:
        before = target.snapshot(subject.prefix)
        for _ in range(2):
            with pytest.raises(TargetError) as caught:
                await target.put(key, value, expected=[None])
            assert not isinstance(caught.value, TargetUnavailable)
            assert caught.value.cause
        assert target.snapshot(subject.prefix) == before

    anyio.run(main)


def test_closing_twice_ends_threads_and_a_later_use_opens_again(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        await target.changed((), ())
        await target.put(key, subject.first, expected=[None])
        await target.list(subject.prefix)
        await target.changed([key], [subject.prefix])
        await target.close()
        await target.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("watch ")]
        assert await target.get(key) == subject.first
        await target.close()

    anyio.run(main)
