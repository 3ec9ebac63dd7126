"""Work that may take long, in a thread: the event loop stays free, and a cancelled task ends at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.lowlevel
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


async def off_loop_to_its_end(work: Callable[[], _Result], interrupt: Callable[[], None]) -> _Result:
    """Run a function in a thread and return what it returns; also a cancelled task waits for its end.

    For work that leaves something to clear away.

    Args:
        work: The function.
        interrupt: Called when the task is cancelled, in the thread of the event loop: has the work end soon.
    """
    results: list[_Result] = []
    failures: list[BaseException] = []
    ended = interrupted = False

    async def interrupt_when_cancelled() -> None:
        nonlocal interrupted
        try:
            await anyio.sleep_forever()
        finally:
            if not ended:
                interrupted = True
                interrupt()

    async with anyio.create_task_group() as group:
        group.start_soon(interrupt_when_cancelled)
        with anyio.CancelScope(shield=True):
            try:
                results.append(await anyio.to_thread.run_sync(work))
            except BaseException as failure:  # kept from the group, which would wrap it
                failures.append(failure)
        ended = True
        group.cancel_scope.cancel()
    if interrupted:  # how the work has ended then says nothing about it
        await anyio.lowlevel.checkpoint()
    if failures:
        raise failures[0]
    return results[0]
