"""Runs commands in private views of a tree: a program of its own, `python -IS launcher.py DESCRIPTOR`.

It stays and forks for each command (`launch_server.py`): a Python that is up already begins one in a tenth of
the time. The fork makes namespaces (mounts, processes, perhaps a network and users) and most of the mounts
(`mounts.py`) before the command is known, then waits for it. A library after the descriptor is its tracer in
C.

It can watch which files a command looks up, by a seccomp filter that asks it before each such system call;
that needs no help from the command, static or not. It uses the standard library only and little of that,
since it starts quickly.

What is known ahead is a frame (`confined.Frame`), what comes with the command a spec (`Confined.spec`), both
JSON. Sources: mount_namespaces(7), user_namespaces(7), pid_namespaces(7), seccomp_unotify(2),
process_vm_readv(2), capabilities(7).
"""

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys

UNREADY = 125
"""The exit code where no view could be made."""

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 1, 23, 24
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1  # netdevice(7)
# LINUX_IMMUTABLE, NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_BOOT, SYS_TIME, MKNOD: what
# undoes a view, or keeps it from being removed; taken where all but the tree is the machine's own.
_DROPPED = (9, 12, 16, 17, 19, 21, 22, 25, 27)

# A view's files have other inode numbers and change times than the tree's: without this, git would take
# every file for changed and read it. Source: git-config(1), core.checkStat. A workspace may lie in a
# repository, and its view is a mount of its own.
_GIT_STATS = {
    "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.checkStat",
    "GIT_CONFIG_VALUE_0": "minimal",
    "GIT_CONFIG_KEY_1": "core.trustctime",
    "GIT_CONFIG_VALUE_1": "false",
}


def _beside(name: str):  # type: ignore[no-untyped-def]
    """Load a file next to this one; it is no module of a package here."""
    from importlib import util

    spec = util.spec_from_file_location(name[:-3], os.path.join(os.path.dirname(__file__), name))
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_lookups = _beside("lookups.py")
_machine = _beside("machine.py")
_mounts = _beside("mounts.py")
_moving = _beside("moving.py")
_IDLE_S = 0.01
"""How long nobody has asked for anything when a process is made ahead, so that it takes no time from one."""


def main() -> int:
    """Serve until the other end of the descriptor is closed; return an exit code."""
    library = None
    with contextlib.suppress(OSError):  # temporary folders may be mounted noexec
        library = ctypes.CDLL(sys.argv[2]) if sys.argv[2:] else None
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        return _serve(requests, library)


def _serve(requests: socket.socket, library: "ctypes.CDLL | None") -> int:
    """Make a process for each request, which is a frame and the way to who will send it a command.

    That is done when nothing else is asked for, or when the command has been sent already.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they answer themselves
    _rehearse()
    gc.freeze()  # their memory stays shared
    gc.disable()
    requests.send(b"python" if library is None else b"c")
    waiting: list[tuple[bytes, socket.socket]] = []
    while True:
        heard = [requests, *(channel for _, channel in waiting)]
        ready = select.select(heard, [], [], _IDLE_S if waiting else None)[0]
        for request in [request for request in waiting if not ready or request[1] in ready]:
            waiting.remove(request)
            with contextlib.suppress(OSError):  # who asks hears that nobody is there
                _fork(*request, [requests, *(channel for _, channel in waiting)], library)
            request[1].close()
        if requests in ready:
            frame, descriptors = _receive(requests, 65536, 1)
            if not frame:
                return 0
            waiting.append((frame, socket.socket(fileno=descriptors[0])))


def _receive(channel: socket.socket, size: int, most: int) -> "tuple[bytes, list[int]]":
    """Receive a message with descriptors that no command inherits: `socket.recv_fds` passes flags over."""
    data, more, _, _ = channel.recvmsg(size, socket.CMSG_LEN(4 * most), socket.MSG_CMSG_CLOEXEC)
    found: list[int] = []
    for _, _, content in more:
        found += struct.unpack(f"={len(content) // 4}i", content[: len(content) // 4 * 4])
    return data, found


def _fork(
    frame: bytes, channel: socket.socket, others: "list[socket.socket]", library: "ctypes.CDLL | None"
) -> None:
    """Begin a process that runs what comes on a channel."""
    server = os.getpid()
    if os.fork():
        return
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for other in others:  # who waits at their other ends shall hear when somebody else ends
            other.close()
        if os.getppid() == server:
            _answer(channel, json.loads(frame), library)
    finally:
        os._exit(UNREADY)


def _answer(channel: socket.socket, frame: dict, library: "ctypes.CDLL | None") -> None:  # type: ignore[type-arg]
    """Answer with a descriptor of this process; run the command that comes; answer with its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    if not frame["open"]:
        _say_begun(channel, os.getpid())
    begun = _Begun(frame, channel)
    if frame["open"]:
        _say_begun(channel, begun.child)  # told to end, it ends all others first
    _rehearse(begun.mounts)
    _went_out(begun.counted)
    asked, descriptors = _receive(channel, 1, 2)
    if not asked:
        return
    _use(*descriptors)
    code = _run(begun, library)
    sys.stderr.flush()
    channel.send(struct.pack("=i", code))


def _say_begun(channel: socket.socket, process: int) -> None:
    """Say which process is to be ended to end the command."""
    held = os.pidfd_open(process)
    socket.send_fds(channel, [b"begun"], [held])
    os.close(held)


def _rehearse(mounts: "object | None" = None) -> None:
    """Do what must soon be done fast: the first time, a forked process copies the memory that it touches."""
    text = json.dumps({"environment": dict(os.environ), "argv": ["", 1.5, True, None], "trace": {}})
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        socket.send_fds(ours, [text.encode()[:100]], [theirs.fileno()])
        _, descriptors = _receive(theirs, 100, 2)
    json.loads(text)
    os.close(descriptors[0])
    if _lookups.known():
        _lookups.program(moves_only=False)
        _lookups.program(moves_only=True)
    _libc.prctl(_PR_CAPBSET_READ, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if mounts is not None:
        mounts.rehearse()  # type: ignore[attr-defined]


def _use(output: int, errors: int = -1) -> None:
    """Make descriptors the streams of this process, one perhaps both, and let it read nothing."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (output if errors < 0 else errors, 2)):
        os.dup2(descriptor, number)
    for descriptor in (nothing, output, errors):
        if descriptor >= 0:
            os.close(descriptor)


class _Begun:
    """A process in its namespaces, and a child in them that waits to become the command."""

    def __init__(self, frame: dict, answers: socket.socket) -> None:  # type: ignore[type-arg]
        self.frame = frame
        self.fenced = frame["fenced"]
        self.open = frame["open"]
        self.network = frame["network"]
        self.processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)  # there will be another /proc
        self.scratch = os.open(frame["scratch"], os.O_PATH | os.O_DIRECTORY)
        self.given = os.open(f"{frame['scratch']}/spec.json", os.O_RDONLY | os.O_CREAT, 0o600)
        self.report = os.open(f"{frame['scratch']}/trace", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with contextlib.suppress(OSError):  # until all of the command has ended, whoever is there to see it
            fcntl.flock(self.report, fcntl.LOCK_EX)
        self.counted: list[int] = []
        self.mounts = None
        self.why_not = ""
        self.sockets = -1
        if not (self.fenced or self.open or self.network):
            self.sockets = os.open("self/net/unix", os.O_RDONLY, dir_fd=self.processes)
        if not self.fenced:
            try:
                _enter_namespaces(network=self.network, processes=not self.open)
                self.counted = _open_counters(self.processes)
                self.mounts = _mounts.Mounts(frame, self.processes, _machine)
            except OSError as error:
                self.why_not = _why_not(error)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.first, ready = os.pipe()
        self.child = os.fork()
        if not self.child:
            answers.close()  # who waits for one shall hear when this process ends
            self.channel.close()
            temporary = self.mounts.temporary if self.mounts else ""
            _be_first(frame, temporary, theirs, ready)
        theirs.close()
        os.close(ready)

    def alive(self) -> "bytes | None":
        """Return the children of the first process of the namespace: what is left of a command is among them.

        None where the kernel does not tell. Source: proc_pid_task_children(5).
        """
        place = f"{self.child}/task/{self.child}/children"
        with contextlib.suppress(OSError):
            found = os.open(place, os.O_RDONLY, dir_fd=self.processes)
            try:
                return os.read(found, 65536)
            finally:
                os.close(found)
        return None


def _why_not(error: OSError) -> str:
    return f"{error.strerror} ({error.filename or 'namespaces'})\n"


def _run(begun: _Begun, library: "ctypes.CDLL | None") -> int:
    """Run the command whose spec has come; return its exit code, `UNREADY` where it was never begun."""
    spec = json.loads(os.pread(begun.given, os.fstat(begun.given).st_size, 0))
    why_not = begun.why_not
    if begun.mounts is not None:
        try:
            begun.mounts.show(spec)
            if begun.sockets >= 0:
                _machine.cover_sockets(_mounts.mount, begun.sockets)
        except OSError as error:
            why_not = _why_not(error)
    if why_not:
        sys.stderr.write(why_not)
        return UNREADY
    if begun.fenced or begun.open or spec["trace"] or not spec["only_reads"]:
        return _follow(begun, spec, library)
    code = _spawn(begun, spec)
    _tell(begun, spec, None, code, ready=True)
    return code


def _spawn(begun: _Begun, spec: dict) -> int:  # type: ignore[type-arg]
    """Run a command that only looks, and that nobody follows, as a child of this process: that is faster.

    Its parent is outside its namespace of processes, which is the one that later children of this process
    are in, too. Source: pid_namespaces(7).
    """
    _bound(spec, begun.frame)
    _renounce(begun.frame)
    os.read(begun.first, 1)  # until then, /proc is that of the machine
    left = begun.alive()
    environment = {**spec["environment"], **_GIT_STATS, "TMPDIR": begun.mounts.temporary}  # type: ignore[union-attr]
    signals = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        command = os.posix_spawn(spec["program"], spec["argv"], environment, setsid=True, setsigdef=signals)
    except OSError as error:
        return _unbegun(error)
    code = _wait(command)
    if left is None or begun.alive() != left:
        os.kill(begun.child, signal.SIGKILL)  # and so all that the command has left
        os.waitpid(begun.child, 0)
    return code


def _unbegun(error: OSError) -> int:
    sys.stderr.write(f"the command cannot be begun: {error.strerror}\n")
    return UNREADY


def _follow(begun: _Begun, spec: dict, library: "ctypes.CDLL | None") -> int:  # type: ignore[type-arg]
    """Let the child that waits become the command, and follow what it looks up."""
    socket.send_fds(begun.channel, [b"1"], [begun.given, 1, 2])
    ready, listeners = _receive(begun.channel, 4, 1)  # or how it has ended
    seen = None
    if listeners:
        python = None if library is not None else _beside("trace.py")
        top = spec["followed"]
        folders = top, begun.mounts.apart if begun.mounts else top, spec["temporary"]
        moves = _moving.Moves(spec["root"], begun.mounts.lower if begun.mounts else -1)
        seen = _lookups.follow_command(listeners[0], folders, begun.processes, library, python, moves.begins)
        seen = None if seen is None or not spec["trace"] else _both(seen, moves.seen)
    ended = begun.channel.recv(4) if len(ready) == 1 else ready
    code = struct.unpack("=i", ended)[0] if ended else _wait(begun.child)
    _tell(begun, spec, seen, code, ready=len(ready) == 1, left_running=not ended)
    return code


def _tell(
    begun: _Begun,
    spec: dict,  # type: ignore[type-arg]
    seen: "dict | None",  # type: ignore[type-arg]
    code: int,
    *,
    ready: bool,
    left_running: bool = False,
) -> None:
    """Write down what is to be known of a command that has ended."""
    looked_in_tmp = True
    if seen is not None:
        looked_in_tmp = bool(sum(seen.pop(place, 0) for place in spec["temporary"]))
    answer = {
        "ready": ready,
        "code": code,
        "complete": seen is not None,
        "seen": seen or {},
        "looked_in_tmp": looked_in_tmp,
        "left_running": left_running,
        "plain_tmp": begun.mounts is not None and not begun.mounts.layered_tmp,
        "went_out": not begun.fenced and not begun.network and _went_out(begun.counted),
    }
    left = memoryview(json.dumps(answer).encode())
    while left:
        left = left[os.write(begun.report, left) :]


def _both(seen: "dict[str, int]", more: "dict[str, int]") -> "dict[str, int]":
    return seen | {path: bits | seen.get(path, 0) for path, bits in more.items()}


def _wait(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _enter_namespaces(*, network: bool, processes: bool) -> None:
    user, group = os.geteuid(), os.getegid()
    flags = _NEWNS | (0 if network else _NEWNET) | (_NEWUSER if user else 0)
    flags |= _NEWPID | _NEWIPC if processes else 0
    if _libc.unshare(flags):
        raise OSError(ctypes.get_errno(), f"no namespaces: {os.strerror(ctypes.get_errno())}")
    if user:
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(line)
    if not network:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # its own machine is there
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _open_counters(processes: int) -> "list[int]":
    """Open what the kernel counts of the network of this process."""
    found = []
    for name in ("snmp", "snmp6"):
        with contextlib.suppress(OSError):
            found.append(os.open(f"self/net/{name}", os.O_RDONLY, dir_fd=processes))
    return found


def _went_out(counted: "list[int]") -> bool:
    """Tell whether something in this network was sent where no way leads (RFC 4293, OutNoRoutes)."""
    for counter in counted:
        lines = [line.split() for line in os.pread(counter, 65536, 0).splitlines()]
        for names, values in zip(lines, [*lines[1:], []], strict=True):
            if names[0] == b"Ip6OutNoRoutes" and int(names[1]):
                return True
            if names[0] == b"Ip:" and b"OutNoRoutes" in names and values[names.index(b"OutNoRoutes")] != b"0":
                return True
    return False


def _be_first(frame: dict, temporary: str, channel: socket.socket, ready: int) -> None:  # type: ignore[type-arg]
    """Be the first process of the new namespace: when it ends, so does all that the command has left."""
    code = UNREADY
    fence = None
    adopts = frame["fenced"] or frame["open"]
    try:
        if adopts:
            fence = _beside("fence.py")
            fence.adopt_descendants()
        else:
            with contextlib.suppress(OSError):  # a container may not let us: then outer processes are listed
                _machine.mount_processes(_mounts.mount, _mounts.attributes, frame["limits"]["processes_max"])
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM if fence else signal.SIGKILL, 0, 0, 0)
        pid = os.fork()
        if not pid:
            _become(frame, temporary, channel, adopted=adopts)
        os.write(ready, b"1")
        os.close(ready)
        while True:
            ended, status = os.wait()
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                code = code if code >= 0 else 128 - code
                break
        if _is_alone():
            channel.send(struct.pack("=i", code))  # the end of this process need not be waited for
        elif fence is not None:
            fence.end_descendants()
    finally:
        os._exit(code)


def _is_alone() -> bool:
    """Tell whether all that this process is to outlive has ended; what loses its parent becomes its child."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return False
    return True


def _become(frame: dict, temporary: str, channel: socket.socket, *, adopted: bool) -> None:  # type: ignore[type-arg]
    """Wait for a command, and become it."""
    try:
        os.setsid()
        if adopted:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)
        _renounce(frame)
        _rehearse()
        asked, descriptors = _receive(channel, 1, 3)
        if not asked:
            return
        spec = json.loads(os.pread(descriptors[0], os.fstat(descriptors[0]).st_size, 0))
        _use(*descriptors[1:])
        os.chdir(spec["cwd"])
        environment = {**spec["environment"], **_GIT_STATS}
        if temporary:
            environment["TMPDIR"] = temporary
        _bound(spec, frame)
        asks = _lookups.known() and (spec["trace"] or not frame["fenced"])
        strict = spec["trace"] == "strict"
        listener = _lookups.install(moves_only=not spec["trace"], strict=strict) if asks else -1
        if listener >= 0:
            socket.send_fds(channel, [b"1"], [listener])
            os.close(listener)
        else:
            channel.send(b"0")
        channel.close()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execve(spec["program"], spec["argv"], environment)
    except OSError as error:
        _unbegun(error)
    finally:
        os._exit(UNREADY)


def _renounce(frame: dict) -> None:  # type: ignore[type-arg]
    if not frame["open"]:
        _machine.renounce()
        return
    for capability in _DROPPED:
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def _bound(spec: dict, frame: dict) -> None:  # type: ignore[type-arg]
    _machine.bound(frame)
    if spec["fence"] is not None:
        bounds = spec["fence"], spec["readable"], spec["hidden"]
        _beside("fence.py").fence(_beside("kernel_bounds.py"), *bounds, network=spec["network"])


if __name__ == "__main__":
    sys.exit(main())
