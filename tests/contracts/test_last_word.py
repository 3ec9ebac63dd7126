"""A put asks whether it is still wanted once nobody can come between, and where that fails, it asks again."""

from __future__ import annotations

import anyio
import pytest
from subjects import Subject

from coagent.targets.base import NotWanted, last_word_of
from coagent.targets.memory import Memory


class Says:
    """Has the last word of puts.

    Args:
        words: What it answers, one after another.
    """

    def __init__(self, *words: bool) -> None:
        self.words = list(words)

    def at_once(self) -> bool | None:
        return None

    async def ask(self) -> bool:
        return self.words.pop(0)


@pytest.fixture
def asking(subject: Subject) -> Subject:
    if isinstance(subject.target, Memory):
        pytest.skip("each process has its own")
    return subject


def test_what_is_not_wanted_any_more_is_not_put(asking: Subject) -> None:
    target = asking.target
    assert target.asks_last, "or what somebody wants back is taken for what was put too late"

    async def main() -> None:
        for held, wanted in ((None, asking.first), (asking.first, asking.second), (asking.first, None)):
            await target.put(asking.key, held, expected=[None, asking.first])
            with last_word_of(Says(False)), pytest.raises(NotWanted):
                await target.put(asking.key, wanted, expected=[held])
            assert await target.get(asking.key) == held
            with last_word_of(Says(True)):
                await target.put(asking.key, wanted, expected=[held])
            assert await target.get(asking.key) == wanted
            await target.put(asking.key, asking.first, expected=[wanted])

    anyio.run(main)


def test_nothing_is_asked_outside(asking: Subject) -> None:
    says = Says(False)

    async def main() -> None:
        with last_word_of(says):
            pass
        await asking.target.put(asking.key, asking.first, expected=[None])

    anyio.run(main)
    assert says.words == [False]
