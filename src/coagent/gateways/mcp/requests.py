"""One request is done once, however often a client sends it because the answer was lost.

Source: Model Context Protocol specification, "Overview": within a session, no request id is used again.
Another server knows of no requests. It knows the last call of an agent that it takes up: where just that call
comes first, it is taken for the same one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

import anyio

from coagent.protocol.values import same
from coagent.runtime.outcomes import Issued, Outcome
from coagent.runtime.session import AgentSession

T = TypeVar("T")
_KEPT_MAX = 256


def is_again(last: Issued, tool: str, arguments: Mapping[str, Any]) -> bool:
    """Tell whether a call is the last one of its agent once more, and should not be made twice.

    Args:
        last: The last one.
        tool: What is called.
        arguments: With what.
    """
    return last.acted and last.effective and last.tool == tool and same(dict(last.arguments), dict(arguments))


async def answered_before(session: AgentSession, last: Issued) -> Outcome:
    """Return what a call of an agent was answered, or would have been, with what has come since."""
    notices = await session.notifications()
    if last.staged:
        return Outcome("staged", last.call_id, notices, "staged")
    return Outcome(session.result(last.call_id), last.call_id, notices)


class _Request(Generic[T]):
    def __init__(self, content: object) -> None:
        self.content = content
        self.answered = anyio.Event()
        self.answers: list[T] = []


class Requests(Generic[T]):
    """The last requests, and what they were answered."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, _Request[T]] = OrderedDict()

    async def once(self, name: Hashable | None, content: object, act: Callable[[], Awaitable[T]]) -> T:
        """Answer a request; one that has been made before gets the answer that it got then.

        Args:
            name: What no other request is known by; None where nothing tells it from others.
            content: What it asks for: a name that comes with something else is another request's.
            act: Does it.
        """
        if name is None:
            return await act()
        known = self._known.get(name)
        while known is not None and known.content == content:
            await known.answered.wait()
            if known.answers:
                return known.answers[0]
            known = self._known.get(name)  # it has come to nothing, and somebody may be trying it again
        made = self._known[name] = _Request(content)
        self._known.move_to_end(name)
        while len(self._known) > _KEPT_MAX:
            self._known.popitem(last=False)
        try:
            answer = await act()
            made.answers.append(answer)
            return answer
        finally:
            if not made.answers and self._known.get(name) is made:
                del self._known[name]
            made.answered.set()
