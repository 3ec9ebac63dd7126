"""Stories as they go on: who looks at one is woken when there is more."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from coagent.errors import LogError
from coagent.story.steps import Story

_AT_ONCE = 200
_LOOK_S = 0.2


class Stories:
    """Follows the logs of some stories; nothing of it changes them.

    Args:
        stories: One, or two that are to be compared.
    """

    def __init__(self, stories: Sequence[Story]) -> None:
        self.all = list(stories)
        self.gone: dict[int, str] = {}
        """Why a story cannot go on, by its number."""
        self._more = anyio.Event()

    async def more(self, seconds: float) -> None:
        """Return when there is more of any story, or after so many seconds."""
        with anyio.move_on_after(seconds):
            await self._more.wait()

    async def follow(self) -> None:
        """Take what happens, until cancelled."""
        while True:
            if not await self._advance():
                await anyio.sleep(_LOOK_S)

    async def _advance(self) -> bool:
        """Take a little of each story, as requests come meanwhile; tells whether there was any."""
        any_more = False
        for number, story in enumerate(self.all):
            if number in self.gone:
                continue
            try:
                count = story.advance(_AT_ONCE)
            except LogError as error:
                self.gone[number] = " ".join(filter(None, (f"{error.cause}.", error.cure)))
                count = 1
            any_more = any_more or count > 0
            await anyio.lowlevel.checkpoint()
        if any_more:
            self._more.set()
            self._more = anyio.Event()
        return any_more

    def close(self) -> None:
        """Release the logs."""
        for story in self.all:
            story.close()
