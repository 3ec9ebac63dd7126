"""What the file system says of a file, by which it is known without reading that nobody has changed it.

Every change of a file's content, name or rights gives it a new time of change (ctime), which no program can
set. That time comes from a clock that ticks some hundred times a second: a file that changed within the tick
in which it was read may change once more without any sign. So what was read in the tick of a change is not
settled, and is read again when asked about; git does the same ("racy-git" in its technical documentation).
Writes through a mapping that lasts (mmap) show late.

Sources: stat(3type), "st_ctim"; clock_gettime(2), CLOCK_REALTIME_COARSE.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import OrderedDict
from typing import Final, TypeAlias

from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value, same

Stamp: TypeAlias = tuple[int, ...]
"""Device, inode, size in bytes, times of modification and change in nanoseconds, rights."""

_COARSE: Final = 5 if sys.platform.startswith("linux") else None
_TICK_NS = 20_000_000
_SECOND_NS = 1_000_000_000
COUNT_MAX, BYTES_MAX = 100_000, 32 * 1024**2


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what is something else when the file is."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_mode,
    )


def stamp_at(path: str) -> Stamp | None:
    """Return the stamp of what is at a path, links not followed; None where there is nothing.

    Raises:
        OSError: It cannot be looked at.
    """
    try:
        return stamp_of(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def tick_ns() -> int:
    """Return the time by the clock that stamps files, to be asked before a file is looked at.

    Whatever changes afterwards is stamped with this time or a later one.
    """
    return time.time_ns() - _TICK_NS if _COARSE is None else time.clock_gettime_ns(_COARSE)


def settled(stamp: Stamp | None, now_ns: int) -> bool:
    """Tell whether a change after `now_ns` would give the file another stamp than this."""
    if stamp is None:
        return True
    changed_ns = stamp[4]
    grain_ns = 1
    while changed_ns % (grain_ns * 10) == 0 and grain_ns < _SECOND_NS:
        grain_ns *= 10  # some file systems round times, to two seconds at most
    return changed_ns + (2 * grain_ns if grain_ns == _SECOND_NS else grain_ns) <= now_ns


class CachedRead:
    """One object as it was when it was read or put last.

    Args:
        stamp: What the system said of it.
        value: Its value; `UNLOADED` where there is no room for it.
        sure: Whether it has that value as long as the system says the same of it.
    """

    __slots__ = ("stamp", "sure", "value")

    def __init__(self, stamp: object, value: Value, sure: bool) -> None:
        self.stamp = stamp
        self.value = value
        self.sure = sure


class ReadCache:
    """The objects read or put last, as many as there is room for; used from several threads.

    Args:
        count_max: How many objects.
        bytes_max: How much of their values, roughly. What it said of the others is still known.
    """

    def __init__(self, count_max: int = COUNT_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: OrderedDict[Key, CachedRead] = OrderedDict()
        self._loaded: OrderedDict[Key, int] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Key) -> CachedRead | None:
        """Return what is known of an object."""
        return self._entries.get(key)

    def objects(self) -> list[Key]:
        """Return all objects that anything is known of."""
        with self._lock:
            return list(self._entries)

    def note(self, key: Key, stamp: object, value: Value, *, sure: bool) -> Value:
        """Take note of an object, and return its value: the same data as before where it is equal."""
        with self._lock:
            known = self._entries.pop(key, None)
            if known is not None and same(known.value, value):
                value = known.value
            self._bytes -= self._loaded.pop(key, 0)
            size = _size(value)
            loaded = size <= self._bytes_max // 4
            self._entries[key] = CachedRead(stamp, value if loaded else UNLOADED, sure)
            if loaded:
                self._loaded[key] = size
                self._bytes += size
            while self._bytes > self._bytes_max:
                oldest, size = self._loaded.popitem(last=False)
                self._bytes -= size
                self._entries[oldest].value = UNLOADED
            if len(self._entries) > self._count_max:
                oldest, _ = self._entries.popitem(last=False)
                self._bytes -= self._loaded.pop(oldest, 0)
        return value

    def forget(self, key: Key) -> None:
        """Know no longer how an object was."""
        with self._lock:
            self._entries.pop(key, None)
            self._bytes -= self._loaded.pop(key, 0)

    def clear(self) -> None:
        """Know nothing any more."""
        with self._lock:
            self._entries.clear()
            self._loaded.clear()
            self._bytes = 0


def _size(value: Value) -> int:
    """Return how much room a value takes, as far as it is text: the rest is bounded by number."""
    if type(value) in (str, bytes):
        return len(value)
    if type(value) is dict:
        return 64 + sum(map(_size, value.values()))
    if type(value) is list:
        return 64 + sum(map(_size, value))
    return 32
