"""Several changes at once: all or none where a target promises that."""

from __future__ import annotations

import anyio
import pytest
from subjects import Subject

from coagent.targets import GuardFailed


def test_several_changes_are_made(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        await target.put_many(
            [(subject.key, subject.first, [None]), (subject.other, subject.others[0], [None])]
        )
        found = await target.get_many([subject.key, subject.other])
        assert dict(found) == {subject.key: subject.first, subject.other: subject.others[0]}
        await target.put_many([(subject.key, None, [subject.first])])
        assert await target.get(subject.key) is None

    anyio.run(main)


def test_a_failed_guard_undoes_all_where_changes_are_one_transaction(subject: Subject) -> None:
    target = subject.target

    async def main() -> None:
        await target.put(subject.key, subject.first, expected=[None])
        before = target.snapshot(subject.prefix)
        with pytest.raises(GuardFailed) as caught:
            await target.put_many(
                [(subject.other, subject.others[0], [None]), (subject.key, subject.second, [subject.third])]
            )
        assert caught.value.key == subject.key
        assert caught.value.found == subject.first
        if target.takes_many:
            assert target.snapshot(subject.prefix) == before

    anyio.run(main)
