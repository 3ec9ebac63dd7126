"""Work that may take long, in a thread: the event loop stays free, and a cancelled task ends at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

_Result = TypeVar("_Result")


async def off_loop(
    work: Callable[[threading.Event], _Result], interrupt: Callable[[], None] = lambda: None
) -> _Result:
    """Run a function in a thread and return what it returns.

    Args:
        work: Gets an event that is set when nobody waits for the result any more: the task was cancelled, by
            Ctrl-C perhaps. It should look at the event now and then, and end; what it returns is dropped.
        interrupt: Called then as well, in the thread of the event loop: ends what does not look at the event.
    """
    stopped = threading.Event()
    try:
        return await anyio.to_thread.run_sync(work, stopped, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        stopped.set()
        interrupt()
        raise
