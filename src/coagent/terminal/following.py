"""Reads a domain's log in a thread of its own, so that the terminal never waits for it, nor any agent.

What it finds comes as news through a short queue: where the terminal is slower than the log, reading waits.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Full, Queue, SimpleQueue
from typing import Any

from coagent.errors import CoAgentError, LogError
from coagent.log.base import NothingYet
from coagent.log.urls import is_postgres, path_of
from coagent.masking.mask import Mask
from coagent.story.steps import Story
from coagent.terminal.board import Now

_LOOK_S = 0.2
_AGAIN_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""After how long a log that cannot be read is tried again, and again."""
_STAND_S = 1.0
_STAND_SHARE = 5
"""Finding out where agents stand takes at most one part of so many of the time."""
_AT_ONCE = 500
_QUEUED_MAX = 4
_VALUES_MAX = 20
_REMOVED = "The log has been removed"


@dataclass(frozen=True)
class News:
    """What has become known.

    Args:
        steps: New ones.
        now: Where agents stand, where that was looked at.
        header: The story's, where it begins, or begins anew: what was known before is over.
        waiting: Why there is nothing yet.
        gone: Why the log cannot be read any more; what was read stays.
        read: How many records have been read.
        last: How many there are.
    """

    steps: list[dict[str, Any]] = field(default_factory=list)
    now: Now | None = None
    header: dict[str, Any] | None = None
    waiting: str = ""
    gone: str = ""
    read: int = 0
    last: int = 0


class _Stopped(Exception):
    """The terminal is closed."""


class Following:
    """Follows a log.

    Args:
        url: The log.
        mask: Of the output that it is for.
    """

    def __init__(self, url: str, mask: Mask) -> None:
        self._url, self._mask = url, mask
        self._news: Queue[News] = Queue(_QUEUED_MAX)
        self._asked: SimpleQueue[tuple[int, str, Future[dict[str, Any]]]] = SimpleQueue()
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._story: Story | None = None
        self._file: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._run, name="coagent-watch", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and release the log."""
        self._stopped.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def news(self) -> News | None:
        """Return the next news; None where there is none right now."""
        try:
            return self._news.get_nowait()
        except Empty:
            return None

    def ask(self, number: int, kind: str) -> Future[dict[str, Any]]:
        """Read a whole step, with the values that it wrote under `values`.

        Args:
            number: Of the step.
            kind: Of the step, as several may have one number.
        """
        answer: Future[dict[str, Any]] = Future()
        self._asked.put((number, kind, answer))
        self._wake.set()
        return answer

    # ---- in the thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        try:
            while True:
                try:
                    self._follow()
                except NothingYet as nothing:
                    failures = 0
                    if self._story is None:
                        self._tell(News(waiting=f"{nothing.cause[:1].upper()}{nothing.cause[1:]}."))
                    else:
                        self._tell(News(gone=f"{_REMOVED}."))
                    self._pause(_LOOK_S)
                except Exception as error:  # whatever is wrong with a log, what was read of it stays shown
                    self._tell(News(gone=_why(error)))
                    until = time.monotonic() + _AGAIN_S[min(failures, len(_AGAIN_S) - 1)]
                    failures += 1
                    while (left := until - time.monotonic()) > 0:
                        self._pause(left)
        except _Stopped:
            pass
        finally:
            self._end()

    def _follow(self) -> None:
        """Read a log from its beginning, and then what comes, for ever."""
        story = Story(self._url, self._mask)
        try:
            # What was shown stays until all of the log can be read again.
            while self._story is not None and story.advance(_AT_ONCE):
                self._pause(0)
        except BaseException:
            story.close()
            raise
        old, self._story, self._file = self._story, story, self._identity()
        if old is not None:
            old.close()
        self._tell(News(header=story.header, read=story.watch.number, last=story.watch.last))
        sent, stood, cost, behind = 0, 0.0, 0.0, True
        while True:
            count = story.advance(_AT_ONCE)
            while sent < len(story):
                steps = story.between(sent, min(sent + _AT_ONCE, len(story)))
                sent += len(steps)
                self._tell(News(steps, read=story.watch.number, last=story.watch.last))
                behind = True
            if count:
                self._answer()
                continue
            self._still_there()
            began = time.monotonic()
            if (behind and began - stood > cost * _STAND_SHARE) or began - stood > max(
                _STAND_S, cost * _STAND_SHARE
            ):
                watch = story.watch
                now = Now(watch.agents(), watch.stuck(), watch.unknown())
                stood, behind = time.monotonic(), False
                cost = stood - began
                self._tell(News(now=now, read=watch.number, last=watch.number))
            self._pause(_LOOK_S)

    def _identity(self) -> tuple[int, int] | None:
        if is_postgres(self._url):
            return None
        try:
            found = Path(path_of(self._url)).stat()
        except FileNotFoundError:
            raise LogError(_REMOVED) from None
        return found.st_dev, found.st_ino

    def _still_there(self) -> None:
        """See that a file is the one that was opened: a reader would not notice that it was removed."""
        if self._file is not None and self._identity() != self._file:
            raise LogError("another log has taken the place of this one")

    def _tell(self, news: News) -> None:
        while not self._stopped.is_set():
            try:
                self._news.put(news, timeout=_LOOK_S)
                return
            except Full:
                self._answer()
        raise _Stopped

    def _pause(self, seconds: float) -> None:
        """Wait, unless something is asked for."""
        self._wake.wait(seconds)
        self._wake.clear()
        self._answer()
        if self._stopped.is_set():
            raise _Stopped

    def _answer(self) -> None:
        while True:
            try:
                number, kind, answer = self._asked.get_nowait()
            except Empty:
                return
            try:
                answer.set_result(self._whole(number, kind))
            except Exception as error:
                answer.set_exception(error)

    def _whole(self, number: int, kind: str) -> dict[str, Any]:
        story = self._story
        found = [] if story is None else story.steps(number - 1, 1)
        step = next(
            (candidate for candidate in found if candidate["n"] == number and candidate["kind"] == kind), None
        )
        if story is None or step is None:
            raise LookupError(f"step {number} is not there any more")
        numbers = [write["v"] for write in step.get("writes", ()) if write.get("v") is not None][:_VALUES_MAX]
        return {**step, "values": {v: story.values.shown(v) for v in numbers}}

    def _end(self) -> None:
        if self._story is not None:
            self._story.close()
        while True:
            try:
                _, _, answer = self._asked.get_nowait()
            except Empty:
                return
            answer.set_exception(LookupError("the log has been closed"))


def _why(error: Exception) -> str:
    if isinstance(error, CoAgentError):
        return " ".join(
            filter(None, (f"{error.cause[:1].upper()}{error.cause[1:].rstrip('.')}.", error.cure))
        )
    if isinstance(error, OSError):
        return f"The log cannot be read: {error.strerror or error}."
    return f"The log cannot be read: {error or type(error).__name__}."
