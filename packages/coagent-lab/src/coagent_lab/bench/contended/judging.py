"""How simulated agents judge notices: perfectly or with a rate of error, and with a second look."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from coagent.agents.repair import Made, Step, Walker
from coagent.errors import CoAgentError
from coagent.protocol.values import same
from coagent.runtime.notices import Notification


@dataclass(frozen=True)
class Judging:
    """How well notices are judged, and how cheaply; each idea can be switched off.

    Args:
        misjudge: Probability that an agent ignores a notice that matters, or repairs for one that does not.
        second_look: Whether a later write is shown once more at the end if its premise moved and nothing was
            done about it.
        short_prompt: Whether an agent that has finished is asked with goal, notices and the calls they
            name alone, instead of with its whole context.
        coalesce: Whether notices that come together are judged by one inference.
        proposals: Whether an amended call that a notice proposes is issued by a plain yes.
        ride_along: Whether amendments whose results are no news are issued together with the next call.
    """

    misjudge: float = 0.0
    second_look: bool = True
    short_prompt: bool = True
    coalesce: bool = True
    proposals: bool = True
    ride_along: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return the parameters by name."""
        return asdict(self)


class JudgingWalker(Walker):
    """Goes through a program as its agent judges the notices on the way."""

    def prepare(self, judging: Judging, randomness: random.Random) -> None:
        """Say how notices are judged; once, before the first action."""
        self._judging = judging
        self._randomness = randomness
        self.unread: list[Notification] = []
        """What has come since the last inference."""
        self.spurious = 0
        """Repairs for nothing that have not been charged yet."""
        self.surprised = False
        """Whether an amendment has returned something else than the call that it replaced."""
        self.false_notices = 0
        """Notices after which nothing had to be changed: neither what was called nor what comes next."""
        self._doubtful: list[tuple[Notification, dict[str, Any]]] = []

    def heed(self, notices: Iterable[Notification], changed: Iterable[str] = ()) -> None:
        """Take notices, and ignore or overrate some of them."""
        notices = list(notices)
        self.unread += notices
        self._doubtful += [(notice, self._arguments(notice)) for notice in notices if notice.dependents]
        misjudged = bool(notices) and self._errs(len(notices))
        was_stale = self._stale
        super().heed(notices, changed)
        if notices and not (self._stale and self._other(following=True)):
            self.false_notices += len(notices)
        if misjudged and not was_stale:
            if self._stale and self.matters():
                self._stale = False  # it matters, and the agent does not see it
            else:
                self.spurious += 1

    async def _amend(self, made: Made, asked: Step) -> None:
        before = self._returned(made)
        await super()._amend(made, asked)
        self.surprised |= not same(before, self._returned(made))

    def _returned(self, made: Made) -> Any:
        try:
            return self._result(made)
        except CoAgentError as failure:
            return str(failure)

    def second_look(self) -> list[Notification]:
        """Return, once each, the notices of which a dependent write still stands as it was."""
        doubtful, self._doubtful = self._doubtful, []
        return [notice for notice, before in doubtful if self._untouched(before)]

    def look_again(self, notices: list[Notification]) -> None:
        """Judge notices a second time."""
        self.unread += notices
        if not self._errs(len(notices)):
            self._stale = self.matters()
        elif not self.matters():
            self.spurious += 1

    def matters(self) -> bool:
        """Tell whether the program, run over what its calls return now, would ask for anything else."""
        return self._other(following=False)

    def _other(self, *, following: bool) -> bool:
        """Tell the same; with `following`, also whether what it asks for next is another call."""
        running = self._program()
        try:
            return self._differs(running, following)
        finally:
            running.close()

    def _differs(self, running: Generator[Any, Any, Any], following: bool) -> bool:
        result: Any = None
        failure: CoAgentError | None = None
        for made in self.made:
            try:
                asked = running.send(result) if failure is None else running.throw(failure)
            except (StopIteration, CoAgentError):
                return True
            if asked.tool != made.tool or not same(dict(asked.arguments), dict(made.arguments)):
                return True
            if made.call_id is not None and not self._right(made, asked):
                return True
            result, failure = None, None
            try:
                result = self._result(made)
            except CoAgentError as error:
                failure = error
        try:
            coming = running.send(result) if failure is None else running.throw(failure)
        except (StopIteration, CoAgentError):
            return self._asked is not None  # it would have ended here, and has asked for more
        if self._asked is None:
            return True  # it would go on, and has ended
        next_one = self._asked
        return following and (
            coming.tool != next_one.tool or not same(dict(coming.arguments), dict(next_one.arguments))
        )

    def _errs(self, notices: int) -> bool:
        rate = self._judging.misjudge
        return rate > 0 and any(self._randomness.random() < rate for _ in range(notices))

    def _arguments(self, notice: Notification) -> dict[str, Any]:
        """Return what the dependent writes of a notice look like now."""
        standing: dict[str, Made] = {made.call_id: made for made in self.made if made.call_id is not None}
        return {one: standing[one].arguments for one in notice.dependents if one in standing}

    def _untouched(self, before: dict[str, Any]) -> bool:
        standing = {made.call_id: made.arguments for made in self.made}
        return any(one in standing and standing[one] is arguments for one, arguments in before.items())
