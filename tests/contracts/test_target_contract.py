"""What every target owes the runtime, whatever it stands for: objects read, listed, put with a guard."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from subjects import Subject

from coagent.protocol.values import UNLOADED
from coagent.targets import GuardFailed


def test_an_object_is_made_changed_and_deleted(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        assert await target.get(key) is None
        found: Any = None
        for value in (subject.first, subject.second, subject.third, None):
            await target.put(key, value, expected=[found])
            found = await target.get(key)
            assert found == value
            assert type(found) is type(value)

    anyio.run(main)


def test_a_put_is_idempotent(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        for value in (subject.first, subject.second, None):
            await target.put(key, value, expected=[await target.get(key)])
            await target.put(key, value, expected=[subject.third])
            await target.put(key, value, expected=[])
            assert await target.get(key) == value

    anyio.run(main)


def test_any_of_the_expected_values_will_do(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        await target.put(key, subject.first, expected=[subject.third, None, subject.second])
        await target.put(key, subject.second, expected=[None, subject.first])
        assert await target.get(key) == subject.second

    anyio.run(main)


def test_a_failed_guard_changes_nothing_and_says_what_was_found(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        with pytest.raises(GuardFailed) as caught:
            await target.put(key, subject.second, expected=[subject.first])
        assert caught.value.key == key
        assert caught.value.found is None
        assert await target.get(key) is None
        await target.put(key, subject.first, expected=[None])
        before = target.snapshot(subject.prefix)
        changes = [(subject.second, [None]), (None, [subject.third]), (subject.third, [])]
        for wanted, expected in changes:
            with pytest.raises(GuardFailed) as caught:
                await target.put(key, wanted, expected=expected)
            assert caught.value.found == subject.first
            assert target.snapshot(subject.prefix) == before

    anyio.run(main)


def test_deleting_what_is_absent_is_no_change(subject: Subject) -> None:
    async def main() -> None:
        before = subject.target.snapshot(subject.prefix)
        await subject.target.put(subject.key, None, expected=[None])
        await subject.target.put(subject.key, None, expected=[subject.first])
        assert subject.target.snapshot(subject.prefix) == before

    anyio.run(main)


def test_a_listing_has_what_exists(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        before = set(await target.list(subject.prefix))
        await target.put(subject.key, subject.first, expected=[None])
        listing = await target.list(subject.prefix)
        assert set(listing) - before == {subject.key}
        assert listing[subject.key] in (UNLOADED, subject.first)
        assert subject.key in await target.list(subject.key[: subject.key.index(":") + 1])
        assert await target.list(subject.other) == {}
        await target.put(subject.key, None, expected=[subject.first])
        assert set(await target.list(subject.prefix)) == before

    anyio.run(main)


def test_several_objects_are_read_at_once(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        await target.put(subject.key, subject.second, expected=[None])
        found = await target.get_many([subject.key, subject.other])
        assert dict(found) == {subject.key: subject.second, subject.other: None}
        assert dict(await target.get_many([])) == {}

    anyio.run(main)


def test_a_snapshot_is_a_copy_and_sorted(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        await target.put(subject.key, subject.second, expected=[None])
        snapshot = target.snapshot(subject.prefix)
        assert list(snapshot) == sorted(snapshot)
        assert snapshot[subject.key] == subject.second
        if isinstance(snapshot[subject.key], dict):
            snapshot[subject.key].clear()
        assert target.snapshot(subject.prefix)[subject.key] == subject.second
        assert target.snapshot()[subject.key] == subject.second

    anyio.run(main)


def test_names_are_canonical_once_and_for_all(subject: Subject) -> None:
    target = subject.target
    for name in (subject.key, subject.prefix, subject.key[: subject.key.index(":") + 1]):
        assert target.canonical(name) == name


def test_what_is_admitted_is_what_is_found(subject: Subject) -> None:
    target, key = subject.target, subject.key

    async def main() -> None:
        for value in (subject.first, subject.second, subject.third, None):
            before = target.snapshot(subject.prefix)
            admitted = await target.admit(key, value)
            assert target.snapshot(subject.prefix) == before
            await target.put(key, admitted, expected=[await target.get(key)])
            assert await target.get(key) == admitted

    anyio.run(main)
