"""Throws views away while their commands' results are already on the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from coagent.systems.shell.views.overlay import Overlay


class Clearing:
    """Removes views one after another, in a thread that begins with the first one."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    def remove(self, view: Overlay) -> None:
        """Throw a view away soon; what fails in that goes with this process, or the next."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="coagent-clearing")
        self._thread.submit(view.remove)

    def close(self) -> None:
        """Wait until all views are gone."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()
