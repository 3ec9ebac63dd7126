"""When each version of a file was written: make, cargo, tsc and their like compare that, and look no further.

A live file has the time at which it was put. Of a version that others have replaced, and that earlier agents
still see, the time is kept here, so that their views show it and what was built from it stays up to date.

What a command has built from one version of a file would seem up to date to a later agent who has written
another one before, and in a folder that is left out of the workspace (`target`), which is one for all, to
whoever sees an older one. So to them each other version counts as written just after that build:

    main.c  v1 written at 1, v2 at 5; at 7 somebody who sees v2 builds target/prog
    who sees v1 finds main.c of 7+, newer than target/prog, and builds; after that, so does who sees v2

Python compares the second and the size of a source, for equality, with those of what it has compiled. So two
versions of a source that are as long are never of one second, whoever sees them, nor of that of a version
which an agent or a person may have run already.

Files that are built themselves, and are part of the workspace, are not seen so: their versions are each
agent's own. They keep their times also where they are put back, so that what was stale does not seem fresh;
and one whose time is not known counts as old. What two agents have built may be the same to the byte, such as
a stamp, and each of them has a time of its own:

    A builds .stamp (empty) at 3, B edits main.c at 5 and builds .stamp (empty) at 7
    A finds .stamp of 3, B that of 7
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from coagent.private import open_private
from coagent.protocol.calls import Position
from coagent.protocol.keys import Key

_VERSIONS_MAX: Final = 100_000
_FILE_BYTES_MAX: Final = 8 * 1024**2
_SAID_MAX: Final = 10_000
_SECONDS_MAX: Final = 1_000
_SECOND_NS: Final = 10**9
_ABSENT: Final = ""
COMPILED: Final = (".py", ".pyw")
"""The names of sources that Python compiles."""
JUST_AFTER_NS: Final = 10**6
"""How much later a time must be to be later for all: Node, and so tsc, knows milliseconds only."""
_Writer: TypeAlias = tuple[int, ...]
_ANYBODY: Final[_Writer] = ()
"""Instead of the position of a call: whoever has put a version last."""
_LONG_AGO_NS: Final = 10**9
"""A second after the epoch; zero has meanings of its own."""
SHARED: Final = -1
"""Instead of the rank of an agent: what all see."""


class VersionTimes:
    """The times of the versions of one workspace's files; used from several threads, and processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: OrderedDict[tuple[str, str], dict[_Writer, int]] = OrderedDict()  # version, writer: when
        self._built: OrderedDict[str, dict[tuple[str, int], int]] = (
            OrderedDict()
        )  # version seen, by whom: when
        self._products: OrderedDict[str, None] = OrderedDict()
        self._said: dict[str, tuple[str, int]] = {}
        self._ahead: dict[str, tuple[str, int]] = {}  # what was shown before it was put
        self._seconds: OrderedDict[tuple[str, str], dict[int, str]] = OrderedDict()  # path and size: versions
        self._file: Path | None = None
        self._read = (0, 0)  # inode of the file, and how much of it is known
        self._unkept: list[str] = []

    def keep_in(self, file: Path) -> None:
        """Keep them in a file, for other processes and later ones, as soon as its folder is there."""
        with self._lock:
            self._file = file
            with contextlib.suppress(OSError):  # there is none yet
                if file.stat().st_size > _FILE_BYTES_MAX:
                    kept = file.read_bytes()[-_FILE_BYTES_MAX // 2 :].partition(b"\n")[2]
                    half = file.with_name(f"{file.name}.{os.getpid()}")
                    os.close(open_private(half))
                    half.write_bytes(kept)
                    os.replace(half, file)

    # ---- what happens --------------------------------------------------------------------------------------

    def note_written(self, path: str, content: bytes, time_ns: int) -> None:
        """Take note that a version of a file is, or was, of a time.

        Args:
            path: The file, as a relative path.
            content: The version.
            time_ns: In nanoseconds since the epoch.
        """
        with self._lock:
            if self._times.get((path, name := _name(content)), {}).get(_ANYBODY) != time_ns:
                self._note("written", path, name, time_ns, _ANYBODY)
                self._keep()

    def say(self, files: Mapping[str, tuple[bytes, int]], position: Position) -> None:
        """Say of what time versions are to be, once they are put, and while others' are in their place.

        Args:
            files: Content and time, in nanoseconds since the epoch, by relative path.
            position: Of the call that has written them.
        """
        with self._lock:
            for path, (content, time_ns) in files.items():
                self._said.pop(path, None)
                self._said[path] = (name := _name(content)), time_ns
                self._note("written", path, name, time_ns, position)
            while len(self._said) > _SAID_MAX:
                self._said.pop(next(iter(self._said)))
            self._keep()

    def note_products(self, paths: Iterable[str]) -> None:
        """Take note that files are built from others, so that a version put back is no newer than it was."""
        with self._lock:
            for path in paths:
                if path not in self._products:
                    self._note("product", path, _ABSENT, 0, SHARED)
            self._keep()

    def note_build(self, seen: Mapping[str, bytes | None], end_ns: int, rank: int) -> None:
        """Take note that something was built from versions that not all see.

        Args:
            seen: The versions, by relative path; None where the file was not there.
            end_ns: When the build has ended, in nanoseconds since the epoch.
            rank: Of the agent: those before it do not see what it has built; `SHARED` where all do.
        """
        with self._lock:
            for path, content in seen.items():
                if path not in self._products:
                    self._note("built", path, _ABSENT if content is None else _name(content), end_ns, rank)
            self._keep()

    def is_product(self, path: str) -> bool:
        """Tell whether a file is known to be built from others."""
        with self._lock:
            return path in self._products

    # ---- what follows --------------------------------------------------------------------------------------

    def when_shown(
        self,
        path: str,
        content: bytes,
        live_ns: int | None,
        now_ns: int,
        *,
        rank: int,
        writers: Mapping[Key, Position | None],
    ) -> tuple[int, int]:
        """Return of what time a version is for an agent, and is itself, which orders those of one time.

        Args:
            path: The file.
            content: The version.
            live_ns: Of what time the live file is, if that has the same content.
            now_ns: Of what time a file is that is written now.
            rank: Of the agent.
            writers: Where the versions were written that it sees, as far as by calls at work.
        """
        with self._lock:
            self._catch_up()
            name = _name(content)
            time_ns = self._when(path, name, writers.get(Key(f"file:{path}")))
            if time_ns is None and live_ns is None and path in self._products:
                return _LONG_AGO_NS, _LONG_AGO_NS  # it is built once more, at worst
            if time_ns is None:
                time_ns = now_ns if live_ns is None else live_ns
                self._note("written", path, name, time_ns, _ANYBODY)
                self._ahead[path] = name, time_ns
                while len(self._ahead) > _SAID_MAX:
                    self._ahead.pop(next(iter(self._ahead)))
                self._keep()
            shown_ns = max(time_ns, self._not_before(path, name, rank))
            return self._in_second_of_its_own(path, name, shown_ns), time_ns

    def when_put(self, path: str, content: bytes) -> int | None:
        """Return of what time a version is to be that is put now; None for the present.

        What was said holds for one put: whoever writes the same later has changed the file then.
        """
        with self._lock:
            name = _name(content)
            said, ahead = self._said.pop(path, None), self._ahead.pop(path, None)
            if said is not None and said[0] == name:
                return said[1]
            self._catch_up()
            if ahead is not None and ahead[0] == name:  # calls after it have built with it already
                return max(ahead[1], self._not_before(path, name, sys.maxsize))
            times = self._times.get((path, name)) if path in self._products else None
            return min(times.values()) if times else None

    def _when(self, path: str, name: str, writer: Position | None) -> int | None:
        """Return when a version was written, by a call if that is known, or by whoever put it last."""
        times = self._times.get((path, name), {})
        return times.get(_ANYBODY) if writer is None else times.get(writer, times.get(_ANYBODY))

    def in_second_of_its_own(self, path: str, content: bytes, time_ns: int) -> int:
        """Return of what time a version is to be that would be of this one, for Python's sake.

        Args:
            path: The file.
            content: The version.
            time_ns: In nanoseconds since the epoch.
        """
        with self._lock:
            self._catch_up()
            return self._in_second_of_its_own(path, _name(content), time_ns)

    def found_of(self, path: str, content: bytes, time_ns: int) -> None:
        """Take note that a version was of a time, whatever others are of that second."""
        with self._lock:
            self._take_second(path, _name(content), time_ns)

    def _in_second_of_its_own(self, path: str, name: str, time_ns: int) -> int:
        if not path.endswith(COMPILED):
            return time_ns
        known = self._seconds.get((path, _size(name)), {})
        second = time_ns // _SECOND_NS
        while known.get(second, name) != name:
            second += 1
        time_ns = max(time_ns, second * _SECOND_NS)
        self._take_second(path, name, time_ns)
        return time_ns

    def _take_second(self, path: str, name: str, time_ns: int) -> None:
        if path.endswith(COMPILED):
            known = self._seconds.setdefault((path, _size(name)), {})
            self._seconds.move_to_end((path, _size(name)))
            second = time_ns // _SECOND_NS
            known[second] = name if known.pop(second, name) == name else _ABSENT  # of two: for no third one
            while len(known) > _SECONDS_MAX:
                known.pop(next(iter(known)))

    def _not_before(self, path: str, name: str, rank: int) -> int:
        # An agent that sees v1 of main.c must find it newer than a program that was built from v2 at 7 (the
        # example above): so v1 counts as of 7+. Builds from v1 itself make it no newer, and neither do those
        # of later agents, which are not in its view.
        built = self._built.get(path, {}).items()
        others = (time_ns for (seen, builder), time_ns in built if seen != name and builder <= rank)
        return max((time_ns + JUST_AFTER_NS for time_ns in others), default=0)

    # ---- keeping -------------------------------------------------------------------------------------------

    def _note(self, kind: str, path: str, name: str, time_ns: int, by: int | _Writer) -> None:
        self._learn(kind, path, name, time_ns, by)
        if self._file is not None:
            self._unkept.append(json.dumps([kind, path, name, time_ns, by]))

    def _learn(self, kind: str, path: str, name: str, time_ns: int, by: int | _Writer) -> None:
        if isinstance(by, tuple):
            self._times.setdefault((path, name), {})[by] = time_ns
            self._times.move_to_end((path, name))
            self._take_second(path, name, time_ns)
        elif kind == "product":
            self._products[path] = None
        else:
            self._built.setdefault(path, {})[name, by] = time_ns
            self._built.move_to_end(path)
        for kept in (self._times, self._built, self._products, self._seconds):
            while len(kept) > _VERSIONS_MAX:
                kept.popitem(last=False)

    def _keep(self) -> None:
        if not self._unkept or self._file is None or not self._file.parent.is_dir():
            return
        lines, self._unkept = self._unkept, []
        # Without the file, what is not known counts as new: more is built than must be.
        with contextlib.suppress(OSError):
            descriptor = open_private(self._file, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
            finally:
                os.close(descriptor)

    def _catch_up(self) -> None:
        """Learn what other processes have kept."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            status = self._file.stat()
            inode, known = self._read
            if (inode, known) == (status.st_ino, status.st_size):
                return
            with open(self._file, "rb") as file:
                file.seek(known if inode == status.st_ino and known <= status.st_size else 0)
                text = file.read()
                whole = text[: text.rfind(b"\n") + 1]
                self._read = status.st_ino, file.tell() - len(text) + len(whole)
            for line in whole.splitlines():
                with contextlib.suppress(ValueError, TypeError):  # half a line of a process that died
                    kind, path, name, time_ns, by = json.loads(line)
                    writer = tuple(map(int, by)) if kind == "written" else int(by)
                    self._learn(str(kind), str(path), str(name), int(time_ns), writer)


def touch(place: str, time_ns: int) -> os.stat_result | None:
    """Make a file one of a later time, unless it is already; returns what it was, None where it stays.

    Args:
        place: Its absolute path.
        time_ns: In nanoseconds since the epoch.
    """
    with contextlib.suppress(OSError):
        status = os.lstat(place)
        if status.st_mtime_ns < time_ns:
            os.utime(place, ns=(status.st_atime_ns, time_ns), follow_symlinks=False)
            return status
    return None


def _size(name: str) -> str:
    return name.partition("-")[2]


def _name(content: bytes) -> str:
    return f"{hashlib.blake2b(content, digest_size=12).hexdigest()}-{len(content):x}"
