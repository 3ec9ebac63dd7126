"""What others change past a target is noticed, and what nobody changes is left alone."""

from __future__ import annotations

from time import monotonic

import anyio
import pytest
from subjects import Subject

from coagent.protocol.keys import Key
from coagent.targets import Target

_S_MAX = 20.0


async def read_until_settled(target: Target, *keys: Key) -> None:
    """Read objects until the target names them no longer: those of this very moment it may have to name."""
    deadline = monotonic() + _S_MAX
    while named := set(await target.changed(keys, ())):
        assert monotonic() < deadline, f"{named} are named for ever"
        for key in named:
            await target.get(key)
        await anyio.sleep(0.005)


async def named_in(target: Target, keys: tuple[Key, ...], prefixes: tuple[str, ...], key: Key) -> None:
    """Wait until the target names an object."""
    deadline = monotonic() + _S_MAX
    while key not in await target.changed(keys, prefixes):
        assert monotonic() < deadline, f"{key} is never named"
        await anyio.sleep(0.005)


def test_what_nobody_changes_is_not_named(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        await target.put(subject.key, subject.first, expected=[None])
        assert await target.get(subject.other) is None
        await read_until_settled(target, subject.key, subject.other)
        for _ in range(3):
            assert not await target.changed([subject.key, subject.other], ())

    anyio.run(main)


def test_what_is_known_at_once_needs_no_reading(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        await target.put(subject.key, subject.first, expected=[None])
        deadline = monotonic() + _S_MAX
        while not target.unchanged(subject.key):
            assert monotonic() < deadline
            assert await target.get(subject.key) == subject.first
        assert await target.get(subject.key) == subject.first

    if not subject.exact or target.instant:
        pytest.skip("this system is asked, or tells by a watch")
    anyio.run(main)


def test_a_write_by_somebody_else_is_named_until_it_is_read(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        await target.put(key, subject.first, expected=[None])
        await read_until_settled(target, key)
        for value in (subject.second, None, subject.third):
            await anyio.to_thread.run_sync(subject.person, key, value)
            await named_in(target, (key,), (), key)
            assert key in await target.changed([key], ())
            assert not target.unchanged(key)
            assert await target.get(key) == value
            await read_until_settled(target, key)

    anyio.run(main)


def test_an_object_that_was_absent_is_named_when_somebody_makes_it(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        assert await target.get(subject.other) is None
        await read_until_settled(target, subject.other)
        await anyio.to_thread.run_sync(subject.person, subject.other, subject.others[0])
        await named_in(target, (subject.other,), (), subject.other)
        assert await target.get(subject.other) == subject.others[0]

    anyio.run(main)


def test_only_a_read_of_the_object_itself_counts_as_one(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        await target.put(key, subject.first, expected=[None])
        await read_until_settled(target, key)
        await anyio.to_thread.run_sync(subject.person, key, subject.second)
        await target.list(subject.prefix)
        await anyio.to_thread.run_sync(target.snapshot, subject.prefix)
        await named_in(target, (key,), (), key)
        assert dict(await target.get_many([key])) == {key: subject.second}
        await read_until_settled(target, key)

    anyio.run(main)


def test_a_change_within_the_tick_of_a_read_is_not_missed(subject: Subject) -> None:
    """Values of one size, written into the same file: only the clock could tell them apart."""
    target, key = subject.target, subject.other
    values = [value for value in subject.others if value is not None][:2]

    async def main() -> None:
        for number in range(60):
            await anyio.to_thread.run_sync(subject.person, key, values[number % 2])
            assert not target.unchanged(key)
            assert await target.get(key) == values[number % 2]

    if not subject.exact:
        pytest.skip("this system is asked, or tells by a watch")
    anyio.run(main)


def test_what_somebody_does_in_a_listed_range_is_named_once(subject: Subject) -> None:
    target, prefix = subject.target, subject.prefix

    async def main() -> None:
        assert not await target.changed((), ())  # from now on, ranges are watched
        await target.put(subject.key, subject.first, expected=[None])
        await target.get(subject.key)
        assert subject.other not in await target.list(prefix)
        await target.changed([subject.key], [prefix])
        for value in (subject.others[0], subject.others[1], None):
            await anyio.to_thread.run_sync(subject.person, subject.other, value)
            await named_in(target, (), (prefix,), subject.other)
            assert subject.other not in await target.changed((), [prefix])

    anyio.run(main)


def test_a_range_is_watched_from_its_listing_on(subject: Subject) -> None:
    target, prefix = subject.target, subject.prefix

    async def main() -> None:
        await target.changed((), ())
        await target.list(prefix)
        await anyio.to_thread.run_sync(subject.person, subject.other, subject.others[0])
        await named_in(target, (), (prefix,), subject.other)

    anyio.run(main)


def test_what_happens_outside_a_range_is_not_named_in_it(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        await target.changed((), ())
        await target.list(subject.key)
        await target.list(subject.prefix)
        await anyio.to_thread.run_sync(subject.person, subject.other, subject.others[0])
        deadline = monotonic() + _S_MAX
        named: set[Key] = set()
        while subject.other not in named:
            assert monotonic() < deadline
            assert subject.other not in await target.changed((), [subject.key])
            named |= set(await target.changed((), [subject.prefix]))
            await anyio.sleep(0.005)

    anyio.run(main)


def test_two_targets_over_one_system_notice_each_other(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        colleague = subject.again()
        await target.put(subject.key, subject.first, expected=[None])
        await read_until_settled(target, subject.key)
        await colleague.put(subject.key, subject.second, expected=[subject.first])
        await named_in(target, (subject.key,), (), subject.key)
        assert await target.get(subject.key) == subject.second
        await colleague.close()

    if subject.elsewhere is None:
        pytest.skip("each target is a system of its own")
    anyio.run(main)
