"""Hears of the files that a command looks up, where there is no C compiler for `trace.c`; it sees the same.

`launcher.py` loads it by its path, so it uses the standard library only. Sources: seccomp_unotify(2),
process_vm_readv(2), path_resolution(7).
"""

import ctypes
import fcntl
import os
import select
import stat
import struct
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_O_PATH, _O_TRUNC, _O_EXCL, _O_WRONLY = 0o10000000, 0o1000, 0o200, 1
_LINKS_MAX = 40  # path_resolution(7)
_RENAME_EXCHANGE = 2


class _Range(ctypes.Structure):
    """A range of memory (struct iovec)."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_ONE, _NONE = ctypes.c_ulong(1), ctypes.c_ulong(0)


class Trace:
    """Which paths of the tree are looked up.

    Args:
        root: The tree.
        apart: A folder that it is in, if that is in a temporary one.
        temporary: The temporary folders: what is looked up in them is noted as the folder alone.
        processes: A descriptor of a `/proc` that shows the command's processes.
        calls: Where each system call has its paths, as in `lookups.py`.
        begins: Called before a folder is moved, with the paths that it has and will have.
    """

    def __init__(
        self,
        root: str,
        apart: str,
        temporary: "list[str]",
        processes: int,
        calls: dict,  # type: ignore[type-arg]
        begins: "Callable[[str, str], None]",
    ) -> None:
        self.seen: dict[str, int] = {}
        self.complete = True
        self._root = root
        self._inside = root + "/"
        self._apart = apart + "/"
        self._temporary = temporary
        self._processes = processes
        self._calls = calls
        self._begins = begins
        self._known: dict[str, int] = {}
        self._remembers = True  # until a link may be made, which leads known paths elsewhere
        self._buffer = ctypes.create_string_buffer(256)
        self._here, self._there = _Range(ctypes.addressof(self._buffer), 256), _Range(0, 0)

    def follow(self, listener: int) -> None:
        """Hear of the calls until nobody is left who could make one."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        buffer = bytearray(80)
        while True:
            for _, event in poll.poll():
                if not event & select.POLLIN:
                    os.close(listener)
                    return
                buffer[:] = bytes(80)
                try:
                    fcntl.ioctl(listener, _RECEIVE, buffer)
                except OSError:
                    continue  # it was killed before we heard of it
                call = struct.unpack("=QIIiIQ6Q", buffer)
                try:
                    self._note(call[1], call[3], call[6:])
                except OSError:
                    self.complete = False
                try:
                    fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", call[0], 0, 0, 1))
                except OSError:
                    continue

    def _note(self, pid: int, number: int, arguments: tuple) -> None:  # type: ignore[type-arg]
        places = self._calls.get(number)
        if places is None:
            self.complete = False  # another architecture's, or it begins to share memory
            return
        pairs, kind = places
        seen = 1
        if kind == "meddles":
            self.complete = False
            return
        if kind in ("link", "move", "move2"):
            self._remembers = False
        elif kind:
            flags = arguments[pairs[0][1] + 1]
            if kind == "open2":
                flags = struct.unpack("=Q", self._memory(pid, flags, 8))[0]
            if flags & 3 == _O_WRONLY and flags & _O_TRUNC and not flags & _O_EXCL:
                seen = 4
            elif not flags & _O_PATH:
                seen = 2
        ends, given, wholes = [], [], []
        for folder, at in pairs:
            path = self._text(pid, arguments[at])
            given.append((arguments[at], path))
            if not path:
                continue
            if path[0] != "/":
                descriptor = -100 if folder < 0 else ctypes.c_int(arguments[folder] & 0xFFFFFFFF).value
                where = "cwd" if descriptor == -100 else f"fd/{descriptor}"
                path = f"{os.readlink(f'{pid}/{where}', dir_fd=self._processes)}/{path}"
            if self._remembers and self._known.get(path, 0) & seen:
                continue
            self._known[path] = self._known.get(path, 0) | seen
            real = self._resolve(path)
            self._saw(real, seen)
            if real.startswith("/proc/") and real.endswith("/mem"):
                self.complete = False  # the memory of a process, which may be written to there
            wholes.append((path, real))
            ends.append((real, _is_folder(path)) if kind.startswith("move") else (real, False))
        if len(ends) == 2 and ends[0][1]:
            self._begins(ends[0][0], ends[1][0])
        if len(ends) == 2 and ends[1][1] and kind == "move2" and arguments[4] & _RENAME_EXCHANGE:
            self._begins(ends[1][0], ends[0][0])
        if any(self._text(pid, address) != path for address, path in given):
            self.complete = False  # the kernel reads it once more, and somebody is writing to it
        if not self._remembers and any(self._resolve(path) != real for path, real in wholes):
            self.complete = False  # a link on its way is another one by now

    def _saw(self, real: str, seen: int) -> None:
        if real.startswith(self._inside) or real == self._root:
            self.seen[real] = self.seen.get(real, 0) | seen
        elif not f"{real}/".startswith(self._apart):
            for place in self._temporary:
                if real.startswith(f"{place}/") or (real == place and seen > 1):
                    self.seen[place] = 1

    def _resolve(self, path: str) -> str:
        """Follow a path, of which not all need be there, and note the links of the tree on the way."""
        real, links = "", 0
        if f"{path}/".startswith(self._inside):  # a real path, and nothing above it can change
            real, path = self._root, path[len(self._root) :]
        rest = path.split("/")[::-1]
        while rest:
            part = rest.pop()
            if part in ("", "."):
                continue
            if part == "..":
                real = real.rpartition("/")[0]
                continue
            before, real = real, f"{real}/{part}"
            try:
                target = os.readlink(real)
            except OSError:
                continue
            links += 1
            if links > _LINKS_MAX:
                break
            self._saw(real, 1)
            real = "" if target[0] == "/" else before
            rest += target.split("/")[::-1]
        return real or "/"

    def _memory(self, pid: int, address: int, length: int) -> bytes:
        self._there.base, self._there.length = address, length
        self._here.length = length
        count = _libc.process_vm_readv(
            pid, ctypes.byref(self._here), _ONE, ctypes.byref(self._there), _ONE, _NONE
        )
        if count < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return bytes(self._buffer.raw[:count])

    def _text(self, pid: int, address: int) -> str:
        if not address:
            return ""
        found = b""
        while b"\0" not in found and len(found) < 4096:
            length = 256 - (address + len(found)) % 256  # never over the edge of a page
            more = self._memory(pid, address + len(found), length)
            if not more:
                break
            found += more
        return os.fsdecode(found.partition(b"\0")[0])


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
